"""Executes code for Xtensa with windowed registers, as the ESP32 and the ESP32-S3 have it.

A block, the instructions up to the next branch, becomes one Python function when it is reached for
the first time. The statements for each instruction are in STATEMENTS, after the Xtensa Instruction
Set Architecture Reference Manual; there are those that mpy-cross emits, any other is a Fault.

Stricter than a chip:
- registers and locals hold None until they are written, and calls leave None in the registers that
  belong to the called, so that to compute with what was never set is a Fault;
- the stack is reached through a1 only, within the function's locals, and nowhere else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .runtime import REGION_BITS, RETURN, STACK, TRAPS, WORD, Call, Fault, Region, Trace

OFFSET = (1 << REGION_BITS) - 1
SAVE_AREA = 32  # the end of a frame, where the registers of outer windows go
PROGRAM_COUNTER, SHIFT = 16, 17  # beside the registers

# {r}, {s}, {t} are registers, {i} is an immediate number. What is assigned has 32 bits.
STATEMENTS = {
    "add": "{r} = {s} + {t} & 0xffffffff",
    "addi": "{t} = {s} + {i} & 0xffffffff",
    "addx2": "{r} = ({s} << 1) + {t} & 0xffffffff",
    "addx4": "{r} = ({s} << 2) + {t} & 0xffffffff",
    "and": "{r} = {s} & {t}",
    "l32r": "{t} = {i}",
    "mov": "{t} = {s}",
    "movi": "{t} = {i} & 0xffffffff",
    "movi.n": "{s} = {i} & 0xffffffff",
    "mull": "{r} = {s} * {t} & 0xffffffff",
    "or": "{r} = {s} | {t}",
    "sll": "{r} = {s} << {sar} & 0xffffffff",
    "sra": "{r} = (({t} ^ 0x80000000) - 0x80000000) >> {sar} & 0xffffffff",
    "srl": "{r} = {t} >> {sar}",
    "ssl": "{sar} = {s} & 31",
    "ssr": "{sar} = {s} & 31",
    "sub": "{r} = {s} - {t} & 0xffffffff",
    "xor": "{r} = {s} ^ {t}",
}
CONDITIONS = {
    "beq": "{s} == {t}",
    "beqz": "{s} == 0",
    "bge": "{s} ^ 0x80000000 >= {t} ^ 0x80000000",
    "bgeu": "{s} >= {t}",
    "bgez": "{s} < 0x80000000",
    "blt": "{s} ^ 0x80000000 < {t} ^ 0x80000000",
    "bltu": "{s} < {t}",
    "bltz": "{s} >= 0x80000000",
    "bne": "{s} != {t}",
    "bnez": "{s} != 0",
}
# name: (bytes, the view of memory that has so many)
LOADS = {"l8ui": (1, "octets"), "l16ui": (2, "halves"), "l32i": (4, "words")}
STORES = {"s8i": (1, "octets"), "s16i": (2, "halves"), "s32i": (4, "words")}

# Operations by the fields op0; then r, or op1 and op2; see _decoded.
MEMORY = {0: "l8ui", 1: "l16ui", 2: "l32i", 4: "s8i", 5: "s16i", 6: "s32i"}
COMPARISONS = {1: "beq", 2: "blt", 3: "bltu", 9: "bne", 10: "bge", 11: "bgeu"}
ZERO_COMPARISONS = {0: "beqz", 1: "bnez", 2: "bltz", 3: "bgez"}
ARITHMETIC = {
    (0, 1): "and", (0, 2): "or", (0, 3): "xor", (0, 8): "add", (0, 9): "addx2", (0, 10): "addx4",
    (0, 12): "sub", (1, 9): "srl", (1, 10): "sll", (1, 11): "sra", (2, 8): "mull",
}  # fmt: skip
KINDS = {
    "l32r": "literal", "mull": "multiplication", "j": "jump", "callx8": "call", "entry": "call",
    "retw": "call",
}  # fmt: skip
SLOW = ("load", "literal", "multiplication")  # their results are late by a cycle
REGISTERS = re.compile(r"\ba(\d+)\b")
LOG = "log(x)"


@dataclass(frozen=True)
class Instruction:
    """`immediate` is what the fields mean: bytes, a number, a target's offset in the code."""

    name: str
    size: int
    r: int = 0
    s: int = 0
    t: int = 0
    immediate: int = 0

    @property
    def kind(self) -> str:
        """What the instruction costs depends on this."""
        if self.name in LOADS:
            return "load"
        if self.name in STORES:
            return "store"
        if self.name in CONDITIONS:
            return "branch"
        return KINDS.get(self.name, "arithmetic")

    @property
    def fields(self) -> dict[str, object]:
        """What goes into STATEMENTS and CONDITIONS."""
        registers = {"r": f"a{self.r}", "s": f"a{self.s}", "t": f"a{self.t}"}
        return {**registers, "i": self.immediate, "sar": f"a{SHIFT}"}

    @property
    def written(self) -> int | None:
        """The register that gets a result."""
        if self.name in LOADS:
            return self.t
        if self.name in STATEMENTS:
            return int(STATEMENTS[self.name].format(**self.fields).split()[0][1:])
        return None

    @property
    def read(self) -> set[int]:
        """The registers whose values are needed, but for a1."""
        if self.name in LOADS or self.name in STORES:
            return {self.s} if self.name in LOADS else {self.s, self.t}
        if self.name == "callx8":
            return {self.s}
        text = CONDITIONS.get(self.name) or STATEMENTS.get(self.name, "=").partition("=")[2]
        return {int(number) for number in REGISTERS.findall(text.format(**self.fields))}


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
        registers: list[int | None] = [None] * 18
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
            instruction = _decoded(self.code, at)
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


