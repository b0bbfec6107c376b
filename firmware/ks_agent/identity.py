"""Who the terminal is: its key (in the vault), its id, and where it is in its life."""

from . import envelope, life
from .ports import KEY, KEY_NEXT, NETWORK
from .states import Machine
from .store import STATE

PATH = STATE + "identity.toon"
# No terminal registers without a type.
TYPE = "ESP32_TERMINAL"


class Identity:
    def __init__(self, ports, store):
        self._ports = ports
        self._store = store
        self._record = store.read_as(PATH, ("D1", "STATE")) or {}
        if self.adopted:
            self._record.setdefault("D2", TYPE)
        self.seed = _whole(ports.vault.get(KEY))
        self._machine = Machine(life.TRANSITIONS, self._first_state())
        self._public = None

    def _first_state(self):
        state = self._record.get("STATE")
        if state in (life.WIPING, life.DORMANT):
            return state
        if self.seed is None:
            return life.BLANK
        return state if state in life.STATES else life.UNREGISTERED

    @property
    def state(self):
        return self._machine.state

    def get(self, key):
        return self._record.get(key)

    @property
    def d1(self):
        return self._record["D1"]

    def public_text(self):
        """D3. Computed once: it takes a scalar multiplication."""
        if self._public is None:
            self._public = envelope.b64(self._ports.crypto.public_key(self.seed))
        return self._public

    def take_first_seed(self, seed):
        """First boot: the key exists whole or not at all, since the vault sets it at once."""
        self._machine.step("key_made")
        if self.adopted:  # the vault has lost the key before this one
            self._write(dict(self._record, STATE=self.state))
        self._ports.vault.set(KEY, seed)
        self.use_seed(seed)

    def adopt(self, record):
        """What the terminal is from now on: the factory's words, with D1 and D2."""
        self._write(dict(record, STATE=self.state))

    def use_seed(self, seed):
        self.seed = seed
        self._public = None

    @property
    def adopted(self):
        return "D1" in self._record

    def step(self, event):
        """A step of the terminal's life; written only when it changes something."""
        before = self.state
        self._machine.step(event)
        if self.state != before:
            self._write(dict(self._record, STATE=self.state))

    def can(self, event):
        return self._machine.can(event)

    def spend_token(self):
        """Registered: the one-time token has done its work."""
        if "OTRT" in self._record:
            record = dict(self._record)
            del record["OTRT"]
            self._write(record)

    def forget(self):
        """WIPE and REVOKE: of the identity only the id stays, and the key until the end."""
        self._machine.step("erased")
        self._write({"D1": self.d1, "STATE": self.state})

    def erase_key(self):
        """The end, also of the way into the network; may be interrupted and done again."""
        if self.state != life.DORMANT:
            self.step("key_erased")
        for name in (KEY, KEY_NEXT) + NETWORK:
            self._ports.vault.erase(name)
        self.seed = None
        self._ports.crypto.forget()

    def _write(self, record):
        self._store.write(PATH, record)
        self._record = record


def _whole(seed):
    return seed if seed is not None and len(seed) == 32 else None
