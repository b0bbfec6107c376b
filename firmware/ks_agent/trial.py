"""A release on trial: what a boot finds of it, and how it proves itself."""

from .ports import COUNTER
from .slots import Slots
from .update_record import UpdateRecord


class Trial:
    """Built for one step and let go."""

    def __init__(self, agent):
        self._ports = agent.ports
        self._log = agent.log
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
            self._record.report("OK", "confirmed")

    def _rolled_back(self, tried):
        if tried == self._slots.record["ROLLED_BACK"]:
            self._record.ban(self._record.fields.get("FW4", ""))
            reason = self._slots.record.get("REASON", "")
            self._log.error("update rolled back: " + reason)
            detail = {"FW2": self._record.fields.get("FW2")}
            self._ports.board.show("update_rolled_back", detail)
            self._record.report("ERROR", "ROLLED_BACK " + reason)
        self._slots.forget_rollback()

    def prove(self):
        """After a signed heartbeat: the release on trial is the one from now on."""
        manifest = self._slots.manifest(self._slots.running)
        counter = int(manifest["COUNTER"])
        if counter > counter_in(self._ports.vault):
            self._ports.vault.set(COUNTER, str(counter).encode())
        self._slots.confirm()
        self._progress.step("proven")
        self._ports.board.show("update_confirmed", {"FW2": self._progress.version})
        self._record.report("OK", "confirmed")


def counter_in(vault):
    """The security counter: no release with a lower one is installed."""
    stored = vault.get(COUNTER)
    return int(stored.decode()) if stored else 0