def _decoded(code: bytes, at: int) -> Instruction:
    """The instruction at an offset of the code. Raises Fault for those that are not known."""
    raw = int.from_bytes(code[at : at + 3], "little")
    op0, t, s, r = (raw >> shift & 15 for shift in (0, 4, 8, 12))
    if op0 >= 8:
        return _narrow(op0, r, s, t, raw & 0xFFFF)
    registers = {"r": r, "s": s, "t": t}
    octet = raw >> 16
    if op0 == 0:
        return _three_registers(octet & 15, octet >> 4, raw, registers)
    if op0 == 1:
        place = (at + 3 & ~3) + ((raw >> 8) - 0x10000) * 4
        if not 0 <= place <= len(code) - 4:
            raise Fault("a literal outside of the code")
        literal = int.from_bytes(code[place : place + 4], "little")
        return Instruction("l32r", 3, t=t, immediate=literal)
    if op0 == 2 and r in MEMORY:
        name = MEMORY[r]
        size = (LOADS | STORES)[name][0]
        return Instruction(name, 3, **registers, immediate=octet * size)
    if op0 == 2 and r == 10:
        return Instruction("movi", 3, t=t, immediate=_signed(s << 8 | octet, 12))
    if op0 == 2 and r == 12:
        return Instruction("addi", 3, **registers, immediate=_signed(octet, 8))
    if op0 == 6:
        return _jump(t & 3, t >> 2, raw, s, at)
    if op0 == 7 and r in COMPARISONS:
        target = at + 4 + _signed(octet, 8)
        return Instruction(COMPARISONS[r], 3, **registers, immediate=target)
    raise Fault(f"the instruction {raw:06x} at {at}")


def _narrow(op0: int, r: int, s: int, t: int, raw: int) -> Instruction:
    if op0 == 8:
        return Instruction("l32i", 2, r, s, t, immediate=4 * r)
    if op0 == 9:
        return Instruction("s32i", 2, r, s, t, immediate=4 * r)
    if op0 == 10:
        return Instruction("add", 2, r, s, t)
    if op0 == 12 and t < 8:
        number = (t & 7) << 4 | r
        return Instruction("movi.n", 2, s=s, immediate=number - 128 if number >= 96 else number)
    if op0 == 13 and r == 0:
        return Instruction("mov", 2, r, s, t)
    if raw == 0xF01D:
        return Instruction("retw", 2)
    raise Fault(f"the instruction {raw:04x}")


def _three_registers(op1: int, op2: int, raw: int, registers: dict[str, int]) -> Instruction:
    if (op1, op2) in ARITHMETIC:
        return Instruction(ARITHMETIC[op1, op2], 3, **registers)
    if (op1, op2, registers["t"]) == (0, 4, 0) and registers["r"] < 2:
        return Instruction(("ssr", "ssl")[registers["r"]], 3, **registers)
    if (op1, op2, registers["r"], registers["t"]) == (0, 0, 0, 14):
        return Instruction("callx8", 3, **registers)
    raise Fault(f"the instruction {raw:06x}")


def _jump(n: int, m: int, raw: int, s: int, at: int) -> Instruction:
    if n == 0:
        return Instruction("j", 3, immediate=at + 4 + _signed(raw >> 6, 18))
    if n == 1:
        target = at + 4 + _signed(raw >> 12, 12)
        return Instruction(ZERO_COMPARISONS[m], 3, s=s, immediate=target)
    if (n, m, s) == (3, 0, 1):
        return Instruction("entry", 3, s=s, immediate=(raw >> 12) * 8)
    raise Fault(f"the instruction {raw:06x}")


def _signed(value: int, bits: int) -> int:
    return (value ^ 1 << bits - 1) - (1 << bits - 1)
