"""Who the terminal is: its key (in the vault), its id, and where it is in its life.

What happens to it once in a life is in identity_changes.
"""

from . import envelope, life
from .ports import KEY
from .states import Machine
from .store import STATE

PATH = STATE + "identity.toon"
# No terminal registers without a type.
TYPE = "ESP32_TERMINAL"


class Identity:
    def __init__(self, ports, store):
        self._ports = ports
        self._store = store
        self.record = store.read_as(PATH, ("D1", "STATE")) or {}
        if self.adopted:
            self.record.setdefault("D2", TYPE)
        self.seed = _whole(ports.vault.get(KEY))
        self.machine = Machine(life.TRANSITIONS, self._first_state())
        self._public = None

    def _first_state(self):
        state = self.record.get("STATE")
        if state in (life.WIPING, life.DORMANT):
            return state
        if self.seed is None:
            return life.BLANK
        return state if state in life.STATES else life.UNREGISTERED

    @property
    def state(self):
        return self.machine.state

    def get(self, key):
        return self.record.get(key)

    @property
    def d1(self):
        return self.record["D1"]

    def public_text(self):
        """D3. Computed once: it takes a scalar multiplication."""
        if self._public is None:
            self._public = envelope.b64(self._ports.crypto.public_key(self.seed))
        return self._public

    def use_seed(self, seed):
        self.seed = seed
        self._public = None

    @property
    def adopted(self):
        return "D1" in self.record

    def step(self, event):
        """A step of the terminal's life; written only when it changes something."""
        before = self.state
        self.machine.step(event)
        if self.state != before:
            self.write(dict(self.record, STATE=self.state))

    def can(self, event):
        return self.machine.can(event)

    def write(self, record):
        self._store.write(PATH, record)
        self.record = record


def _whole(seed):
    return seed if seed is not None and len(seed) == 32 else None
