"""The terminal's time: no clock of its own, only what the server signs (PROTOCOL section 3)."""

from . import timetext
from .errors import Malformed
from .store import STATE

SYNCED = "SYNCED"
UNSYNCED = "UNSYNCED"
PATH = STATE + "clock.toon"
MAX_ROUND_TRIP_MS = 10000
DAY_MS = 86400000


class Clock:
    def __init__(self, port, store):
        self._port = port
        self._store = store
        self._stored_ms = self._read()
        self._offset_ms = max(port.build_ms, self._stored_ms) - port.ticks_ms()
        self.state = UNSYNCED

    def _read(self):
        record = self._store.read_or_none(PATH) or {}
        try:
            return timetext.parse_ms(record.get("TS", ""))
        except Malformed:
            return 0

    def ticks_ms(self):
        return self._port.ticks_ms()

    def now_ms(self):
        return self._offset_ms + self._port.ticks_ms()

    def time_ms(self):
        """The moment that text() tells."""
        return _writable(self.now_ms())

    def text(self):
        return _text(self.now_ms())

    def boot_text(self):
        """When this boot began, as far as is known now."""
        return _text(self._offset_ms)

    @property
    def synced(self):
        return self.state == SYNCED

    def not_before(self, unix_ms):
        """A time that is known to be past, to start from while the true one is not known."""
        if not self.synced:
            self._offset_ms = max(self._offset_ms, unix_ms - self._port.ticks_ms())

    def offer(self, server_ms, sent_ticks_ms, came_ticks_ms):
        """Take the time of a verified, bound answer; True if the clock stepped.

        What it took to verify the answer is no part of the round trip: it may be seconds.
        """
        round_trip_ms = came_ticks_ms - sent_ticks_ms
        if not 0 <= round_trip_ms < MAX_ROUND_TRIP_MS:
            return False
        difference_ms = server_ms + round_trip_ms // 2 - (self._offset_ms + came_ticks_ms)
        self.state = SYNCED
        stepped = abs(difference_ms) > round_trip_ms
        if stepped:
            self._offset_ms += difference_ms
        self._remember()
        return stepped

    def _remember(self):
        # A cold boot starts here: one write a day keeps it near enough, and the flash alive.
        now_ms = self.now_ms()
        if abs(now_ms - self._stored_ms) >= DAY_MS:
            self._stored_ms = now_ms  # first: a flash that fails must not fail every answer
            self._store.write(PATH, {"TS": _text(now_ms)})


def _text(unix_ms):
    return timetext.format_ms(_writable(unix_ms))


def _writable(unix_ms):
    # Whatever time it was told: with one that cannot be written it would never be told another.
    return max(0, min(unix_ms, timetext.LAST_MS))
