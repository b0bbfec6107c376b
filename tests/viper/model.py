"""A model of `viper_field.run` in Python's integers, which also follows how large limbs can get.

Each element is a residue modulo p and the largest magnitude that each of its limbs may have, given
what produced it and not its value. A multiplication or carry that could leave a signed word of 32
bits is an AssertionError: so a program that runs through is safe for every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ks_viper.layout import FOLD, HALF, LIMB_BITS, LIMBS, MASK, OPERATIONS, TABLE_ENTRIES
from ks_viper.programs import PRIME

WORD = 2**31
NAMES = {code: name for name, code in OPERATIONS.items()}
TOP_BITS = 255 - (LIMBS - 1) * LIMB_BITS
FROZEN = (*(MASK,) * (LIMBS - 1), (1 << TOP_BITS) - 1)
UNPACKED = FROZEN
# Limbs that `invert` leaves: all but the last one are below 2**13, with one sign for all. The last
# one takes what 46 batches can add: p each, on top of what fits into 255 bits.
INVERTED = (*(MASK,) * (LIMBS - 1), 48 << TOP_BITS)


@dataclass
class Element:
    """A residue, and the bounds of its limbs."""

    value: int = 0
    bounds: tuple[int, ...] = (0,) * LIMBS
    frozen: bool = True


@dataclass
class Machine:
    """Memory, tables and digits; `run` interprets a program as native code does."""

    elements: int
    digits: Sequence[int] = ()
    first: Sequence[tuple[int, ...]] = ()
    second: Sequence[tuple[int, ...]] = ()
    octets: bytearray = field(default_factory=lambda: bytearray(160))
    stored: dict[tuple[int, int], int] = field(default_factory=dict)
    executed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = [Element() for _ in range(self.elements)]
        self._entry: tuple[int, ...] = ()
        self._negative = 0
        self._next_digit = 0
        self._counts = [0, 0]

    def run(self, program: bytes | bytearray) -> None:
        """Interpret a whole program."""
        self._next_digit, self._counts, at = 0, [0, 0], 0
        while True:
            code, d, a, b = tuple(program[4 * at : 4 * at + 4])
            name = NAMES[code]
            self.executed[name] = self.executed.get(name, 0) + 1
            at += 1
            if name == "end":
                return
            if name == "jump":
                at = d
            elif name == "repeat":
                self._counts[b] += 1
                if self._counts[b] < a:
                    at = d
                else:
                    self._counts[b] = 0
            else:
                getattr(self, "_" + name)(d, a, b)

    def invert(self) -> None:
        """As `viper_field.invert` at element 4: element 6 = 1 / element 5."""
        given = self.memory[5]
        assert given.frozen
        for element in range(4, 12):
            self.memory[element] = Element(0, (WORD,) * LIMBS, frozen=False)
        self.memory[6] = Element(pow(given.value, PRIME - 2, PRIME), INVERTED, frozen=False)

    def _multiply(self, d: int, a: int, b: int) -> None:
        self.memory[d] = _product(self.memory[a], self.memory[b])

    def _multiply_entry(self, d: int, a: int, b: int) -> None:
        coordinate = b ^ self._negative if b < 2 else b
        entry = Element(self._entry[coordinate], FROZEN)
        self.memory[d] = _product(self.memory[a], entry)

    def _add_and_subtract(self, d: int, a: int, b: int) -> None:
        one, other = self.memory[a], self.memory[b]
        bounds = tuple(x + y for x, y in zip(one.bounds, other.bounds, strict=True))
        assert max(bounds) < WORD
        self.memory[d] = Element((one.value + other.value) % PRIME, bounds, frozen=False)
        self.memory[d + 1] = Element((one.value - other.value) % PRIME, bounds, frozen=False)

    def _add_and_subtract_signed(self, d: int, a: int, b: int) -> None:
        self._add_and_subtract(d, a, b)
        if self._negative:
            memory = self.memory
            memory[d], memory[d + 1] = memory[d + 1], memory[d]

    def _select(self, d: int, a: int, b: int) -> None:
        digit = self.digits[self._next_digit]
        self._next_digit += 1
        self._negative = digit >> 7
        self._entry = (self.second if a else self.first)[d * TABLE_ENTRIES + digit % TABLE_ENTRIES]
        assert b == 2 * LIMBS * len(self._entry)

    def _tighten(self, d: int, a: int, b: int) -> None:
        one, other = self.memory[a], self.memory[b]
        columns = [x + 2 * y for x, y in zip(one.bounds, other.bounds, strict=True)]
        self.memory[d] = Element(
            (one.value + 2 * other.value) % PRIME, _carried(columns), frozen=False
        )

    def _freeze(self, d: int, a: int, b: int) -> None:
        # The bias that makes limbs positive is 2 * (2**13 - 1) for each, less 1214 for the first.
        bounds = self.memory[a].bounds
        assert all(bound <= 2 * MASK for bound in bounds[1:-1])
        assert bounds[0] <= 2 * MASK - (19 * 64 - 2)
        assert bounds[-1] <= 2 * MASK
        self.memory[d] = Element(self.memory[a].value, FROZEN)

    def _unpack(self, d: int, a: int, b: int) -> None:
        number = int.from_bytes(self.octets[32 * a : 32 * a + 32], "little") % 2**255
        # Limbs are in range, but the number may be p or more: not frozen.
        self.memory[d] = Element(number % PRIME, UNPACKED, frozen=False)

    def _pack(self, d: int, a: int, b: int) -> None:
        assert self.memory[d].frozen
        assert self.memory[a].frozen
        number = self.memory[d].value | (self.memory[a].value & 1) << 255
        self.octets[32 * b : 32 * b + 32] = number.to_bytes(32, "little")

    def _store(self, d: int, a: int, b: int) -> None:
        assert self.memory[d & 63].frozen
        self.stored[a * b // 2, d >> 6] = self.memory[d & 63].value

    def _wipe(self, d: int, a: int, b: int) -> None:
        for element in range(d, a):
            self.memory[element] = Element()


def _product(one: Element, other: Element) -> Element:
    """A column's bound is the sum of its products' bounds; Karatsuba's method changes no sum."""
    columns = [0] * (2 * LIMBS)
    for i, x in enumerate(one.bounds):
        for j, y in enumerate(other.bounds):
            columns[i + j] += x * y
    carry = 0
    high = []
    for column in columns[LIMBS:-1]:
        assert column + carry < WORD
        carry = (column + carry >> LIMB_BITS) + 1
        high.append(MASK)
    high.append(carry)
    low = [column + FOLD * folded for column, folded in zip(columns, high, strict=False)]
    return Element(one.value * other.value % PRIME, _carried(low), frozen=False)


def _carried(columns: Sequence[int]) -> tuple[int, ...]:
    """The bounds that one pass of carries and the fold of the last one leave."""
    carry = 0
    for column in columns:
        assert column + carry + HALF < WORD
        carry = (column + carry + HALF >> LIMB_BITS) + 1
    assert FOLD * carry + 2 * HALF < WORD
    first = FOLD * carry + 2 * HALF
    second = HALF + (first >> LIMB_BITS) + 1 + HALF
    assert second < WORD
    third = HALF + (second >> LIMB_BITS) + 1
    return (HALF, HALF, third, *(HALF,) * (LIMBS - 3))
