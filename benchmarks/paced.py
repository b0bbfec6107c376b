"""Software chips at the far end of a cable: bytes take the time that a serial line takes.

A software chip's line is as fast as the computer. Here every byte takes ten bits at the baud rate
that the host has chosen, either way, and what begins anew waits for the USB adapter's next frame.
The whole flash is erased as slowly as a real one. It is programmed at once: a real chip does that
while it waits for more, and erases once more what it is about to program.
"""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ks_chip.chip import Setup
from ks_chip.line import Line, Listener, PtyLine
from ks_chip.models import ROM_BAUD
from ks_chip.rack import Rack

BITS_A_BYTE: Final = 10  # start, eight of data, stop
USB_FRAME_S: Final = 0.001  # of USB at full speed, as all usual adapters have it
# 4 MB: W25Q32JV's data sheet, chip erase time, typical.
ERASE_S: Final = 10.0
# As esptool sends it: slip.py, and ERASE_FLASH in rom_loader.py; it has no data.
ERASE_FLASH: Final = b"\xc0\x00\xd0\x00\x00"
OUTPUT_SPEED: Final = 5  # its place in what tcgetattr gives
BAUDS: Final = {
    getattr(termios, f"B{baud}"): baud
    for baud in (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, 1000000, 2000000)
}


class Pace:
    """When what is sent in one direction has arrived."""

    def __init__(self) -> None:
        self._free = 0.0

    def due(self, now: float, count: int, baud: int) -> float:
        """The time at which the last of `count` bytes is there; times in seconds."""
        begins = max(now + USB_FRAME_S, self._free)
        # Nothing has arrived at the same time as what was sent before it.
        self._free = begins + max(count, 1) * BITS_A_BYTE / baud
        return self._free

    def hold(self, until: float) -> None:
        """Nothing is sent before that time."""
        self._free = max(self._free, until)


class BaudLine(PtyLine):
    """A pty that knows the rate that its host has set last."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        self._baud = ROM_BAUD

    @property
    def baud(self) -> int:
        if self.is_plugged:
            self._baud = BAUDS[termios.tcgetattr(self._master)[OUTPUT_SPEED]]
        return self._baud


class PacedLine:
    """A pty as a cable: in order, and no faster than its baud rate."""

    def __init__(self, link: Path) -> None:
        self._line = BaudLine(link)
        self._listener: Listener | None = None
        self._to_chip, self._to_host = Pace(), Pace()

    @property
    def url(self) -> str:
        return self._line.url

    @property
    def is_plugged(self) -> bool:
        return self._line.is_plugged

    async def plug(self, listener: Listener) -> None:
        self._listener = listener
        await self._line.plug(self)

    def unplug(self) -> None:
        self._line.unplug()

    def write(self, data: bytes) -> None:
        self._later(self._to_host, len(data), lambda: self._line.write(data))

    def received(self, data: bytes) -> None:
        listener = self._found_listener
        due = self._later(self._to_chip, len(data), lambda: listener.received(data))
        if data.startswith(ERASE_FLASH):
            self._to_host.hold(due + ERASE_S)

    def opened(self) -> None:
        self._found_listener.opened()

    def closed(self) -> None:
        """After whatever is on its way."""
        self._later(self._to_chip, 0, self._found_listener.closed)

    @property
    def _found_listener(self) -> Listener:
        assert self._listener is not None, "nobody is plugged in"
        return self._listener

    def _later(self, pace: Pace, count: int, act: Callable[[], None]) -> float:
        loop = asyncio.get_running_loop()
        due = pace.due(loop.time(), count, self._line.baud)
        loop.call_at(due, act)
        return due


class PacedRack(Rack):
    """Chips on such lines."""

    def _line(self, setup: Setup) -> Line:
        return PacedLine(setup.flash.with_suffix(".pty"))
