"""Generated field arithmetic: sizes, and the same results as the model's on real interpreters."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ks_viper import build, field, layout
from ks_viper.native import sizes
from ks_viper.programs import PRIME

ARCHITECTURES = {"amd64": "x64", "i386": "x86"}
LIMIT_S = 120
KIB = 1024
# On the chip native code takes executable memory, and room on the heap while it is loaded.
CHIPS = ("xtensawin", "rv32imc", "armv7emsp")
ALL_NATIVE_BYTES, LARGEST_BYTES = 24 * KIB, 14 * KIB

# Runs on MicroPython in a folder with viper_field.mpy and records: 2 elements of 80 bytes each.
# For each it prints elements and octets that the operations leave.
PROBE = """
from binascii import hexlify
import viper_field

memory, octets, none = bytearray(80 * 24), bytearray(32), bytearray(4)
program = bytes((
    0, 3, 1, 2,  # 3 = 1 * 2
    2, 4, 1, 2,  # 4, 5 = 1 + 2, 1 - 2
    5, 6, 1, 2,  # 6 = 1 + 2 * 2
    7, 7, 3, 0,  # 7 = 3, frozen
    7, 13, 6, 0,  # 13 = 6, frozen
    8, 8, 0, 0,  # 8 = octets
    9, 7, 13, 0,  # octets = 7 and the lowest bit of 13
    13, 0, 0, 0,
))
with open("records", "rb") as file:
    while file.readinto(memoryview(memory)[80:240]):
        octets[:] = memory[80:112]
        viper_field.run(0, 0, memory, program, none, none, none, octets)
        memory[80 * 15 : 80 * 16] = memory[80 * 7 : 80 * 8]
        viper_field.invert(0, 0, memory, 14)
        print(*[hexlify(memory[80 * e : 80 * e + 80]).decode() for e in (3, 4, 5, 6, 7, 8, 16)])
        print(hexlify(octets).decode())
"""

Limbs = tuple[int, ...]


def limbs(number: int) -> Limbs:
    """A tight element of a number."""
    made = []
    for _ in range(layout.LIMBS):
        limb = (number + layout.HALF & layout.MASK) - layout.HALF
        made.append(limb)
        number = (number - limb) >> layout.LIMB_BITS
    made[0] += layout.FOLD * number
    return tuple(made)


def value(element: Limbs) -> int:
    return sum(limb << layout.LIMB_BITS * place for place, limb in enumerate(element))


def pairs() -> Iterator[tuple[Limbs, Limbs]]:
    """Elements whose products come as near to a word's end as the programs let them."""
    chosen = random.Random(25519)
    edges = [limbs(n) for n in (0, 1, 2, 19, PRIME - 1, PRIME, 2**254, 2**255 - 20)]
    tight, sums = layout.HALF, 2 * layout.HALF
    # One factor of a product may be a sum of two tight ones and the other one a frozen entry, or
    # both may be sums; all signs alike are the worst that can happen.
    extremes = (
        [(s * sums,) * layout.LIMBS for s in (1, -1)]
        + [(s * tight,) * layout.LIMBS for s in (1, -1)]
        + [(layout.MASK,) * layout.LIMBS]
    )
    for one in edges + extremes:
        for other in edges + extremes:
            yield one, other
    for _ in range(400):
        yield limbs(chosen.randrange(PRIME)), limbs(chosen.randrange(PRIME))
        yield (
            tuple(chosen.randint(-sums, sums) for _ in range(layout.LIMBS)),
            tuple(chosen.choice((-sums, sums)) for _ in range(layout.LIMBS)),
        )


@pytest.fixture(scope="module", params=ARCHITECTURES)
def answers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    micropython: Callable[[str], Path],
) -> list[tuple[tuple[Limbs, Limbs], list[Limbs], bytes]]:
    """What an interpreter made of each pair: elements 3 to 8, the inverse of 7, and the octets."""
    program = micropython(request.param)
    folder = tmp_path_factory.mktemp("field")
    native = build.compiled("viper_field", ARCHITECTURES[request.param])
    (folder / "viper_field.mpy").write_bytes(native)
    (folder / "probe.py").write_text(PROBE)
    given = list(pairs())
    (folder / "records").write_bytes(
        b"".join(struct.pack("<20i", *element) for pair in given for element in pair)
    )
    done = subprocess.run(
        [program, "-X", "heapsize=128k", "probe.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(given)
    made = []
    for place, pair in enumerate(given):
        elements = [struct.unpack("<20i", bytes.fromhex(text)) for text in lines[2 * place].split()]
        made.append((pair, elements, bytes.fromhex(lines[2 * place + 1])))
    return made


def is_tight(element: Limbs) -> bool:
    return all(
        abs(limb) <= layout.HALF + (4 if place == 2 else 0) for place, limb in enumerate(element)
    )


def test_operations_give_what_integers_give(
    answers: list[tuple[tuple[Limbs, Limbs], list[Limbs], bytes]],
) -> None:
    for (one, other), elements, _ in answers:
        product, plus, minus, tightened, frozen, _, inverse = elements
        a, b = value(one), value(other)
        assert value(product) % PRIME == a * b % PRIME
        assert is_tight(product)
        assert (value(plus), value(minus)) == (a + b, a - b)
        assert value(tightened) % PRIME == (a + 2 * b) % PRIME
        assert is_tight(tightened)
        assert value(frozen) == a * b % PRIME
        assert all(0 <= limb <= layout.MASK for limb in frozen)
        assert value(inverse) * a * b % PRIME == (1 if a * b % PRIME else 0)


def test_numbers_are_packed_and_unpacked(
    answers: list[tuple[tuple[Limbs, Limbs], list[Limbs], bytes]],
) -> None:
    for (one, other), elements, octets in answers:
        a, b = value(one), value(other)
        parity = (a + 2 * b) % PRIME & 1
        assert int.from_bytes(octets, "little") == a * b % PRIME | parity << 255
        given = int.from_bytes(struct.pack("<20i", *one)[:32], "little") % 2**255
        assert value(elements[5]) == given


@pytest.mark.parametrize("architecture", CHIPS)
def test_native_code_fits_the_chips(architecture: str) -> None:
    found = [
        sizes(build.compiled(part, architecture))
        for part in ("viper_field", "viper_scalar", "viper_sha512")
    ]
    assert 0 < sum(size.total for size in found) <= ALL_NATIVE_BYTES
    assert max(size.largest for size in found) <= LARGEST_BYTES


def test_the_text_is_the_same_each_time_and_differs_by_the_word() -> None:
    assert field.source(32) == field.source(32)
    assert field.source(32) != field.source(64)
