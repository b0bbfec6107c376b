"""The chip's flash: a file, erased to ones in sectors, in which programs clear bits and no more.

Every sector erased and every piece of a sector programmed is one operation. After as many as were
allowed, the power goes in the middle of the next one: half of it is done.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

SECTOR_BYTES: Final = 4096
ERASED: Final = b"\xff"
BLANK_SECTOR: Final = ERASED * SECTOR_BYTES


class PowerLost(Exception):
    """The operations that were allowed are done, and half of the next one is."""


class WrongSize(ValueError):
    """A file that is no flash of that size."""


class OutOfFlash(ValueError):
    """An address beyond the end, or an erase that is not of whole sectors."""


class Operations:
    """Counts what was done to the flash, and takes the power away in time."""

    def __init__(self) -> None:
        self.done = 0
        self.left: int | None = None  # until the power goes; None is for ever

    def limit(self, count: int | None) -> None:
        """Let the power go after so many more operations; None lifts the limit."""
        self.left = count

    def take(self) -> bool:
        """Begin one operation; False when the power goes in the middle of it."""
        self.done += 1
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0

    def taken(self, count: int) -> None:
        """As many were done by another, who was told the limit."""
        self.done += count
        if self.left is not None:
            self.left = max(0, self.left - count)


class Flash:
    """A flash of `size` bytes in a file, which is made, all erased, when it is not there.

    Raises WrongSize for a file of another size.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as made:
                for _ in range(size // SECTOR_BYTES):
                    made.write(BLANK_SECTOR)
        if path.stat().st_size != size:
            raise WrongSize(f"{path} is no flash of {size} bytes")
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self.operations = Operations()

    def close(self) -> None:
        self._map.close()

    def read(self, offset: int, length: int) -> bytes:
        """Raises OutOfFlash beyond the end."""
        self._check(offset, length)
        return self._map[offset : offset + length]

    def is_erased(self, offset: int, length: int) -> bool:
        return not self.read(offset, length).strip(ERASED)

    def erase(self, offset: int, length: int) -> None:
        """Set whole sectors to ones. Raises OutOfFlash, PowerLost."""
        self._check(offset, length)
        if offset % SECTOR_BYTES or length % SECTOR_BYTES:
            raise OutOfFlash(f"{offset:#x}+{length:#x} is not of whole sectors")
        for start in range(offset, offset + length, SECTOR_BYTES):
            self._do(start, BLANK_SECTOR)

    def program(self, offset: int, data: bytes) -> None:
        """Clear the bits that are clear in `data`. Raises OutOfFlash, PowerLost."""
        self._check(offset, len(data))
        at = 0
        while at < len(data):
            start = offset + at
            piece = data[at : at + SECTOR_BYTES - start % SECTOR_BYTES]
            before = self._map[start : start + len(piece)]
            if before.strip(ERASED):
                both = int.from_bytes(before) & int.from_bytes(piece)
                self._do(start, both.to_bytes(len(piece)))
            else:
                self._do(start, piece)
            at += len(piece)

    def _do(self, start: int, data: bytes) -> None:
        """One operation, after which `data` is there."""
        if not self.operations.take():
            half = data[: len(data) // 2]
            self._map[start : start + len(half)] = half
            raise PowerLost
        self._map[start : start + len(data)] = data

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise OutOfFlash(f"{offset:#x}+{length:#x} in a flash of {self.size:#x}")
