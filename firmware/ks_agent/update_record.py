"""What the terminal keeps of updates over restarts, and how it tells the server of their ends."""

from .ports import COUNTER
from .store import STATE

PATH = STATE + "update.toon"
MAX_BANNED = 8
POSTPONED_MAX = 3
DIGITS = "123456789"
ROWS = {"BANNED": ("FW4",), "POSTPONED": ("FW4", "COUNT")}
_KEPT = ("HALTED", "BANNED", "POSTPONED")


class UpdateRecord:
    """HALTED, BANNED, POSTPONED (how often a release was), and FW1 FW2 FW4 MANIFEST of the release
    that was staged last, until its end is in the outbox.
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

    def report(self, status, text, rows={}, log_id=None):  # noqa: B006 -- never changed
        """The outcome of the staged release: into the outbox, and out of the record.

        `rows`: what is kept from now on, as `banning` and `postponing` give it.
        """
        if "FW1" in self.fields and "FW2" in self.fields:
            self.acknowledge(self.fields, status, text, log_id)
        kept = {key: self.fields[key] for key in _KEPT if key in self.fields}
        kept.update(rows)
        self.write({key: value for key, value in kept.items() if value})

    def acknowledge(self, release, status, text, log_id=None):
        tokens = {"FW1": release["FW1"], "FW2": release["FW2"], "ACK1": status, "ACK2": text}
        if log_id is not None:
            tokens["LOG1"] = log_id
        self._outbox.put("firmware/ack", release["FW1"], tokens)

    def is_banned(self, fw4):
        return any([row["FW4"] == fw4 for row in self.fields.get("BANNED", [])])

    def ban(self, fw4):
        self.write(dict(self.fields, BANNED=self._with(fw4)))

    def banning(self):
        """The rows to keep when the staged release is never to be tried again."""
        return {"BANNED": self._with(self.fields.get("FW4", ""))}

    def _with(self, fw4):
        return (self.fields.get("BANNED", []) + [{"FW4": fw4}])[-MAX_BANNED:]

    def postponing(self):
        """The rows to keep when the staged release may be tried again; None when it was enough."""
        rows, count = self._others()
        if count == POSTPONED_MAX:
            return None
        row = {"FW4": self.fields.get("FW4", ""), "COUNT": str(count + 1)}
        return {"POSTPONED": (rows + [row])[-MAX_BANNED:]}

    def confirming(self):
        """The rows to keep when the staged release has proven itself."""
        return {"POSTPONED": self._others()[0]}

    def _others(self):
        """The rows of other releases that were postponed; how often the staged one was."""
        rows = self.fields.get("POSTPONED", [])
        counts = [row["COUNT"] for row in rows if row["FW4"] == self.fields.get("FW4", "")]
        count = min(int(counts[0]), POSTPONED_MAX) if counts and counts[0] in DIGITS else 0
        return [row for row in rows if row["FW4"] != self.fields.get("FW4", "")], count

    def write(self, record):
        self._store.write(PATH, record)
        self.fields = record


def counter_in(vault):
    """The security counter: no release with a lower one is installed."""
    stored = vault.get(COUNTER)
    return int(stored.decode()) if stored else 0
