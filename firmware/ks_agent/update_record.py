"""What the terminal keeps of updates over restarts, and how it tells the server of their ends."""

from .store import STATE

PATH = STATE + "update.toon"
MAX_BANNED = 8
ROWS = {"BANNED": ("FW4",)}
_KEPT = ("HALTED", "BANNED")


class UpdateRecord:
    """HALTED, BANNED, and FW1 FW2 FW4 MANIFEST of the release that was staged last, until its end
    is in the outbox.
    """

    def __init__(self, store, outbox):
        self._store = store
        self._outbox = outbox
        self.fields = store.read_as(PATH, (), ROWS) or {}

    @property
    def halted(self):
        return self.fields.get("HALTED") == "true"

    def halt(self, halted):
        self.write(dict(self.fields, HALTED="true" if halted else "false"))

    def remember(self, offer, manifest_hash):
        """Before a release is staged."""
        record = dict(self.fields, FW1=offer["FW1"], FW2=offer["FW2"], FW4=offer["FW4"])
        self.write(dict(record, MANIFEST=manifest_hash))

    def report(self, status, text):
        """The outcome of the staged release: into the outbox, and out of the record."""
        if "FW1" in self.fields and "FW2" in self.fields:
            self.acknowledge(self.fields, status, text)
        self.write({key: self.fields[key] for key in _KEPT if key in self.fields})

    def acknowledge(self, release, status, text):
        tokens = {"FW1": release["FW1"], "FW2": release["FW2"], "ACK1": status, "ACK2": text}
        self._outbox.put("firmware/ack", release["FW1"], tokens)

    def is_banned(self, fw4):
        return any([row["FW4"] == fw4 for row in self.fields.get("BANNED", [])])

    def ban(self, fw4):
        banned = self.fields.get("BANNED", []) + [{"FW4": fw4}]
        self.write(dict(self.fields, BANNED=banned[-MAX_BANNED:]))

    def write(self, record):
        self._store.write(PATH, record)
        self.fields = record
