"""Executes code for Xtensa with windowed registers, as the ESP32 and the ESP32-S3 have it.

A block, the instructions up to the next branch, becomes one Python function when it is reached for
the first time: see `instructions` for what each of them does.

Stricter than a chip:
- registers and locals hold None until they are written, and calls leave None in the registers that
  belong to the called, so that to compute with what was never set is a Fault;
- the stack is reached through a1 only, within the function's locals, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .instructions import (
    CONDITIONS,
    LOADS,
    REGISTERS,
    SHIFT,
    SLOW,
    STATEMENTS,
    STORES,
    Instruction,
    decoded,
)  # fmt: skip
from .runtime import REGION_BITS, RETURN, STACK, TRAPS, WORD, Call, Fault, Region, Trace

OFFSET = (1 << REGION_BITS) - 1
SAVE_AREA = 32  # the end of a frame, where the registers of outer windows go
PROGRAM_COUNTER = 16  # beside the registers, and so is SHIFT

LOG = "log(x)"


@dataclass(frozen=True)
class Block:
    """Instructions that are executed together. `taken` is the last one's target, if conditional.

    `stalls` counts the results of loads and multiplications that the next instruction uses.
    """

    run: Callable[..., int]
    kinds: Counter[str]
    stalls: Counter[str]
    taken: int | None
    accesses: int


class Program:
    """One native function."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.blocks: dict[int, Block] = {}
        self._frame = 0

    def run(self, call: Call) -> tuple[object, Trace]:
        """What the function returns, and what it did. Raises Fault."""
        registers: list[int | None] = [None] * (1 + SHIFT)
        registers[0], registers[1] = RETURN, STACK
        registers[2:6] = [call.function_object, call.count, 0, call.arguments]
        memory = _Memory(call)
        trace = Trace()
        stack: list[int | None] = []
        at = 0
        try:
            while at != RETURN:
                if at >= TRAPS:
                    returned = call.trap(at, [value or 0 for value in registers[10:16]])
                    registers[8:16] = [None, None, returned, None, None, None, None, None]
                    at = registers[PROGRAM_COUNTER] or 0
                trace.path.append(at)
                block = self.blocks.get(at) or self._translated(at)
                if not stack:
                    stack = [None] * (self._frame // 4)
                at = block.run(
                    registers, stack, memory.words, memory.halves, memory.octets, trace.addresses
                )
        except (IndexError, KeyError, TypeError) as error:
            where = f"after {trace.addresses[-1]:#x}" if trace.addresses else "at once"
            raise Fault(f"in the block at {trace.path[-1]}: {error!r}, {where}") from error
        return call.result(registers[2] or 0), trace

    def _translated(self, at: int) -> Block:
        block = self.blocks[at] = self._block(list(self._instructions(at)), at)
        return block

    def _instructions(self, at: int) -> Iterator[Instruction]:
        while True:
            instruction = decoded(self.code, at)
            yield instruction
            at += instruction.size
            if instruction.kind in ("branch", "jump") or instruction.name in ("callx8", "retw"):
                return

    def _block(self, instructions: list[Instruction], at: int) -> Block:
        lines: list[str] = []
        stalls: Counter[str] = Counter()
        end = at + sum(instruction.size for instruction in instructions)
        for instruction, following in zip(instructions, [*instructions[1:], None], strict=True):
            lines += self._lines(instruction, end)
            if following and instruction.kind in SLOW and instruction.written in following.read:
                stalls[instruction.kind] += 1
        return Block(
            _function(lines),
            Counter(instruction.kind for instruction in instructions),
            stalls,
            instructions[-1].immediate if instructions[-1].kind == "branch" else None,
            lines.count(LOG),
        )

    def _lines(self, instruction: Instruction, end: int) -> list[str]:
        name, immediate = instruction.name, instruction.immediate
        if name in LOADS or name in STORES:
            return self._memory_lines(instruction)
        if name in STATEMENTS:
            if instruction.written == 1:
                raise Fault("the stack pointer is computed")
            return [STATEMENTS[name].format(**instruction.fields)]
        if name in CONDITIONS:
            condition = CONDITIONS[name].format(**instruction.fields)
            return [f"return {immediate} if {condition} else {end}"]
        if name == "j":
            return [f"return {immediate}"]
        if name == "callx8":
            return [f"a{PROGRAM_COUNTER} = {end}", f"return a{instruction.s}"]
        if name == "retw":
            return ["return a0"]
        self._frame = immediate
        return [f"a1 = a1 - {immediate}"]

    def _memory_lines(self, instruction: Instruction) -> list[str]:
        name, immediate = instruction.name, instruction.immediate
        size, view = LOADS[name] if name in LOADS else STORES[name]
        register = f"a{instruction.t}" if name in LOADS else f"a{instruction.t} & {256**size - 1}"
        if instruction.s == 1:
            if size != 4 or immediate >= self._frame - SAVE_AREA:
                raise Fault(f"{instruction} is outside of the frame")
            lines, place = [], f"stack[{immediate // 4}]"
            register = f"a{instruction.t}"
        else:
            lines = [f"x = a{instruction.s} + {immediate} & {WORD}", LOG]
            if size > 1:
                lines.append(f"if x & {size - 1}: raise IndexError('misaligned')")
            place = f"{view}[x >> {REGION_BITS}][(x & {OFFSET}) >> {size.bit_length() - 1}]"
        return [*lines, f"{register} = {place}" if name in LOADS else f"{place} = {register}"]


class _Memory:
    """The regions of a call, by their numbers, as words, halfwords and octets."""

    def __init__(self, call: Call) -> None:
        self.words: dict[int, memoryview] = {}
        self.halves: dict[int, memoryview] = {}
        self.octets: dict[int, memoryview | _Slice] = {}
        for region in call.regions:
            self._add(region)
        call.added = self._add

    def _add(self, region: Region) -> None:
        number = region.address >> REGION_BITS
        if region.address & 1:
            self.octets[number] = _Slice(region.content)
            return
        self.octets[number] = region.content
        self.halves[number] = region.content[: len(region.content) & ~1].cast("H")
        self.words[number] = region.content[: len(region.content) & ~3].cast("I")


class _Slice:
    """Octets that begin at offset 1 of their region."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def __getitem__(self, offset: int) -> int:
        return int(self._content[self._index(offset)])

    def __setitem__(self, offset: int, value: int) -> None:
        self._content[self._index(offset)] = value

    @staticmethod
    def _index(offset: int) -> int:
        if offset == 0:
            raise IndexError("before the buffer")
        return offset - 1


def _function(lines: list[str]) -> Callable[..., int]:
    used = sorted({int(number) for line in lines for number in REGISTERS.findall(line)})
    before = [f"a{number} = registers[{number}]" for number in used]
    after = [f"registers[{number}] = a{number}" for number in used]
    body = ["log = addresses.append", *before, *lines[:-1], *after, lines[-1]]
    parameters = "registers, stack, words, halves, octets, addresses"
    text = f"def block({parameters}):\n" + "".join(f"    {line}\n" for line in body)
    names: dict[str, Callable[..., int]] = {}
    exec(text, names)
    return names["block"]
