"""Boards: their flash, and how many punches their journals hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ks_agent.journal import (
    DEFAULT_KIB,
    RESERVE_BYTES,
    SEGMENT_BYTES,
    SEGMENTS_A_NAME_BLOCK,
)
from ks_agent.punch import punch_hash
from ks_agent.segment import HEADER_BYTES, Tail, record

BOARDS: Final = Path(__file__).resolve().parents[2] / "boards"
# An empty LittleFS with the terminal's folders, as statvfs counts. What a flash really takes is
# measured by `make bench` (punch/capacity).
FIRST_BLOCKS: Final = 10
# Two versions while one replaces the other (ks_agent.allow_list).
ALLOW_LIST_BYTES: Final = 2 * 163_840
# Punches three minutes apart.
_APART_MS: Final = 172_000
_NOW_MS: Final = 1_795_000_000_000
CREDENTIALS: Final = {
    "card of 8 hex digits": "12E45678",
    "number of 5 digits": "10427",
    "text of 12 characters": "k.schneider2",
    "text of 64 characters": "x" * 64,
}


@dataclass(frozen=True)
class Board:
    """One board.toml, as far as its flash goes. Sizes in bytes.

    `image`: MicroPython's for it, `micropython`: where that is downloaded; `versions`: those that
    this project goes by.
    """

    name: str
    chip: str
    flash: int
    vfs: int
    data: int
    arch: str = ""
    psram: str = ""
    image: str = ""
    micropython: str = ""
    versions: tuple[str, ...] = ()

    def segments(self, allow_list: bool = False) -> int:
        """How many segments of its journal fit."""
        room = self.data - RESERVE_BYTES - (ALLOW_LIST_BYTES if allow_list else 0)
        return segments(room // SEGMENT_BYTES)

    def capacity(self, credential: str, allow_list: bool = False) -> int:
        """How many punches of such a credential fit, each to be acknowledged yet."""
        return self.segments(allow_list) * punches_a_segment(credential)


def segments(blocks: int) -> int:
    """Segments that fit into so many blocks of LittleFS, of which nothing is reserved."""
    found = max(blocks - FIRST_BLOCKS, 0)
    found -= found // SEGMENTS_A_NAME_BLOCK
    return min(found, DEFAULT_KIB * 1024 // SEGMENT_BYTES)


def punches_a_segment(credential: str) -> int:
    """Counted with the terminal's own records."""
    tail = Tail("0" * 16, 0, "")
    used = HEADER_BYTES
    count = 0
    while True:
        up_ms = (count + 1) * _APART_MS
        values = (credential, "IN", "RFID", True, 1, up_ms, _NOW_MS + up_ms)
        digest = punch_hash(hashlib.sha256, tail.punch(*values))
        used += len(record(tail, digest, *values))
        if used > SEGMENT_BYTES:
            return count
        count += 1
        tail = tail.after(digest, *values[4:])


def read_boards(folder: Path = BOARDS) -> list[Board]:
    """Every board of the folder, by name. Raises ToolError for one that cannot be used."""
    from .board_file import BOARD_FILE, read_board

    found = [read_board(path) for path in sorted(folder.glob(f"*/{BOARD_FILE}"))]
    return [
        Board(
            name=board.name,
            chip=board.chip,
            flash=board.flash,
            vfs=board.partitions["vfs"].size,
            data=board.partitions["data"].size,
            arch=board.arch,
            psram=board.psram or "",
            image=board.micropython.image,
            micropython=board.micropython.page,
            versions=tuple(board.micropython.versions),
        )
        for board in found
    ]
