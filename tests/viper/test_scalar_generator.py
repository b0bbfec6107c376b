"""Generated arithmetic modulo the base point's order: sizes, results, and constant time."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from benchmarks.callgrind import Counter
from benchmarks.figure import Unavailable
from benchmarks.native import sizes
from ks_viper import build, scalar

ORDER = 2**252 + 27742317777372353535851937790883648493
ARCHITECTURES = {"amd64": "x64", "i386": "x86"}
# Bytes of native code; the chip's is the one that matters, the others are kept from growing.
LIMITS = {"x86": 4864, "x64": 7424, "xtensawin": 4096, "rv32imc": 4224, "armv7emsp": 3456}
LIMIT_S = 120
COMB_BITS = 288
TEETH = 6
UNTOUCHED = 0x55  # as PROBE fills it
EDGES = (
    0, 1, 2, ORDER - 1, ORDER, ORDER + 1, 2 * ORDER, 8 * ORDER, 15 * ORDER - 1, 15 * ORDER,
    15 * ORDER + 1, 2**252 - 1, 2**252, 2**253 - 1, 2**254, 2**255 - 1, 2**256 - 1,
    sum(2**13 << 14 * limb for limb in range(18)),
    sum((2**13 - 1) << 14 * limb for limb in range(18)),
)  # fmt: skip
# Multiples of the order and a little, so that signs and parities differ from those of the others.
SIGNS = (ORDER - 1).to_bytes(32, "little") + (8 * ORDER + 1).to_bytes(32, "little")

# Runs on MicroPython in a folder with viper_scalar.mpy and records.txt: lines of an operation and
# its operands. Prints the results; "dirty" besides when the work memory was left with anything but
# zeros, or was written behind its end.
PROBE = """
from binascii import hexlify, unhexlify
import viper_scalar

