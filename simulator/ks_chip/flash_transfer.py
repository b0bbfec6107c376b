"""Writing to flash block by block, plain or deflated, and reading it in frames, as the loader does.

The ROM erases where a write begins, its whole region at once; the stub as it goes.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import Final

from .flash import SECTOR_BYTES, Flash
from .slip import frame

CHECKSUM_SEED: Final = 0xEF
# Nothing that esptool sends in one block is larger.
MAX_BLOCK_BYTES: Final = 0x10000
MAX_FRAME_BYTES: Final = 0x10000


class Failure(Enum):
    """Why a command failed: the ROM's number for it, and the stub's."""

    UNKNOWN = (0x05, 0xFF)
    LENGTH = (0x05, 0xC0)
    FAILED = (0x06, 0xC4)
    CHECKSUM = (0x07, 0xC1)
    NOT_BEGUN = (0x06, 0xC6)
    INFLATE = (0x0B, 0xC7)
    TOO_MUCH = (0x08, 0xC9)


class Refused(Exception):
    """Answered with a failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def checksum(data: bytes) -> int:
    """Exclusive or of all bytes, and of the seed."""
    left = int.from_bytes(data)
    size = len(data)
    while size > 1:
        half = (size + 1) // 2
        left = (left >> (8 * half)) ^ (left & ((1 << (8 * half)) - 1))
        size = half
    return left ^ CHECKSUM_SEED


def block_of(data: bytes) -> tuple[bytes, int]:
    """The bytes of a block as it was sent, and its number. Raises Refused, struct.error."""
    length, number = struct.unpack_from("<IIII", data)[:2]
    block = data[16:]
    if length != len(block) or length > MAX_BLOCK_BYTES:
        raise Refused(Failure.LENGTH)
    return block, number


class Writing:
    """A write from the command that begins it on; all of it raises Refused and PowerLost."""

    def __init__(self, flash: Flash, data: bytes, deflated: bool, erase_ahead: bool) -> None:
        size, _, self._block_bytes, offset = struct.unpack_from("<IIII", data)
        if offset + size > flash.size or self._block_bytes > MAX_BLOCK_BYTES:
            raise Refused(Failure.FAILED)
        self._flash = flash
        self._start = self._at = offset
        self._end = offset + size
        self._erased_to = offset - offset % SECTOR_BYTES
        self._expected = 0
        self._inflate = zlib.decompressobj() if deflated else None
        if erase_ahead:
            self._erase_to(self._end)

    def write(self, data: bytes) -> None:
        """A plain block. The same one may come again, since its answer may have been lost."""
        block, number = block_of(data)
        if self._inflate is not None:
            raise Refused(Failure.NOT_BEGUN)
        at = self._start + number * self._block_bytes
        if number > self._expected or at >= self._end:
            raise Refused(Failure.TOO_MUCH)
        block = block[: self._flash.size - at]
        self._erase_to(at + len(block))
        self._flash.program(at, block)
        self._expected = max(self._expected, number + 1)

    def write_deflated(self, data: bytes) -> None:
        """A deflated block; the last one may come again."""
        block, number = block_of(data)
        if self._inflate is None:
            raise Refused(Failure.NOT_BEGUN)
        if number == self._expected - 1:
            return
        if number != self._expected:
            raise Refused(Failure.FAILED)
        left = self._end - self._at
        try:
            inflated = self._inflate.decompress(block, left + 1)
        except zlib.error:
            raise Refused(Failure.INFLATE) from None
        if len(inflated) > left:
            raise Refused(Failure.TOO_MUCH)
        self._erase_to(self._at + len(inflated))
        self._flash.program(self._at, inflated)
        self._at += len(inflated)
        self._expected += 1

    def _erase_to(self, end: int) -> None:
        end = min(-(-end // SECTOR_BYTES) * SECTOR_BYTES, self._flash.size)
        while self._erased_to < end:
            self._flash.erase(self._erased_to, SECTOR_BYTES)
            self._erased_to += SECTOR_BYTES


class Reading:
    """A read under way: no more frames are sent than `window` beyond what is acknowledged."""

    def __init__(self, flash: Flash, data: bytes) -> None:
        self._start, self._length, self._frame_bytes, window = struct.unpack("<IIII", data)
        if not 0 < self._frame_bytes <= MAX_FRAME_BYTES or not window:
            raise Refused(Failure.LENGTH)
        if self._start + self._length > flash.size:
            raise Refused(Failure.FAILED)
        self._flash = flash
        self._ahead = window * self._frame_bytes
        self._sent = 0
        self._acknowledged = 0
        self.is_done = False

    def acknowledged(self, count: int) -> Iterator[bytes]:
        """The frames to be sent once the host has got `count` bytes; at the end, their MD5."""
        if count > self._sent:
            return
        self._acknowledged = max(self._acknowledged, count)
        while self._sent < min(self._length, self._acknowledged + self._ahead):
            size = min(self._frame_bytes, self._length - self._sent)
            yield frame(self._flash.read(self._start + self._sent, size))
            self._sent += size
        if self._acknowledged >= self._length:
            self.is_done = True
            whole = self._flash.read(self._start, self._length)
            yield frame(hashlib.md5(whole, usedforsecurity=False).digest())
