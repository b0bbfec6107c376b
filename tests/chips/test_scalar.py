"""Arithmetic modulo the group order by the chips' own code against Python's integers."""

from __future__ import annotations

import random

import pytest

from ks_viper import scalar

from . import parts

ORDER = scalar.ORDER
AWKWARD = (0, 1, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**255 - 1, 2**256 - 1)
COMB_BITS, TEETH = 288, 6


def octets(number: int, length: int = 32) -> bytes:
    return number.to_bytes(length, "little")


def numbers(count: int, bits: int) -> list[int]:
    source = random.Random(bits)
    return [source.getrandbits(bits) for _ in range(count)]


def sum_of_digits(digits: bytearray, tables: int) -> int:
    """The number that the digits of a comb stand for: see `ks_viper.scalar.source`."""
    columns = COMB_BITS // TEETH // tables
    total = 0
    for column in range(columns):
        for table in range(tables):
            digit = digits[(columns - 1 - column) * tables + table]
            last = 1 - (digit >> 7)
            bits = [(digit >> tooth & 1) ^ (1 - last) for tooth in range(TEETH - 1)]
            for tooth, bit in enumerate([*bits, last]):
                total += (2 * bit - 1) << column + columns * (tooth + TEETH * table)
    return total


def test_a_number_of_64_bytes_is_reduced(architecture: str) -> None:
    native, work = parts.load("viper_scalar", architecture), bytearray(scalar.WORK_BYTES)
    for number in (*AWKWARD, ORDER << 259, 2**512 - 1, *numbers(6, 512)):
        out = bytearray(32)
        native.reduce(out, octets(number, 64), work)
        assert out == octets(number % ORDER)
        assert work == bytes(scalar.WORK_BYTES)


def test_a_product_and_a_summand_are_added_and_reduced(architecture: str) -> None:
    native, work = parts.load("viper_scalar", architecture), bytearray(scalar.WORK_BYTES)
    cases = [(number, number, number) for number in AWKWARD]
    some = numbers(12, 256)
    for a, b, c in cases + list(zip(some[:4], some[4:8], some[8:], strict=True)):
        out = bytearray(32)
        native.muladd(out, octets(a), octets(b), octets(c), work)
        assert out == octets((a * b + c) % ORDER)


def test_the_result_may_be_written_over_a_factor(architecture: str) -> None:
    native, work = parts.load("viper_scalar", architecture), bytearray(scalar.WORK_BYTES)
    a, b, c = numbers(3, 255)
    out = bytearray(octets(a))
    native.muladd(out, out, octets(b), octets(c), work)
    assert out == octets((a * b + c) % ORDER)


@pytest.mark.parametrize("tables", [1, 2, 4])
def test_digits_of_a_comb_stand_for_the_scalar_whatever_it_is_blinded_with(
    architecture: str, tables: int
) -> None:
    native, work = parts.load("viper_scalar", architecture), bytearray(scalar.WORK_BYTES)
    for number in (*AWKWARD, *numbers(3, 253)):
        made = set()
        for blind in (None, b"\xff" * 4, b"\x12\x34\x56\x78"):
            digits = bytearray(COMB_BITS // TEETH)
            native.comb_digits(digits, octets(number), blind, tables, tables, work)
            assert sum_of_digits(digits, tables) % ORDER == number % ORDER
            assert all(digit & 0x60 == 0 for digit in digits)
            made.add(bytes(digits))
        assert len(made) == 3
