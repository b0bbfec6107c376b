"""Where a terminal goes when no slot can be started: it gets a release, and does nothing else.

Its code lies in a folder of its own that only the factory writes. It punches nothing and obeys no
commands. What was banned or halted is asked for all the same: nothing runs that could be spared,
and the server, which signs what it offers, knows what it wants. It never gives up, ever slower.
"""

from .backoff import Backoff, Link
from .clock import Clock
from .config import Config
from .effects import Sleep
from .errors import LocalError
from .exchange import Exchange
from .identity import TYPE, Identity
from .log import Log
from .outbox import Outbox
from .ports import random_below
from .progress import Progress
from .store import Store
from .trust import Trust

# Between attempts, and before the first one when earlier ones led to nothing that lasts.
FIRST_WAIT_MS = 60000
LONGEST_WAIT_MS = 3600000
LONGEST_START_MS = 24 * 3600000

SELDOM = (
    "factory", "lines", "update", "update_record", "download", "download_record", "trial",
    "unpack", "slots", "bundle", "image_match", "trust_changes", "config_check", "signing",
    "plain_time", "toon_table", "toon_text", "release_check", "install",
)  # fmt: skip


class Recovery:
    """What an agent has that an update needs. Raises LocalError without the factory's keys."""

    image_stream = None

    def __init__(self, ports):
        self.ports = ports
        self.store = Store(ports.fs)
        self.clock = Clock(ports.clock, self.store)
        self.log = Log(self.clock)
        self.identity = Identity(ports, self.store)
        self.trust = Trust(ports.fs, self.store, ports.crypto)
        self.config = Config(self.store, self.clock)
        self.outbox = Outbox(self.store, self.log)
        self.progress = Progress(self.clock, Backoff(ports.rng, FIRST_WAIT_MS, LONGEST_WAIT_MS))
        self.exchange = Exchange(
            ports, self.identity, self.trust, self.config, self.clock, Link(self.clock), self.log
        )
        self._backoff = Backoff(ports.rng, FIRST_WAIT_MS, LONGEST_WAIT_MS)

    def run(self):
        """Ends in Restart, once a release is staged."""
        self._lift()
        wait_ms = self._first_wait_ms()
        while True:
            self.ports.board.show("recovery", {"WAIT": str(wait_ms)})
            self.ports.board.unload(SELDOM)
            yield Sleep(wait_ms)
            try:
                self._complete()
                yield from self._ask()
                reason = "no release"
            except Exception as error:  # whatever it is: a terminal that gives up here is lost
                reason = type(error).__name__ + " " + str(error)
            self.ports.board.show("recovery_failed", {"REASON": reason})
            wait_ms = self._backoff.failed()
            if self.progress.pause_ms is not None:
                self._backoff.succeeded()
                wait_ms = 0

    def _ask(self):
        from .update import Updater

        yield from Updater(self).update(self.exchange)

    def _lift(self):
        """What is staged was in vain: the next application reports it. Bans and HALT are over."""
        from .update_record import UpdateRecord

        record = UpdateRecord(self.store, self.outbox)
        if record.fields:
            record.report("ERROR", "ROLLED_BACK recovery")
            record.write({})

    def _first_wait_ms(self):
        """A release that does not last is not fetched again and again."""
        from .slots import attempts_in

        attempts = attempts_in(self.store)
        if not attempts:
            return 0
        longest_ms = min(FIRST_WAIT_MS << min(attempts, 12), LONGEST_START_MS)
        return longest_ms // 2 + random_below(self.ports.rng, longest_ms // 2 // 1000) * 1000

    def _complete(self):
        """What the records have lost is taken from the factory's, for this boot. LocalError."""
        if self.identity.seed is None:
            raise LocalError("no-key")
        if self.identity.adopted and self.config.get("SERVER"):
            return
        from . import factory

        words = factory.read_factory(self.ports.fs)
        if not self.identity.adopted:
            self.identity.record = {key: words[key] for key in factory.KEPT if key in words}
            self.identity.record.setdefault("D2", TYPE)
        for key in factory.CONFIGURED:
            if key in words and not self.config.get(key):
                self.config.proven[key] = words[key]
        if not self.identity.adopted or not self.config.get("SERVER"):
            raise LocalError("no-identity")
