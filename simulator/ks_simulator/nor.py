"""NOR flash as the chip behaves: programming makes bits fall, only an erase lets them rise.

Counts what wears the chip, records what was done to it, and does an operation by halves, as a power
cut does. What it leaves out: cells that read now so and now otherwise after a cut.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

ERASED: Final = 0xFF
BLOCK_BYTES: Final = 4096


class Program(NamedTuple):
    """Bytes written into one block, from `offset` on."""

    block: int
    offset: int
    data: bytes


class Erase(NamedTuple):
    """One block set to 0xFF."""

    block: int


Operation = Program | Erase


class NotErased(ValueError):
    """A bit was to rise by programming, which the chip cannot do."""


class OutOfRange(ValueError):
    """No such block, or bytes that do not lie inside one block."""


class NorFlash:
    """`block_count` blocks of `block_size` bytes, erased or as in `image`."""

    def __init__(
        self, block_count: int, block_size: int = BLOCK_BYTES, image: bytes | None = None
    ) -> None:
        size = block_count * block_size
        if image is not None and len(image) != size:
            raise OutOfRange(f"an image of {len(image)} bytes for a flash of {size}")
        self.block_count = block_count
        self.block_size = block_size
        self.memory = bytearray(bytes([ERASED]) * size if image is None else image)
        self.erases = [0] * block_count
        self.programs = [0] * block_count
        self.bytes_programmed = 0
        self.reads = 0
        self.bytes_read = 0
        self.operation_count = 0
        self._record: list[Operation] | None = None

    def start_recording(self) -> list[Operation]:
        """A list that grows by each operation from now on."""
        self._record = []
        return self._record

    def read(self, block: int, offset: int, size: int) -> bytes:
        start = self._start(block, offset, size)
        self.reads += 1
        self.bytes_read += size
        return bytes(self.memory[start : start + size])

    def program(self, block: int, offset: int, data: bytes) -> None:
        """Raises NotErased, with the bits fallen as they do on the chip."""
        data = bytes(data)
        start = self._start(block, offset, len(data))
        self._note(Program(block, offset, data))
        self.programs[block] += 1
        self.bytes_programmed += len(data)
        before = int.from_bytes(self.memory[start : start + len(data)], "big")
        after = before & int.from_bytes(data, "big")
        written = after.to_bytes(len(data), "big")
        self.memory[start : start + len(data)] = written
        if written != data:
            raise NotErased(f"block {block}, offset {offset}: {len(data)} bytes over others")

    def erase(self, block: int) -> None:
        start = self._start(block, 0, self.block_size)
        self._note(Erase(block))
        self.erases[block] += 1
        self.memory[start : start + self.block_size] = bytes([ERASED]) * self.block_size

    def perform(self, operation: Operation) -> None:
        """An operation of a record, whole."""
        if isinstance(operation, Program):
            self.program(*operation)
        else:
            self.erase(*operation)

    def tear_in_order(self, operation: Operation, random: Random) -> None:
        """An operation that worked its way from the first byte up to some bit of a later one."""
        start, size, falling, rising = self._change(operation)
        done = random.randrange(size)
        mask = bytes([0xFF]) * done + random.randbytes(1) + bytes(size - done - 1)
        self._put(start, size, falling, rising, int.from_bytes(mask, "big"))

    def tear_anywhere(self, operation: Operation, random: Random) -> None:
        """An operation that worked on all its bits at once, and was through with some of them."""
        start, size, falling, rising = self._change(operation)
        mask = int.from_bytes(random.randbytes(size), "big")
        self._put(start, size, falling, rising, mask)

    def _change(self, operation: Operation) -> tuple[int, int, int, int]:
        """Where it lies, its size, and the bits that it makes fall and rise."""
        if isinstance(operation, Erase):
            start, size = self._start(operation.block, 0, self.block_size), self.block_size
            present = int.from_bytes(self.memory[start : start + size], "big")
            return start, size, 0, present ^ ((1 << (8 * size)) - 1)
        size = len(operation.data)
        start = self._start(operation.block, operation.offset, size)
        present = int.from_bytes(self.memory[start : start + size], "big")
        return start, size, present & ~int.from_bytes(operation.data, "big"), 0

    def _put(self, start: int, size: int, falling: int, rising: int, mask: int) -> None:
        present = int.from_bytes(self.memory[start : start + size], "big")
        torn = present & ~(falling & mask) | rising & mask
        self.memory[start : start + size] = torn.to_bytes(size, "big")

    def _note(self, operation: Operation) -> None:
        self.operation_count += 1
        if self._record is not None:
            self._record.append(operation)

    def _start(self, block: int, offset: int, size: int) -> int:
        inside = offset >= 0 and size >= 0 and offset + size <= self.block_size
        if not (0 <= block < self.block_count and inside):
            raise OutOfRange(f"block {block}, offset {offset}, {size} bytes")
        return block * self.block_size + offset
