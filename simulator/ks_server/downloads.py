"""Downloads under way: how many devices have one at once, and how fast all of them are together.

    place = downloads.begin(d1)       Busy when DOWNLOADS_AT_ONCE other devices have one
    await place.take(count)           waits until so many bytes may go out
    place.leave()

Devices take turns, however many connections one of them has opened, and whose connection is slow
holds up nobody else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

# how long a device that found no place waits, at least, before it asks again
BUSY_RTY_S: Final = 30


class Busy(Exception):
    """As many devices as may are downloading."""


class Throttle:
    """Lets `bytes_per_s` through, in the order of asking; 0: everything at once.

    `now_s` is a clock that never goes back, in seconds.
    """

    def __init__(
        self,
        bytes_per_s: int,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._bytes_per_s = bytes_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._free_s = 0.0

    @property
    def limits(self) -> bool:
        """Whether anybody ever has to wait."""
        return self._bytes_per_s > 0

    async def take(self, count: int) -> None:
        """Wait until what others took before has gone out."""
        if not self._bytes_per_s:
            return
        now_s = self._now_s()
        turn_s = max(now_s, self._free_s)
        self._free_s = turn_s + count / self._bytes_per_s
        if turn_s > now_s:
            await self._sleep(turn_s - now_s)


class Downloads:
    """All downloads of one server. `at_once` is a number of devices; 0: any."""

    def __init__(self, at_once: int, throttle: Throttle) -> None:
        self._at_once = at_once
        self._throttle = throttle
        self._devices: dict[str, _Device] = {}

    @property
    def is_limited(self) -> bool:
        """Whether the bytes per second are limited."""
        return self._throttle.limits

    def may_begin(self, d1: str) -> bool:
        """Whether there is a place for the device. One that has one may begin again: a connection
        that broke off may look open for minutes."""
        return not self._at_once or d1 in self._devices or len(self._devices) < self._at_once

    def begin(self, d1: str) -> Place:
        """A place for one download. Raises Busy."""
        if not self.may_begin(d1):
            raise Busy
        device = self._devices.setdefault(d1, _Device())
        device.places += 1
        return Place(self, d1, device)

    def __len__(self) -> int:
        return len(self._devices)

    async def take(self, device: _Device, count: int) -> None:
        """One piece of a device's at a time waits for its turn."""
        async with device.turn:
            await self._throttle.take(count)

    def leave(self, d1: str, device: _Device) -> None:
        """One download of the device has ended."""
        device.places -= 1
        if not device.places:
            del self._devices[d1]


class _Device:
    def __init__(self) -> None:
        self.places = 0
        self.turn = asyncio.Lock()


class Place:
    """One download under way."""

    def __init__(self, downloads: Downloads, d1: str, device: _Device) -> None:
        self._downloads = downloads
        self._d1 = d1
        self._device: _Device | None = device

    async def take(self, count: int) -> None:
        """Wait until so many bytes may go out."""
        if self._device is not None:
            await self._downloads.take(self._device, count)

    def leave(self) -> None:
        """Give the place to somebody else; again does nothing."""
        if self._device is not None:
            self._downloads.leave(self._d1, self._device)
            self._device = None
