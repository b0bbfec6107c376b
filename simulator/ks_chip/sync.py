"""The frame with which esptool asks for the loader, and finding it among other bytes."""

from __future__ import annotations

import struct
from typing import Final

from .slip import frame

SYNC: Final = 0x08
SYNC_DATA: Final = b"\x07\x07\x12\x20" + 32 * b"\x55"
SYNC_FRAME: Final = frame(struct.pack("<BBHI", 0, SYNC, len(SYNC_DATA), 0) + SYNC_DATA)


class SyncWatch:
    """Finds the frame among the bytes for the program, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What is for the program, and what followed the frame if it came."""
        data = self._kept + data
        self._kept = b""
        before, found, after = data.partition(SYNC_FRAME)
        if found:
            return before, after
        for size in range(min(len(SYNC_FRAME) - 1, len(data)), 0, -1):
            if data.endswith(SYNC_FRAME[:size]):
                self._kept = data[-size:]
                return data[:-size], None
        return data, None
