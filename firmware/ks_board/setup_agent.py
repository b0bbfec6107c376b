"""What of an agent a try of another network needs: one signed round trip, and nothing else of it.

A whole agent has no room beside the access point of a chip without PSRAM.
"""

from ks_agent import life
from ks_agent.backoff import Link
from ks_agent.clock import Clock
from ks_agent.config import Config
from ks_agent.effects import Sleep
from ks_agent.errors import PeerError, Unbound
from ks_agent.exchange import Exchange
from ks_agent.identity import Identity
from ks_agent.log import Log
from ks_agent.store import Store
from ks_agent.trust import Trust

AGAIN_MS = 5000
SELDOM = (
    "startup", "factory", "config_changes", "config_check", "identity_changes", "plain_time",
    "toon_table", "toon_text", "trust_changes", "signing",
)  # fmt: skip


class RoundTrip:
    """`version`: FW2 of the release that runs, or "". Raises LocalError, as an agent."""

    def __init__(self, ports, version):
        self.ports = ports
        self.store = Store(ports.fs)
        self.clock = Clock(ports.clock, self.store)
        self.identity = Identity(ports, self.store)
        self.trust = Trust(ports.fs, self.store, ports.crypto)
        self.config = Config(self.store, self.clock)
        log = Log(self.clock)
        self.exchange = Exchange(
            ports, self.identity, self.trust, self.config, self.clock, Link(self.clock), log
        )
        self._version = version
        self._is_unknown = False

    def run(self):
        """Ask until an answer of the server's is believed, be it a signed no."""
        self._startup().take_words()
        self.ports.board.unload(SELDOM)
        yield Sleep(0)  # NetworkTrial's pause: from here on, the other network
        while not self.exchange.heard:
            self.ports.board.unload(SELDOM)
            try:
                yield from self._ask()
            except Unbound as error:
                self._is_unknown = error.claim == "DEVICE_NOT_FOUND"
            except (OSError, PeerError):
                pass
            if not self.exchange.heard:
                yield Sleep(AGAIN_MS)

    def _ask(self):
        """A heartbeat, or what a terminal sends that the server does not know; what comes of a
        registration is the next life's, which asks again.
        """
        if self._is_unknown or self.identity.state == life.UNREGISTERED:
            yield from self.exchange.call("register", self._startup().registration())
            return
        tokens = {"HB1": "1", "HB2": str(self.clock.ticks_ms() // 1000)}
        if self._version:
            tokens["FW2"] = self._version
        yield from self.exchange.call("heartbeat", tokens)

    def _startup(self):
        from ks_agent.startup import Startup

        return Startup(self)
