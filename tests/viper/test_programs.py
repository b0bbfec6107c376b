"""What the programs of the native engine calculate, in a model that knows how large limbs get."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_sign_seed_keypair

from ks_crypto.strict import GROUP_ORDER
from ks_viper import base, formulas, programs
from ks_viper.formulas import TABLE_ELEMENTS
from ks_viper.programs import PRIME, ROOT_OF_MINUS_ONE, D

from .model import Machine

TEETH, BITS = 6, 288
SIZES = pytest.mark.parametrize("tables", base.SIZES)
COMB_SCALARS = st.integers(0, GROUP_ORDER - 1)


def program(name: str, tables: int) -> bytes:
    made: bytes = (programs.OFTEN | programs.SELDOM | programs.ONCE)[name](tables)
    return made


def multiple(scalar: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = base.add(result, point)
        point = base.add(point, point)
        scalar >>= 1
    return result


def encoded(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def entries(table: bytes) -> list[tuple[int, ...]]:
    """The three numbers of each entry of a table."""
    numbers = [
        sum(
            int.from_bytes(table[at + 2 * limb : at + 2 * limb + 2], "little") << 13 * limb
            for limb in range(20)
        )
        for at in range(0, len(table), 40)
    ]
    return [tuple(numbers[at : at + 3]) for at in range(0, len(numbers), 3)]


def comb_digits(scalar: int, tables: int, blind: int = 0) -> list[list[int]]:
    """The digits of `viper_scalar.comb_digits`, column by column, by its definition."""
    columns = 48 // tables
    half = (scalar + 2**BITS - 1) * pow(2, -1, GROUP_ORDER) % GROUP_ORDER + blind * GROUP_ORDER
    made = []
    for column in reversed(range(columns)):
        digits = []
        for table in range(tables):
            bits = [half >> column + columns * (u + TEETH * table) & 1 for u in range(TEETH)]
            low = sum(bit << u for u, bit in enumerate(bits[:-1]))
            digits.append(low if bits[-1] else ~low & 31 | 0x80)
        made.append(digits)
    return made


def flat(columns: list[list[int]]) -> list[int]:
    return [digit for column in columns for digit in column]


BASE = base.base_point()
PUBLIC = multiple(0x1234567890ABCDEF << 180, BASE)
TABLES = {
    (point, tables): entries(base.table(point, tables))
    for point in (BASE, base.negated(PUBLIC))
    for tables in base.SIZES
}


def scaled(machine: Machine, scale: int) -> None:
    machine.octets[:32] = scale.to_bytes(32, "little")


def finished(machine: Machine) -> bytes:
    machine.invert()
    machine.run(program("ENCODE", 1))
    assert all(element.value == 0 for element in machine.memory[: formulas.COMB_ELEMENTS])
    return bytes(machine.octets[:32])


def test_the_base_point_is_that_of_rfc_8032() -> None:
    seed = hashlib.sha256(b"any").digest()
    public, _ = crypto_sign_seed_keypair(seed)
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    assert encoded(multiple(int.from_bytes(digest, "little"), BASE)) == public


@SIZES
@settings(max_examples=12, deadline=None)
@given(scalar=COMB_SCALARS, blind=st.integers(0, 2**32 - 1), scale=st.integers(1, 2**255 - 20))
def test_a_comb_multiplies_the_base_point_however_it_is_blinded(
    tables: int, scalar: int, blind: int, scale: int
) -> None:
    machine = Machine(
        formulas.COMB_ELEMENTS,
        digits=flat(comb_digits(scalar, tables, blind)),
        first=TABLES[BASE, tables],
    )
    scaled(machine, scale)
    machine.run(program("COMB", tables))
    assert finished(machine) == encoded(multiple(scalar, BASE))


@SIZES
@settings(max_examples=8, deadline=None)
@given(base_scalar=COMB_SCALARS, scalar=COMB_SCALARS)
def test_a_joint_comb_adds_a_multiple_of_the_key(
    tables: int, base_scalar: int, scalar: int
) -> None:
    pairs = zip(comb_digits(base_scalar, tables), comb_digits(scalar, tables), strict=True)
    machine = Machine(
        formulas.COMB_ELEMENTS,
        digits=flat([ours + theirs for ours, theirs in pairs]),
        first=TABLES[BASE, tables],
        second=TABLES[base.negated(PUBLIC), tables],
    )
    scaled(machine, 1)
    machine.run(program("JOINT", tables))
    expected = base.add(multiple(base_scalar, BASE), multiple(scalar, base.negated(PUBLIC)))
    assert finished(machine) == encoded(expected)


def test_the_neutral_point_comes_out_of_scalars_of_zero() -> None:
    machine = Machine(formulas.COMB_ELEMENTS, digits=flat(comb_digits(0, 1)), first=TABLES[BASE, 1])
    scaled(machine, 7)
    machine.run(program("COMB", 1))
    assert finished(machine) == encoded((0, 1))


def window_digits(scalar: int, base_scalar: int, tables: int) -> list[int]:
    windows, carry = [], 0
    for window in range(85):
        digit = (scalar >> 3 * window & 7) + carry
        carry = int(digit > 4)
        windows.append(128 | 8 - digit if carry else digit)
    columns = comb_digits(base_scalar, tables)
    made: list[int] = []
    for window in reversed(range(85)):
        if window < len(columns) // 3:
            taken = len(columns) - 3 * (window + 1)
            made += flat(columns[taken : taken + 3])
        made.append(windows[window])
    return made


def point_machine(point: tuple[int, int]) -> Machine:
    machine = Machine(TABLE_ELEMENTS)
    numbers = (*point, *programs.CONSTANTS["POINT_CONSTANTS"])
    machine.octets[:] = b"".join(number.to_bytes(32, "little") for number in numbers)
    machine.run(program("POINT", 1))
    return machine


@SIZES
@settings(max_examples=5, deadline=None)
@given(base_scalar=COMB_SCALARS, scalar=COMB_SCALARS)
def test_windows_add_an_exact_multiple_of_a_point_without_a_table(
    tables: int, base_scalar: int, scalar: int
) -> None:
    small = (0, PRIME - 1)  # of order 2: it makes a difference whether a scalar is odd
    point = base.add(PUBLIC, small)
    machine = point_machine(point)
    scaled(machine, 1)
    machine.run(program("NEUTRAL", tables))
    store = bytearray(program("STORE_PROJECTIVE", tables))
    for entry in range(5):
        if entry:
            machine.run(program("ADDITION", tables))
        machine.run(program("PROJECTIVE", tables))
        for operation in range(4):
            store[4 * operation + 2] = entry
        machine.run(store)
    machine.second = [
        tuple(machine.stored[80 * entry, coordinate] for coordinate in range(4))
        for entry in range(5)
    ]
    machine.first = TABLES[BASE, tables]
    machine.digits = window_digits(scalar, base_scalar, tables)
    scaled(machine, 1)
    machine.run(program("WINDOWS", tables))
    assert finished(machine) == encoded(
        base.add(multiple(base_scalar, BASE), multiple(scalar, point))
    )


@settings(max_examples=40, deadline=None)
@given(y=st.integers(2, PRIME - 2))
def test_roots_finds_x_where_there_is_one(y: int) -> None:
    machine = Machine(formulas.POINT_ELEMENTS)
    numbers = (y, *programs.CONSTANTS["ROOT_CONSTANTS"])
    for at, number in enumerate(numbers):
        machine.octets[32 * at : 32 * at + 32] = number.to_bytes(32, "little")
    machine.run(program("ROOTS", 1))
    minus, plus, x, other_x = (
        int.from_bytes(machine.octets[32 * at : 32 * at + 32], "little") for at in range(4)
    )
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    has_root = pow(square, (PRIME - 1) // 2, PRIME) in (0, 1)
    assert (minus == 0 or plus == 0) == has_root
    if minus == 0:
        assert x * x % PRIME == square
    if plus == 0:
        assert other_x * other_x % PRIME == square
        assert other_x == x * ROOT_OF_MINUS_ONE % PRIME


@SIZES
def test_pieces_of_a_table_are_made_of_points(tables: int) -> None:
    machine = point_machine(PUBLIC)
    machine.run(program("DOUBLE", tables))
    machine.run(program("DOUBLINGS", tables))
    machine.run(program("MINUS_OTHER", tables))
    machine.run(program("ADDITION", tables))
    machine.run(program("FROZEN_Z", tables))
    machine.invert()
    machine.run(program("AFFINE", tables))
    machine.run(program("STORE_AFFINE", tables))
    x, y = base.add(multiple(2 ** (48 // tables), PUBLIC), base.negated(PUBLIC))
    half = pow(2, -1, PRIME)
    assert [machine.stored[0, coordinate] for coordinate in range(3)] == [
        (y + x) * half % PRIME,
        (y - x) * half % PRIME,
        D * x * y % PRIME,
    ]


def test_the_model_notices_a_multiplication_that_may_overflow() -> None:
    made = formulas.Program()
    made.add_and_subtract(2, 0, 0)
    made.add_and_subtract(2, 2, 2)
    made.multiply(0, 2, 2)
    machine = point_machine(PUBLIC)
    with pytest.raises(AssertionError):
        machine.run(made.ended())
