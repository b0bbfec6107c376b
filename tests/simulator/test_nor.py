"""The simulated flash does what the chip does, and nothing that it cannot."""

from random import Random

import pytest

from ks_simulator.nor import Erase, NorFlash, NotErased, OutOfRange, Program

BLOCK = 4096


def test_a_new_flash_reads_as_erased() -> None:
    assert NorFlash(2).read(1, 0, BLOCK) == b"\xff" * BLOCK


def test_what_was_programmed_is_read_back() -> None:
    flash = NorFlash(2)
    flash.program(1, 32, b"punch")
    assert flash.read(1, 32, 6) == b"punch\xff"
    assert flash.read(0, 32, 5) == b"\xff" * 5


def test_bits_fall_by_programming_and_rise_by_erasing_alone() -> None:
    flash = NorFlash(1)
    flash.program(0, 0, b"\xf0")
    flash.program(0, 0, b"\x50")
    with pytest.raises(NotErased):
        flash.program(0, 0, b"\x5f")
    assert flash.read(0, 0, 1) == b"\x50"
    flash.erase(0)
    flash.program(0, 0, b"\x5f")
    assert flash.read(0, 0, 1) == b"\x5f"


@pytest.mark.parametrize(
    ("block", "offset", "size"), [(2, 0, 1), (-1, 0, 1), (0, -1, 1), (0, BLOCK, 1), (0, 4000, 97)]
)
def test_nothing_lies_outside_the_blocks(block: int, offset: int, size: int) -> None:
    flash = NorFlash(2)
    with pytest.raises(OutOfRange):
        flash.read(block, offset, size)
    with pytest.raises(OutOfRange):
        flash.program(block, offset, bytes(size))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(OutOfRange):
        NorFlash(2, image=bytes(BLOCK))


def test_wear_is_counted_by_block() -> None:
    flash = NorFlash(3)
    flash.erase(1)
    flash.program(1, 0, bytes(32))
    flash.program(1, 32, bytes(64))
    assert flash.erases == [0, 1, 0]
    assert flash.programs == [0, 2, 0]
    assert flash.bytes_programmed == 96
    assert flash.operation_count == 3


def test_a_record_performed_on_the_old_image_gives_the_new_one() -> None:
    flash = NorFlash(2)
    flash.program(0, 0, b"before")
    image = bytes(flash.memory)
    record = flash.start_recording()
    flash.erase(0)
    flash.program(0, 8, b"after")
    again = NorFlash(2, image=image)
    for operation in record:
        again.perform(operation)
    assert again.memory == flash.memory
    assert record == [Erase(0), Program(0, 8, b"after")]


def torn(operation: Program | Erase, tear: str, seed: int, content: bytes) -> bytes:
    flash = NorFlash(1, image=content + b"\xff" * (BLOCK - len(content)))
    getattr(flash, tear)(operation, Random(seed))
    return bytes(flash.memory)


@pytest.mark.parametrize("tear", ["tear_in_order", "tear_anywhere"])
@pytest.mark.parametrize("operation", [Program(0, 4, bytes(range(100))), Erase(0)], ids=type)
def test_a_torn_operation_lies_between_before_and_after_and_is_the_same_for_a_seed(
    operation: Program | Erase, tear: str
) -> None:
    content = b"" if isinstance(operation, Program) else bytes(range(256)) * 16
    flash = NorFlash(1, image=content + b"\xff" * (BLOCK - len(content)))
    before = int.from_bytes(flash.memory, "big")
    flash.perform(operation)
    after = int.from_bytes(flash.memory, "big")
    results = {torn(operation, tear, seed, content) for seed in range(20)}
    assert len(results) > 10
    for result in results:
        number = int.from_bytes(result, "big")
        assert (number ^ before) & ~(before ^ after) == 0
    assert torn(operation, tear, 7, content) == torn(operation, tear, 7, content)


def test_a_program_torn_in_order_has_written_its_first_bytes_and_not_its_last() -> None:
    data = bytes(64)
    for seed in range(20):
        result = torn(Program(0, 0, data), "tear_in_order", seed, b"")[:64]
        zeros = len(result) - len(result.lstrip(b"\0"))
        assert result[zeros + 1 :] == b"\xff" * (63 - zeros)
