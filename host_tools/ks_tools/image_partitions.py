"""The partition table that the bootloader reads at 0x8000: 32 bytes a partition, then their MD5."""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from .board_file import Board
from .board_file_check import SUBTYPES

TABLE_OFFSET: Final = 0x8000
# What ESP-IDF's gen_esp32part.py makes; the sector's rest stays erased.
TABLE_BYTES: Final = 0xC00
_ENTRY: Final = struct.Struct("<2sBBLL16sL")
_MAGIC: Final = b"\xaa\x50"
_MD5_MAGIC: Final = b"\xeb\xeb" + b"\xff" * 14
_TYPES: Final = {"app": 0, "data": 1}


def table(board: Board) -> bytes:
    """The table of a board that has been checked."""
    entries = b""
    for name, part in sorted(board.partitions.items(), key=lambda item: item[1].offset):
        kind, subtype = _TYPES[part.type], SUBTYPES[part.type][part.subtype]
        place = part.offset, part.size
        entries += _ENTRY.pack(_MAGIC, kind, subtype, *place, name.encode("ascii"), 0)
    entries += _MD5_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
    return entries.ljust(TABLE_BYTES, b"\xff")
