"""What a boot does before the first conversation; at the first one, the terminal becomes somebody.

Apart from the agent, because a heartbeat needs none of it.
"""

from . import config_changes, envelope, factory, identity_changes, life
from .errors import LocalError, PeerError
from .exchange import RTO_MAX_S, RTO_MIN_S, wait_s
from .identity import TYPE
from .store import RTO_PATH, STATE

CRASH_PATH = STATE + "crash.toon"


class Startup:
    def __init__(self, agent):
        self._agent = agent

    def has_key(self):
        """Whether there is a private key, or one could be made. Without entropy it cannot yet."""
        agent = self._agent
        if agent.identity.state != life.BLANK:
            return True
        from .new_key import new_seed

        try:
            seed = new_seed(agent.ports)
            identity_changes.take_first_seed(agent.identity, agent.ports.vault, seed)
        except LocalError as error:
            agent.ports.board.show("no_key", {"reason": str(error)})
            agent.log.error("no key: " + str(error))
            return False
        agent.ports.board.show("key_made", {})
        return True

    def boot(self):
        """LocalError where the factory's words are needed and cannot be used."""
        agent = self._agent
        self.take_words()
        if agent.trust.restored:
            agent.log.error("the trust store was damaged: back to the factory's keys")
        interval = agent.store.read_or_none(RTO_PATH) or {}
        agent.rto_s = wait_s(interval, "RTO", RTO_MIN_S, RTO_MAX_S) or agent.rto_s
        crash = agent.store.read_or_none(CRASH_PATH)
        if crash is not None:
            agent.log.add("FATAL", "crashed: %s %s" % (crash.get("CLASS"), crash.get("TEXT")))
            agent.store.remove(CRASH_PATH)
        from .effectors import Effectors  # now, since it takes the room of all the above

        Effectors(agent).settle()
        config_changes.end_trial(agent.config, agent.store)

    def take_words(self):
        """The factory's, where the terminal is nobody yet or its configuration was damaged."""
        agent = self._agent
        if not agent.identity.adopted:
            self._adopt()
        elif not agent.config.get("SERVER"):
            self._configure(factory.read_factory(agent.ports.fs))

    def registration(self):
        """What a terminal says of itself when it registers."""
        identity = self._agent.identity
        tokens = {"D3": identity.public_text()}
        for key in ("D2", "D4", "D5", "M1", "OTRT"):
            if identity.get(key):
                tokens[key] = identity.get(key)
        return tokens

    def registered(self):
        identity = self._agent.identity
        if identity.can("registered"):
            identity.step("registered")
        identity_changes.spend_token(identity)
        self._agent.ports.board.show("registered", {"D1": identity.d1})

    def _adopt(self):
        """Take the factory's words over; without an id, the key gives one."""
        agent = self._agent
        words = factory.read_factory(agent.ports.fs)
        self._configure(words)
        record = {key: words[key] for key in factory.KEPT if key in words}
        if "D1" not in record:
            public = envelope.unb64(agent.identity.public_text())
            record["D1"] = "ks-" + envelope.sha256_hex(agent.ports.crypto, public)[:16]
        record.setdefault("D2", TYPE)
        identity_changes.adopt(agent.identity, record)

    def _configure(self, words):
        """The factory's configuration: at first, and where the terminal's own was damaged."""
        fields = {key: words[key] for key in factory.CONFIGURED if key in words}
        try:
            config_changes.start(self._agent.config, self._agent.store, fields)
        except PeerError as error:
            raise LocalError(factory.PATH + ": " + str(error))
