"""The log ring: the last lines in memory, uploaded when they matter or when asked for.

Lines are fixed texts with codes and ids in them, never keys, tokens or payloads.
"""

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
CAPACITY = 16
MAX_TEXT = 160


class Log:
    def __init__(self, clock):
        self._clock = clock
        self._rows = []
        self._sent = 0
        self.dropped = 0
        # LOG1 of the next upload, where something refers to it already.
        self.upload_id = None

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

    def rows(self, level, since):
        """The rows of at least a level and a time: (index of the level, time, text)."""
        lowest = LEVELS.index(level)
        return [row for row in self._rows if row[0] >= lowest and row[1] >= since]

    def mark_sent(self):
        self._sent = len(self._rows)
