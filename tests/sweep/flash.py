"""A NOR flash whose copies share the blocks that are the same: a copy costs next to nothing."""

from __future__ import annotations

from random import Random
from typing import Final

from ks_simulator.nor import BLOCK_BYTES, ERASED, Erase, NorFlash, NotErased, Operation, Program

_BLANK: Final = bytes([ERASED]) * BLOCK_BYTES


class SharedFlash(NorFlash):
    """As NorFlash with blocks of 4096, without its counters of wear; `memory` stays empty."""

    def __init__(self, block_count: int, blocks: list[bytes] | None = None) -> None:
        self.block_count = block_count
        self.block_size = BLOCK_BYTES
        self.memory = bytearray()
        self.blocks = list(blocks) if blocks is not None else [_BLANK] * block_count
        self.reads = 0
        self.bytes_read = 0
        self.tape: list[tuple[str, object]] | None = None
        self.tape_name = ""

    def copy(self) -> SharedFlash:
        return SharedFlash(self.block_count, self.blocks)

    def blank(self) -> None:
        """Erased as a new chip is: no operation of anybody."""
        self.blocks[:] = [_BLANK] * self.block_count

    def record_on(self, tape: list[tuple[str, object]], name: str) -> None:
        """Each operation from now on goes to the end of the tape, under this name."""
        self.tape = tape
        self.tape_name = name

    def read(self, block: int, offset: int, size: int) -> bytes:
        return self.blocks[block][offset : offset + size]

    def program(self, block: int, offset: int, data: bytes) -> None:
        data = bytes(data)
        self._start(block, offset, len(data))
        if self.tape is not None:
            self.tape.append((self.tape_name, Program(block, offset, data)))
        before = self.blocks[block]
        end = offset + len(data)
        present = before[offset:end]
        if present == _BLANK[: len(data)]:
            written = data
        else:
            fallen = int.from_bytes(present, "big") & int.from_bytes(data, "big")
            written = fallen.to_bytes(len(data), "big")
        self.blocks[block] = before[:offset] + written + before[end:]
        if written != data:
            raise NotErased(f"block {block}, offset {offset}: {len(data)} bytes over others")

    def erase(self, block: int) -> None:
        self._start(block, 0, BLOCK_BYTES)
        if self.tape is not None:
            self.tape.append((self.tape_name, Erase(block)))
        self.blocks[block] = _BLANK

    def tear_in_order(self, operation: Operation, random: Random) -> None:
        self._torn(operation, random, NorFlash.tear_in_order)

    def tear_anywhere(self, operation: Operation, random: Random) -> None:
        self._torn(operation, random, NorFlash.tear_anywhere)

    def _torn(self, operation: Operation, random: Random, tear: object) -> None:
        """NorFlash's own way of tearing, on a flash of one block."""
        one = NorFlash(1, image=self.blocks[operation.block])
        moved: Operation = Erase(0)
        if isinstance(operation, Program):
            moved = Program(0, operation.offset, operation.data)
        assert callable(tear)
        tear(one, moved, random)
        self.blocks[operation.block] = bytes(one.memory)

    def image(self) -> bytes:
        return b"".join(self.blocks)
