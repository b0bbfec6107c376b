"""Instructions for Xtensa: what mpy-cross emits, after the Instruction Set Architecture manual."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .runtime import Fault

SHIFT = 17  # the shift amount register, beside a0 to a15

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


def decoded(code: bytes, at: int) -> Instruction:
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
