"""What the chip makes of its flash at a start, and what it prints on the way.

Partition table: ESP-IDF Programming Guide, "Partition Tables": entries of 32 bytes from 0x8000 on,
0xAA50 first, ended by 0xEBEB with the MD5 of those before it, or by erased flash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .flash import SECTOR_BYTES, Flash, OutOfFlash

TABLE_OFFSET: Final = 0x8000
TABLE_BYTES: Final = 0xC00
ENTRY_BYTES: Final = 32
_ENTRY: Final = 0x50AA
_MD5: Final = 0xEBEB
_APPLICATION: Final = 0
_IMAGE_MAGIC: Final = 0xE9
VFS: Final = "vfs"


class Cause(Enum):
    """Why the chip starts: a word, MicroPython's number (machine.reset_cause), the ROM's text."""

    POWER = ("power", 1, "rst:0x1 (POWERON_RESET)")
    PIN = ("pin", 1, "rst:0x1 (POWERON_RESET)")
    SOFT = ("soft", 2, "rst:0xc (SW_CPU_RESET)")
    WATCHDOG = ("watchdog", 3, "rst:0x8 (TG1WDT_SYS_RESET)")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def number(self) -> int:
        return self.value[1]

    @property
    def text(self) -> str:
        return self.value[2]


class NoBoot(Exception):
    """The chip finds nothing to start; the text is what it prints over and over."""


@dataclass(frozen=True)
class Partition:
    """One entry of the table."""

    name: str
    kind: int
    subtype: int
    offset: int
    size: int


def greeting(cause: Cause) -> str:
    """What the ROM prints at every start."""
    return f"ets Jul 29 2019 12:21:46\r\n\r\n{cause.text},boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"


def partitions(flash: Flash) -> list[Partition]:
    """The partition table. Raises NoBoot where there is none, or one that does not hold."""
    table = flash.read(TABLE_OFFSET, TABLE_BYTES)
    if table[:ENTRY_BYTES].strip(b"\xff") == b"":
        raise NoBoot("invalid header: 0xffffffff\r\n" * 3)
    return list(_entries(table))


def _entries(table: bytes) -> Iterator[Partition]:
    for start in range(0, len(table), ENTRY_BYTES):
        entry = table[start : start + ENTRY_BYTES]
        magic, kind, subtype, offset, size, name = struct.unpack_from("<HBBII16s", entry)
        if magic == _ENTRY:
            text = name.split(b"\0")[0].decode("ascii", "replace")
            yield Partition(text, kind, subtype, offset, size)
        elif magic == _MD5:
            if hashlib.md5(table[:start], usedforsecurity=False).digest() != entry[16:]:
                raise NoBoot("E (38) flash_parts: partition table MD5 is wrong\r\n")
            return
        elif magic == 0xFFFF:
            return
        else:
            raise NoBoot(f"E (38) flash_parts: partition {start // ENTRY_BYTES} invalid magic\r\n")


def check(flash: Flash) -> None:
    """Raises NoBoot where the chip has no table, no application or no file system to start."""
    found = partitions(flash)
    try:
        applications = [one for one in found if one.kind == _APPLICATION]
        if not any(flash.read(one.offset, 1)[0] == _IMAGE_MAGIC for one in applications):
            raise NoBoot("E (42) boot: No bootable app partitions in the partition table\r\n")
        vfs = [one for one in found if one.name == VFS]
        if not vfs or flash.is_erased(vfs[0].offset, 2 * SECTOR_BYTES):
            raise NoBoot("invalid header: 0xffffffff\r\n" * 3)
    except OutOfFlash:
        raise NoBoot("E (38) flash_parts: partition beyond the flash\r\n") from None
