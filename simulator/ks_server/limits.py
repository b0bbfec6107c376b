"""Rate limits in memory: per source address, and per device and operation (PROTOCOL section 5).

Fixed windows, written as the library `limits` reads them ("100/hour"), by the server's own clock
and with a bounded number of keys. The library's own storage and strategy would ask the computer's
clock, and take longer than all else that a limit costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from limits import parse

from .settings import Settings

MAX_KEYS: Final = 500_000

SOURCE: Final = "source"
FIRST_REGISTRATION: Final = "first-registration"
FUTURE: Final = "future"
_SETTING_OF: Final = {
    SOURCE: "source",
    FIRST_REGISTRATION: "registrations",
    FUTURE: "acknowledgements",
    "register": "repeated_registrations",
    "heartbeat": "heartbeats",
    "commands": "command_polls",
    "command-ack": "acknowledgements",
    "firmware/check": "firmware_checks",
    "firmware/download": "downloads",
    "firmware/ack": "acknowledgements",
    "logs": "log_uploads",
    "events": "event_batches",
    "allow-list": "allow_lists",
    "rotate-key": "rotations",
    "time": "time",
}


class Windows:
    """Counters that end with their window: key -> [count, end in ms]. Oldest keys give way."""

    def __init__(self, now_ms: Callable[[], int], max_keys: int = MAX_KEYS) -> None:
        self._now_ms = now_ms
        self._max_keys = max_keys
        self._windows: dict[str, list[int]] = {}

    def incr(self, key: str, length_s: int) -> int:
        """Count one; the count of this window so far."""
        now_ms = self._now_ms()
        window = self._windows.get(key)
        # a clock that went back would otherwise keep a window open for as long as it went
        if window is None or not now_ms < window[1] <= now_ms + length_s * 1000:
            self._make_room(now_ms)
            self._windows[key] = [1, now_ms + length_s * 1000]
            return 1
        window[0] += 1
        return window[0]

    def get(self, key: str) -> int:
        """The count, 0 outside a window."""
        window = self._windows.get(key)
        return window[0] if window is not None and window[1] > self._now_ms() else 0

    def left_ms(self, key: str) -> int:
        """Until the key's window ends."""
        window = self._windows.get(key)
        return 0 if window is None else window[1] - self._now_ms()

    def reset(self) -> int:
        """Forget all; how many there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def _make_room(self, now_ms: int) -> None:
        if len(self._windows) < self._max_keys:
            return
        for key in [key for key, window in self._windows.items() if window[1] <= now_ms]:
            del self._windows[key]
        excess = len(self._windows) - self._max_keys * 9 // 10
        for key in list(self._windows)[: max(0, excess)]:
            del self._windows[key]


class Limits:
    """The limits of the settings; an empty setting is no limit."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self._windows = Windows(now_ms)
        # uses, and seconds in which there may be as many
        self._limits: dict[str, tuple[int, int] | None] = {}
        for name, setting in _SETTING_OF.items():
            text: Any = getattr(settings, "rate_limit_" + setting)
            item = parse(text) if text else None
            self._limits[name] = None if item is None else (item.amount, item.get_expiry())

    def hit(self, name: str, *identifiers: str) -> int:
        """Count one use of the limit `name`; 0, or seconds to wait when it is exceeded."""
        limit = self._limits[name]
        if limit is None:
            return 0
        uses, length_s = limit
        # the operations that share a setting have a window each
        key = "/".join((name, *identifiers))
        if self._windows.incr(key, length_s) <= uses:
            return 0
        return max(1, min(3600, self._windows.left_ms(key) // 1000 + 1))