def calculate(operation, operands, out, work):
    if operation == "reduce":
        viper_scalar.reduce(out, operands[0], work)
    elif operation == "muladd":
        viper_scalar.muladd(out, operands[0], operands[1], operands[2], work)
    elif operation == "muladd_in_place":
        out[:] = operands[0]
        viper_scalar.muladd(out, out, operands[1], operands[2], work)
    else:
        tables, stride = int(operation[4]), int(operation[6:])
        out = bytearray(b"\\x55" * (48 // tables * stride))
        blind = operands[1] if len(operands) > 1 else None
        viper_scalar.comb_digits(out, operands[0], blind, tables, stride, work)
    return out

used = b"\\xa5" * 328
clean = bytes(320) + b"\\xa5" * 8
out, work = bytearray(32), bytearray(328)
with open("records.txt") as file:
    for line in file:
        operation, *operands = line.split()
        work[:] = used
        result = calculate(operation, [unhexlify(operand) for operand in operands], out, work)
        print(hexlify(result).decode(), "" if work == clean else "dirty")
"""

# Nothing but the arithmetic may depend on the operands: no numbers, no text, no comparisons.
EVERY_OPERATION = """
import viper_scalar
wide, work, out, digits = bytearray(64), bytearray(320), bytearray(32), bytearray(48)
with open("operands", "rb") as file:
    file.readinto(wide)
low, high, blind = wide[:32], wide[32:], wide[30:34]
viper_scalar.reduce(out, wide, work)
viper_scalar.muladd(out, low, high, low, work)
viper_scalar.comb_digits(digits, low, blind, 1, 1, work)
viper_scalar.comb_digits(digits, high, blind, 4, 4, work)
"""

Case = tuple[str, tuple[int, ...], int]


def clamped(source: random.Random) -> int:
    """A private scalar as RFC 8032 makes it."""
    return source.getrandbits(254) & -8 | 2**254


def reductions() -> list[Case]:
    """Numbers of 64 bytes: random, edges, multiples of the order and their neighbours."""
    source = random.Random(1)
    numbers = [source.getrandbits(512) for _ in range(1200)]
    numbers += [*EDGES, 2**512 - 1, 2**512 - 2**256]
    largest = (2**512 - 1) // ORDER
    factors = [*(1 << shift for shift in range(259)), largest]
    factors += [source.randrange(largest) for _ in range(40)]
    numbers += [factor * ORDER + distance for factor in factors for distance in (-1, 0, 1)]
    # All limbs at an end of their range.
    numbers += [(2**512 - 1) // (2**14 - 1) * limb & (2**512 - 1) for limb in (2**13, 2**13 - 1)]
    return [("reduce", (number,), number % ORDER) for number in numbers if number < 2**512]


def products() -> list[Case]:
    """Factors and summands of 32 bytes: random, clamped, edges in all combinations."""
    source = random.Random(2)
    triples = [
        (clamped(source), source.getrandbits(256), source.getrandbits(256)) for _ in range(700)
    ]
    triples += [(source.randrange(ORDER), source.randrange(ORDER), 0) for _ in range(300)]
    triples += [(a, b, c) for a in EDGES for b in EDGES for c in (0, 1, ORDER - 1, 2**256 - 1)]
    cases = [("muladd", (a, b, c), (a * b + c) % ORDER) for a, b, c in triples]
    return [*cases, *(("muladd_in_place", case[1], case[2]) for case in cases[::20])]


def combs() -> list[Case]:
    """Scalars to recode, with and without a number to blind them."""
    source = random.Random(3)
    cases: list[Case] = []
    for tables, stride in ((1, 1), (2, 2), (4, 4), (1, 2), (2, 5), (4, 8)):
        scalars = [*EDGES, *(source.randrange(ORDER) for _ in range(100))]
        scalars += [clamped(source) for _ in range(20)]
        for number in scalars:
            operation = f"comb{tables}/{stride}"
            cases.append((operation, (number,), number % ORDER))
            for blind in (0, 2**32 - 1, source.getrandbits(32)):
                cases.append((operation, (number, blind), number % ORDER))
    return cases


def record(case: Case) -> str:
    """One line for the probe."""
    operation, numbers, _ = case
    lengths = [64] if operation == "reduce" else [32, 32, 32]
    if operation.startswith("comb"):
        lengths = [32, 4]
    operands = (
        number.to_bytes(length, "little").hex()
        for number, length in zip(numbers, lengths, strict=False)
    )
    return " ".join((operation, *operands))


def comb_bits(operation: str, digits: bytes) -> int:
    """The number whose bits the digits show; checks their form and what lies between them."""
    tables, stride = map(int, operation.removeprefix("comb").split("/"))
    columns = COMB_BITS // (TEETH * tables)
    assert len(digits) == columns * stride
    bits = 0
    for position, digit in enumerate(digits):
        row, table = divmod(position, stride)
        if table >= tables:
            assert digit == UNTOUCHED
            continue
        assert digit & 0x60 == 0
        entry = digit & 31 | 32 if digit < 0x80 else ~digit & 31
        for tooth in range(TEETH):
            bits |= (entry >> tooth & 1) << columns - 1 - row + columns * (tooth + TEETH * table)
    return bits


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a folder with viper_scalar.mpy for an interpreter."""

    def build_for(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp(architecture)
        code = build.compiled("viper_scalar", ARCHITECTURES[architecture])
        (folder / "viper_scalar.mpy").write_bytes(code)
        return folder

    return build_for


def answers(program: Path, folder: Path, cases: Iterable[Case]) -> list[bytes]:
    """What the probe prints for the cases, having left the work memory clean."""
    (folder / "records.txt").write_text("".join(record(case) + "\n" for case in cases))
    (folder / "probe.py").write_text(PROBE)
    done = subprocess.run(
        [program, "-X", "heapsize=128k", "probe.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "dirty" not in done.stdout
    return [bytes.fromhex(line) for line in done.stdout.splitlines()]


def test_the_generated_text_is_the_same_each_time_and_differs_by_word_only_in_loads() -> None:
    narrow, wide = scalar.source(32), scalar.source(64)
    assert narrow == scalar.source(32)
    assert wide == scalar.source(64)
    assert "<< 32" not in narrow
    assert len(narrow.splitlines()) == len(wide.splitlines())


def test_balanced_limbs_make_up_the_number_and_stay_in_their_range() -> None:
    for number in (*EDGES, ORDER - 2**252):
        limbs = scalar.balanced(number)
        assert sum(limb << 14 * index for index, limb in enumerate(limbs)) == number
        assert all(-(2**13) <= limb < 2**13 for limb in limbs)


@pytest.mark.parametrize("architecture", build.WORD_BITS)
def test_native_code_stays_small(architecture: str) -> None:
    found = sizes(build.compiled("viper_scalar", architecture))
    assert 0 < found.total <= LIMITS[architecture]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("cases", [reductions, products], ids=lambda made: made.__name__)
def test_results_are_those_of_python_and_work_memory_is_wiped(
    architecture: str,
    cases: Callable[[], list[Case]],
    micropython: Callable[[str], Path],
    module: Callable[[str], Path],
) -> None:
    program, made = micropython(architecture), cases()
    assert len(made) >= 2000
    found = answers(program, module(architecture), made)
    for case, answer in zip(made, found, strict=True):
        assert (case, int.from_bytes(answer, "little")) == (case, case[2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_digits_of_a_comb_sum_up_to_the_scalar(
    architecture: str, micropython: Callable[[str], Path], module: Callable[[str], Path]
) -> None:
    program, made = micropython(architecture), combs()
    assert len(made) >= 2000
    found = answers(program, module(architecture), made)
    for case, answer in zip(made, found, strict=True):
        operation, (number, *blind), expected = case
        bits = comb_bits(operation, answer)
        assert (2 * bits - (2**COMB_BITS - 1)) % ORDER == expected, case
        # The blinding is there, and nothing besides it.
        half = (number + 2**COMB_BITS - 1) * pow(2, -1, ORDER) % ORDER
        assert bits == half + sum(blind) * ORDER, case


def counts_by_operands(program: Path, folder: Path, copy: Path) -> set[int]:
    """Instructions of a run with all operations, for operands as different as can be."""
    try:
        counter = Counter(program, copy)
    except Unavailable as error:
        pytest.skip(str(error))
    (folder / "every.py").write_text(EVERY_OPERATION)
    counts = set()
    for operands in (bytes(64), b"\xff" * 64, random.Random(4).randbytes(64), SIGNS):
        (folder / "operands").write_bytes(operands)
        counts.add(counter.count(["every.py"], folder=folder))
    return counts


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_count_of_instructions_does_not_depend_on_the_operands(
    architecture: str,
    tmp_path: Path,
    micropython: Callable[[str], Path],
    module: Callable[[str], Path],
) -> None:
    program = micropython(architecture)
    assert len(counts_by_operands(program, module(architecture), tmp_path / "copy")) == 1


def test_a_branch_on_an_operand_would_show_in_the_count_of_instructions(
    tmp_path: Path,
    micropython: Callable[[str], Path],
    module: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sound = scalar.source(64)
    planted = sound.replace("    top = 0\n", "    top = 0\n    if work[0] == 0:\n        top = 0\n")
    assert planted != sound
    monkeypatch.setattr(scalar, "source", lambda word_bits: planted)
    build.compiled.cache_clear()
    try:
        folder = module("amd64")
    finally:
        build.compiled.cache_clear()
    assert len(counts_by_operands(micropython("amd64"), folder, tmp_path / "copy")) > 1
