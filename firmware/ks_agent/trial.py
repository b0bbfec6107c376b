"""A release on trial: what a boot finds of it, and how it proves itself.

Up to 3 crashes and 10 resets (stage 0 counts them), and 15 minutes for a signed heartbeat; while
it is the link or the server that fails, a day.
"""

from .effects import Sleep
from .errors import LocalError
from .life import REVOKED
from .ports import COUNTER, random_hex
from .progress import TRIAL_MS
from .slots import RECOVERY_PATH, Slots
from .store import STATE
from .update_record import UpdateRecord, counter_in

SELF_TEST_PATH = STATE + "self_test.toon"
# With less than this left after the first heartbeat, a release would fail at its next task.
MEMORY_FLOOR_BYTES = 6144
CLOCK_PAUSE_MS = 40
CLOCK_PAUSES = 5
OUTAGE_MS = 24 * 3600000
# No answer, or one that says that the server cannot.
OUTAGES = (0, 429, 500, 502, 503, 504)
# What ended for these reasons may be as good as any: it is tried again, up to 3 times.
POSTPONING = ("no_server", "damaged")


class Trial:
    """Built for one step and let go."""

    def __init__(self, agent):
        self._agent = agent
        self._ports = agent.ports
        self._log = agent.log
        self._clock = agent.clock
        self._store = agent.store
        self._progress = agent.progress
        self._slots = Slots(agent.ports, agent.store)
        self._record = UpdateRecord(agent.store, agent.outbox)

    def settle(self):
        """At boot: what stage 0 decided about the last update is told to the server."""
        running = self._slots.manifest(self._slots.running)
        if running is not None:
            self._progress.version = running["FW2"]
        if self._slots.on_trial:
            self._progress.begin_trial()
            self._ports.board.show("update_trial", {"FW2": self._progress.version})
            return
        tried = self._record.fields.get("MANIFEST")
        if "ROLLED_BACK" in self._slots.record:
            self._rolled_back(tried)
        elif tried is not None and tried == self._slots.record.get("MANIFEST"):
            self._record.report("OK", "confirmed", self._record.confirming())

    def _rolled_back(self, tried):
        record = self._slots.record
        reason = record.get("REASON", "")
        if reason not in POSTPONING:  # before it is forgotten why
            self._slots.forsake(self._slots.inactive)
        if tried == record["ROLLED_BACK"]:
            rows = self._record.postponing() if reason in POSTPONING else None
            outcome = "ROLLED_BACK" if rows is None else "POSTPONED"
            self._log.error("update %s: %s %s" % (outcome, reason, record.get("CRASH", "")))
            self._log.upload_id = random_hex(self._ports.rng, 8)
            detail = {"FW2": self._record.fields.get("FW2"), "REASON": reason}
            self._ports.board.show("update_" + outcome.lower(), detail)
            self._record.report(
                "ERROR", outcome + " " + reason, rows or self._record.banning(), self._log.upload_id
            )
        self._slots.forget_rollback()

    def give_up(self):
        """Whether the time for a signed heartbeat is over, and there is a release to go back to
        with the next boot.
        """
        passed_ms = self._clock.ticks_ms()
        if passed_ms < TRIAL_MS or (passed_ms < OUTAGE_MS and self._is_outage()):
            return False
        reason = "no_server" if self._is_outage() else "no_round_trip"
        if not self._slots.give_up(reason):
            return False
        self._progress.step("given_up")
        return True

    def _is_outage(self):
        """Whether the last failure was the link's or the server's. A proxy answers for a server
        that is down, and nobody signs that; a terminal that was revoked gets no heartbeat through.
        """
        return self._agent.exchange.status in OUTAGES or self._agent.identity.state == REVOKED

    def prove(self):
        """After a signed heartbeat: the release on trial is the one from now on.

        Raises LocalError, which is a crash, when it fails its self-test.
        """
        yield from self._test()
        manifest = self._slots.manifest(self._slots.running)
        counter = int(manifest["COUNTER"])
        if counter > counter_in(self._ports.vault):
            self._ports.vault.set(COUNTER, str(counter).encode())
        self._store.remove(RECOVERY_PATH)  # first: after the other one nobody comes back here
        self._slots.confirm()
        self._progress.step("proven")
        self._ports.board.show("update_confirmed", {"FW2": self._progress.version})
        self._record.report("OK", "confirmed", self._record.confirming())

    def _test(self):
        """A signed heartbeat has shown radio, crypto and code: this is the rest."""
        free = self._ports.board.memory_free_bytes()
        if free is not None and free < MEMORY_FLOOR_BYTES:
            raise LocalError("self-test:memory")
        if not self._ports.board.reader_ok():
            raise LocalError("self-test:reader")
        before_ms = self._clock.ticks_ms()
        for _ in range(CLOCK_PAUSES):  # a card that is held to the reader ends one early
            if self._clock.ticks_ms() == before_ms:
                yield Sleep(CLOCK_PAUSE_MS)
        if self._clock.ticks_ms() <= before_ms:
            raise LocalError("self-test:clock")
        written = {"TS": self._clock.text()}
        try:
            self._store.write(SELF_TEST_PATH, written)
            same = self._store.read_or_none(SELF_TEST_PATH) == written
            self._store.remove(SELF_TEST_PATH)
        except OSError:
            same = False
        if not same:
            raise LocalError("self-test:flash")
