"""The log ring: the last lines in memory, uploaded when they matter or when asked for.

Lines are fixed texts with codes and ids in them, never keys, tokens or payloads.
"""

from .ports import random_hex

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
CAPACITY = 24
MAX_TEXT = 160
BATCH_ROWS = 12


class Log:
    def __init__(self, clock):
        self._clock = clock
        self._rows = []
        self._sent = 0
        self.dropped = 0

    def add(self, level, text):
        row = (LEVELS.index(level), self._clock.text(), text[:MAX_TEXT])
        self._rows.append(row)
        if len(self._rows) > CAPACITY:
            self._rows.pop(0)
            self.dropped += 1
            self._sent = max(self._sent - 1, 0)

    def info(self, text):
        self.add("INFO", text)

    def warn(self, text):
        self.add("WARN", text)

    def error(self, text):
        self.add("ERROR", text)

    def has_unsent(self, level):
        lowest = LEVELS.index(level)
        return any([row[0] >= lowest for row in self._rows[self._sent :]])

    def select(self, level="DEBUG", since=""):
        """The last rows of at least a level and a time, as a LOG list for an upload."""
        lowest = LEVELS.index(level)
        rows = [row for row in self._rows if row[0] >= lowest and row[1] >= since]
        return [
            {"LOG2": LEVELS[row[0]], "LOG3": row[2], "LOG4": row[1]} for row in rows[-BATCH_ROWS:]
        ]

    def mark_sent(self):
        self._sent = len(self._rows)


def upload(exchange, log, rng, level, since="", cmd1=None):
    """Send the selected rows; gives the upload id (LOG1)."""
    upload_id = random_hex(rng, 8)
    tokens = {"LOG1": upload_id, "LOG2": level, "LOG": log.select(level, since)}
    if cmd1 is not None:
        tokens["CMD1"] = cmd1
    yield from exchange.call("logs", tokens)
    if cmd1 is None:  # what a command asks for is a choice of its own
        log.mark_sent()
    return upload_id
