"""What MicroPython's own ESP32 image does with the flash before boot.py, and what ours does.

A model of ports/esp32/modules/_boot.py and inisetup.py and of extmod/vfs.c (1.25): `vfs.mount`
of a block device looks for "littlefs" at byte 8 of the blocks 0 and 1, takes FAT where it is in
neither, and any OSError leads to `inisetup.setup`, which formats when block 0 is all erased, and
else prints the same message for ever.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import ERASED, NorFlash

MAGIC, MAGIC_OFFSET = b"littlefs", 8
BLOCK_COUNT, BLOCK_SIZE = 4, 5

Port = TypeVar("Port", bound=LittleFsPort)


class Start(Enum):
    """What became of the partition."""

    MOUNTED = "mounted"
    FORMATTED = "formatted"
    STUCK = "stuck"


class NotMounted(AssertionError):
    """`vfs` is lost for the stock image: `start` is what it does next."""

    def __init__(self, start: Start) -> None:
        super().__init__(f"the stock start-up would leave the partition {start.value}")
        self.start = start


def stock_mount(flash: NorFlash, attach: Callable[[Any], Port]) -> Port:
    """What `attach` makes of the partition `vfs`, where the stock image mounts it.

    Raises NotMounted where it does not.
    """
    if any(flash.read(block, MAGIC_OFFSET, len(MAGIC)) == MAGIC for block in (0, 1)):
        try:
            return attach(flash)
        except OSError:
            pass
    # Else it is FAT to it, and none that mounts.
    is_erased = not flash.read(0, 0, flash.block_size).strip(bytes([ERASED]))
    raise NotMounted(Start.FORMATTED if is_erased else Start.STUCK)


def stock_start(flash: NorFlash) -> Start:
    """The stock image's start-up on the partition `vfs`."""
    try:
        stock_mount(flash, LittleFsPort).unmount()
    except NotMounted as lost:
        if lost.start is Start.FORMATTED:
            make_filesystem(flash)
            LittleFsPort(flash).unmount()
        return lost.start
    return Start.MOUNTED


class Device:
    """A block device of MicroPython on a simulated flash, to be read."""

    def __init__(self, flash: NorFlash) -> None:
        self._flash = flash

    def ioctl(self, operation: int, _: int) -> int:
        return {BLOCK_COUNT: self._flash.block_count, BLOCK_SIZE: self._flash.block_size}[operation]

    def readblocks(self, block: int, buffer: bytearray) -> None:
        buffer[:] = self._flash.read(block, 0, len(buffer))


def volumes() -> ModuleType:
    """firmware/ks_board/volumes.py, which lies beside boot.py on a chip."""
    path = Path(__file__).parents[2] / "firmware" / "ks_board" / "volumes.py"
    spec = importlib.util.spec_from_file_location("volumes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def our_start(flash: NorFlash, module: Any) -> Start:
    """Ours, on any partition."""
    made: list[None] = []

    def attach() -> None:
        LittleFsPort(flash).unmount()

    def make() -> None:
        made.append(None)
        make_filesystem(flash)

    try:
        module.settle(Device(flash), attach, make)
    except OSError:
        return Start.STUCK
    return Start.FORMATTED if made else Start.MOUNTED
