"""When to try again, and how steady the link is (PROTOCOL section 5, Retries)."""

from .ports import random_below

FIRST_MS = 5000
LONGEST_MS = 300000
JITTER_MS = 1000
SPREAD_MS = 30000

FLAPPING_DROPS = 3
FLAPPING_WINDOW_MS = 600000


class Backoff:
    def __init__(self, rng, first_ms=FIRST_MS, longest_ms=LONGEST_MS):
        self._rng = rng
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._next_ms = first_ms

    def failed(self):
        """How long to wait, in ms, after one more failure."""
        wait_ms = self._next_ms
        self._next_ms = min(wait_ms * 2, self._longest_ms)
        return wait_ms + random_below(self._rng, JITTER_MS + 1)

    def succeeded(self):
        self._next_ms = self._first_ms


class Link:
    """HB6: the link is FLAPPING when it dropped three times in ten minutes."""

    def __init__(self, clock):
        self._clock = clock
        self._drops = []
        self.up = True

    def lost(self):
        if self.up:
            self._drops = self._drops[-(FLAPPING_DROPS - 1) :] + [self._clock.ticks_ms()]
        self.up = False

    def worked(self):
        self.up = True

    def status(self):
        recent = self._clock.ticks_ms() - FLAPPING_WINDOW_MS
        if len([ticks for ticks in self._drops if ticks > recent]) >= FLAPPING_DROPS:
            return "FLAPPING"
        return "ONLINE"  # a heartbeat that says OFFLINE reaches nobody
