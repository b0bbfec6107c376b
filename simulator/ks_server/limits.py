"""Rate limits in memory: per source address, and per device and operation (PROTOCOL section 5).

Fixed windows of the library `limits`, on a storage that keeps the server's own clock and a bounded
number of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from .settings import Settings

MAX_KEYS: Final = 500_000

SOURCE: Final = "source"
FIRST_REGISTRATION: Final = "first-registration"
_SETTING_OF: Final = {
    SOURCE: "source",
    FIRST_REGISTRATION: "registrations",
    "register": "repeated_registrations",
    "heartbeat": "heartbeats",
    "commands": "command_polls",
    "command-ack": "acknowledgements",
    "firmware/check": "firmware_checks",
    "firmware/download": "downloads",
    "firmware/ack": "acknowledgements",
    "logs": "log_uploads",
    "events": "event_batches",
    "rotate-key": "rotations",
    "time": "time",
}


class Windows(Storage):
    """Counters that end with their window: key -> [count, end in ms]. Oldest keys give way."""

    STORAGE_SCHEME = None

    def __init__(self, now_ms: Callable[[], int], max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._max_keys = max_keys
        self._windows: dict[str, list[int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return KeyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count; `expiry` is the window's length in seconds."""
        now_ms = self._now_ms()
        window = self._windows.get(key)
        # a clock that went back would otherwise keep a window open for as long as it went
        if window is None or not now_ms < window[1] <= now_ms + expiry * 1000:
            self._make_room(now_ms)
            self._windows[key] = [amount, now_ms + expiry * 1000]
            return amount
        window[0] += amount
        return window[0]

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return window[0] if window is not None and window[1] > self._now_ms() else 0

    def get_expiry(self, key: str) -> float:
        """Unix seconds at which the key's window ends."""
        window = self._windows.get(key)
        return (window[1] if window is not None else self._now_ms()) / 1000

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

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
        self._now_ms = now_ms
        self._windows = FixedWindowRateLimiter(Windows(now_ms))
        self._items: dict[str, RateLimitItem | None] = {}
        for name, setting in _SETTING_OF.items():
            text: Any = getattr(settings, "rate_limit_" + setting)
            self._items[name] = parse(text) if text else None

    def hit(self, name: str, *identifiers: str) -> int:
        """Count one use of the limit `name`; 0, or seconds to wait when it is exceeded."""
        item = self._items[name]
        # the operations that share a setting have a window each
        if item is None or self._windows.hit(item, name, *identifiers):
            return 0
        ends_s = self._windows.get_window_stats(item, name, *identifiers).reset_time
        return max(1, min(3600, int(ends_s - self._now_ms() / 1000) + 1))
