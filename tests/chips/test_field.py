"""Field arithmetic of the chips' own code against Python's integers."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from operator import methodcaller
from types import ModuleType

import pytest

from ks_viper import base, layout
from ks_viper.formulas import Program

from . import parts

PRIME = 2**255 - 19
SLOTS = 20
AWKWARD = (0, 1, 2, 19, PRIME - 1, PRIME // 2, 2**254, 2**13 - 1, 2**247)
TIGHT = 2**12
WIDE = int(2**26.6 / TIGHT)  # what limbs may be where those of the other factor are tight


class Field:
    """Elements in memory, and programs on them."""

    def __init__(self, architecture: str) -> None:
        self.native: ModuleType = parts.load("viper_field", architecture)
        self.memory = bytearray(SLOTS * layout.ELEMENT_BYTES)
        self.octets = bytearray(160)

    def __setitem__(self, slot: int, number: int) -> None:
        limbs = []
        for _ in range(layout.LIMBS - 1):
            limbs.append((number + layout.HALF & layout.MASK) - layout.HALF)
            number = (number - limbs[-1]) >> layout.LIMB_BITS
        self.set_limbs(slot, [*limbs, number])

    def __getitem__(self, slot: int) -> int:
        return value(self.limbs(slot)) % PRIME

    def set_limbs(self, slot: int, limbs: list[int]) -> None:
        struct.pack_into(f"<{layout.LIMBS}i", self.memory, slot * layout.ELEMENT_BYTES, *limbs)

    def limbs(self, slot: int) -> list[int]:
        at = slot * layout.ELEMENT_BYTES
        return list(struct.unpack_from(f"<{layout.LIMBS}i", self.memory, at))

    def run(
        self,
        write: Callable[[Program], object],
        digits: bytes = b"",
        first: bytes = b"",
        second: bytes | bytearray = b"",
    ) -> None:
        program = Program()
        write(program)
        self.native.run(0, 0, self.memory, program.ended(), digits, first, second, self.octets)


def value(limbs: list[int]) -> int:
    return sum(limb << layout.LIMB_BITS * place for place, limb in enumerate(limbs))


def is_tight(limbs: list[int]) -> bool:
    return all(abs(limb) <= TIGHT + 3 * (place == 2) for place, limb in enumerate(limbs))


@pytest.fixture
def elements(architecture: str) -> Field:
    return Field(architecture)


def pairs(count: int) -> list[tuple[int, int]]:
    source = random.Random(1)
    made = [(source.randrange(PRIME), source.randrange(PRIME)) for _ in range(count)]
    return made + [(left, right) for left in AWKWARD for right in AWKWARD[:3]]


def test_a_product_is_right_and_tight(elements: Field) -> None:
    for left, right in pairs(30):
        elements[0], elements[1] = left, right
        elements.run(lambda program: program.multiply(2, 0, 1))
        assert elements[2] == left * right % PRIME
        assert is_tight(elements.limbs(2))


def test_a_product_of_the_widest_factors_allowed_does_not_overflow(elements: Field) -> None:
    source = random.Random(2)
    extremes = [[sign * WIDE] * layout.LIMBS for sign in (1, -1)]
    extremes += [[source.choice((-WIDE, WIDE)) for _ in range(layout.LIMBS)] for _ in range(8)]
    for left in extremes:
        for right in ([TIGHT] * layout.LIMBS, [-TIGHT] * layout.LIMBS):
            elements.set_limbs(0, left)
            elements.set_limbs(1, right)
            for d, a, b in ((2, 0, 1), (3, 1, 0)):
                elements.run(methodcaller("multiply", d, a, b))
                assert elements[d] == value(left) * value(right) % PRIME
                assert is_tight(elements.limbs(d))


def test_an_element_may_be_multiplied_in_place(elements: Field) -> None:
    number = 3**160 % PRIME
    elements[0] = number
    elements.run(lambda program: program.multiply(0, 0, 0))
    assert elements[0] == number**2 % PRIME


def test_sums_and_differences_are_right_and_exchanged_for_a_negative_digit(
    elements: Field,
) -> None:
    for left, right in pairs(5):
        for digit in (0, 128):
            elements[0], elements[1] = left, right

            def write(program: Program) -> None:
                program.select(0, 0, 120)
                program.add_and_subtract(2, 0, 1)
                program.add_and_subtract_signed(4, 0, 1)

            elements.run(write, bytes([digit]), bytes(32 * 120))
            expected = [(left + right) % PRIME, (left - right) % PRIME]
            assert [elements[2], elements[3]] == expected
            assert [elements[4], elements[5]] == expected[:: -1 if digit else 1]


def test_a_digit_selects_an_entry_and_its_sign_exchanges_two_coordinates(elements: Field) -> None:
    source = random.Random(3)
    numbers = [[source.randrange(PRIME) for _ in range(3)] for _ in range(64)]
    table = b"".join(base.halfwords(number) for entry in numbers for number in entry)
    factor = source.randrange(PRIME)
    for second in (0, 1):
        for number, digit in ((0, 7), (1, 31), (1, 0), (0, 0x9C)):
            elements[0] = factor

            def write(program: Program, number: int = number, second: int = second) -> None:
                program.select(number, second, 120)
                for coordinate in range(3):
                    program.multiply_entry(1 + coordinate, 0, coordinate)

            tables = (table, b"") if second == 0 else (b"", table)
            elements.run(write, bytes([digit]), *tables)
            y_plus_x, y_minus_x, product = numbers[32 * number + (digit & 31)]
            if digit & 128:
                y_plus_x, y_minus_x = y_minus_x, y_plus_x
            expected = [factor * n % PRIME for n in (y_plus_x, y_minus_x, product)]
            assert [elements[slot] for slot in (1, 2, 3)] == expected


def test_tightening_adds_twice_the_second_element_and_leaves_small_limbs(elements: Field) -> None:
    source = random.Random(4)
    for _ in range(5):
        left = [source.randrange(-(2**28), 2**28) for _ in range(layout.LIMBS)]
        right = [source.randrange(-(2**28), 2**28) for _ in range(layout.LIMBS)]
        elements.set_limbs(0, left)
        elements.set_limbs(1, right)
        elements.run(lambda program: program.tighten(2, 0, 1))
        assert elements[2] == (value(left) + 2 * value(right)) % PRIME
        assert all(abs(limb) <= 2**14 for limb in elements.limbs(2))


def test_a_frozen_element_is_the_only_one_of_its_value(elements: Field) -> None:
    offsets = [PRIME * factor for factor in (-3, -1, 0, 1, 2)]
    for number in AWKWARD:
        for offset in offsets:
            elements[0] = number + offset
            elements.run(lambda program: program.freeze(1, 0))
            assert value(elements.limbs(1)) == number % PRIME
            assert all(0 <= limb <= layout.MASK for limb in elements.limbs(1))


def test_octets_are_unpacked_without_their_highest_bit_and_packed_with_a_sign(
    elements: Field,
) -> None:
    for number in (*AWKWARD, 2**255 - 1, 2**256 - 1):
        elements.octets[32:64] = number.to_bytes(32, "little")

        def write(program: Program) -> None:
            program.unpack(0, 1)
            program.freeze(1, 0)
            program.pack(1, 1, 2)

        elements.run(write)
        assert elements[0] == number % 2**255 % PRIME
        frozen = number % 2**255 % PRIME
        packed = frozen | (frozen & 1) << 255
        assert elements.octets[64:96] == packed.to_bytes(32, "little")
        assert elements.octets[:32] == bytes(32)


def test_a_frozen_element_is_stored_in_an_entry_of_the_second_table(elements: Field) -> None:
    table = bytearray(4 * 120)
    number = 5**109 % PRIME
    elements[0] = number

    def write(program: Program) -> None:
        program.freeze(1, 0)
        program.store(2 << 6 | 1, 3, 120)

    elements.run(write, second=table)
    assert table == bytes(3 * 120 + 80) + base.halfwords(number)


def test_operations_are_repeated_as_often_as_told_also_within_each_other(elements: Field) -> None:
    elements[0] = 3

    def write(program: Program) -> None:
        program.jump(2)
        program.multiply(0, 0, 0)  # jumped over
        again = program.multiply(0, 0, 0)
        program.repeat(again, 3, 0)
        program.repeat(again, 2, 1)

    elements.run(write)
    assert elements[0] == pow(3, 2**6, PRIME)


def test_wiping_zeroes_the_elements_from_the_first_to_before_the_last(elements: Field) -> None:
    for slot in range(5):
        elements[slot] = 1 + slot
    elements.run(lambda program: program.wipe(1, 3))
    assert [elements[slot] for slot in range(5)] == [1, 0, 0, 4, 5]


def test_the_inverse_times_the_number_is_one(elements: Field) -> None:
    source = random.Random(5)
    for number in (1, 2, PRIME - 1, 2**254, *(source.randrange(PRIME) for _ in range(2))):
        elements[0] = number
        elements.run(lambda program: program.freeze(5, 0))
        elements.native.invert(0, 0, elements.memory, 4)
        assert elements[6] * number % PRIME == 1
    elements[0] = 0
    elements.run(lambda program: program.freeze(5, 0))
    elements.native.invert(0, 0, elements.memory, 4)
    assert elements[6] == 0
