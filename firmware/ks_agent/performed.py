"""Which commands were begun, and how they ended: at most once, over power cuts too.

The record is written before the effect. It is kept until the command's expiry and ten minutes, at
most 64 at a time, and a WIPE does not reach it (PROTOCOL section 5, Commands).
"""

from . import timetext
from .errors import LocalError
from .store import STATE

PATH = STATE + "performed.toon"
CAPACITY = 64
# The rest is for what two administrators signed: too many commands must not keep out a WIPE.
ORDINARY = 56
GRACE_MS = 600000
NO_EXPIRY_MS = 7 * 86400000
MAX_NAME_CHARACTERS = 32
ROWS = {"PERFORMED": ("CMD1", "CMD2", "STATE", "UNTIL")}
# Their payload, which is public, tells after a power cut whether the effect is there.
KEY_COMMANDS = ("TRUST_KEY", "DISTRUST_KEY")
STARTED = "started"
DONE = "done"


class Performed:
    def __init__(self, store, clock):
        self._store = store
        self._clock = clock
        record = store.read_as(PATH, (), ROWS)
        self.lost = record is None and store.exists(PATH)
        self._rows = (record or {}).get("PERFORMED", [])

    def find(self, cmd1):
        for row in self._rows:
            if row["CMD1"] == cmd1:
                return row
        return None

    def started(self):
        return [row for row in self._rows if row["STATE"] == STARTED]

    def begin(self, command, capacity=ORDINARY):
        """Before the effect: from here on the command is never performed again. False, and
        nothing is begun, when there is no room.
        """
        self._forget_expired()
        if len(self._rows) >= capacity:
            return False
        name = command["CMD2"][:MAX_NAME_CHARACTERS]
        row = {"CMD1": command["CMD1"], "CMD2": name, "STATE": STARTED}
        row["UNTIL"] = self._until(command)
        if name in KEY_COMMANDS and command.get("CMD3"):
            row["CMD3"] = command["CMD3"]
        try:
            self._write(self._rows + [row])
        except LocalError:
            return False
        return True

    def finish(self, cmd1, status, text):
        """After the effect: what its acknowledgement says, and no payload any more."""
        row = dict(self.find(cmd1), STATE=DONE, ACK1=status, ACK2=text)
        row.pop("CMD3", None)
        self._write([row if other["CMD1"] == cmd1 else other for other in self._rows])

    def _until(self, command):
        if "CMD5" in command:
            until_ms = timetext.parse_ms(command["CMD5"]) + GRACE_MS
        elif self._clock.synced:
            until_ms = self._clock.now_ms() + NO_EXPIRY_MS
        else:
            until_ms = timetext.LAST_MS  # nobody knows when that will be
        return timetext.format_ms(min(until_ms, timetext.LAST_MS))

    def _forget_expired(self):
        if not self._clock.synced:
            return
        now = self._clock.text()
        rows = [row for row in self._rows if row["UNTIL"] > now or row["STATE"] == STARTED]
        if len(rows) < len(self._rows):
            self._write(rows)

    def _write(self, rows):
        self._store.write(PATH, {"PERFORMED": rows})
        self._rows = rows
