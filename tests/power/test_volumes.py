"""How partitions are mounted after a power cut: by our own rule, and by the stock image's."""

from collections.abc import Iterator
from random import Random

import pytest

from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import NorFlash, Operation
from tests.power.stock_image import Device, Start, our_start, stock_start, volumes

BLOCKS = 16
VOLUMES = volumes()


def recorded(flash: NorFlash, act: str) -> list[Operation]:
    operations = flash.start_recording()
    if act == "format":
        make_filesystem(flash)
    else:
        fs = LittleFsPort(flash)
        for number in range(250):  # enough for the superblock's pair to be compacted
            with fs.open("record", "wb") as file:
                file.write(b"%d" % number)
        fs.unmount()
    return list(operations)


def cuts(before: bytes, operations: list[Operation]) -> Iterator[tuple[int, NorFlash]]:
    """The flash as a power cut leaves it: before each operation, and in three torn ways."""
    for count in range(len(operations) + 1):
        for tear in range(4):
            flash = NorFlash(BLOCKS, image=before)
            for operation in operations[:count]:
                flash.perform(operation)
            if tear and count == len(operations):
                break
            random = Random(count * 4 + tear)
            if tear == 1:
                flash.tear_in_order(operations[count], random)
            elif tear:
                flash.tear_anywhere(operations[count], random)
            yield count, flash


def images(act: str, dirt: bytes = b"") -> list[tuple[int, NorFlash]]:
    """All cuts of formatting an erased flash, or of work on a formatted one."""
    flash = NorFlash(BLOCKS)
    if dirt:
        flash.program(0, 0, dirt)
    if act != "format":
        make_filesystem(flash)
    before = bytes(flash.memory)
    return list(cuts(before, recorded(flash, act)))


def is_mountable(flash: NorFlash) -> bool:
    try:
        LittleFsPort(NorFlash(BLOCKS, image=bytes(flash.memory))).unmount()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("act", ["format", "work"])
def test_a_superblock_is_seen_exactly_where_littlefs_mounts(act: str) -> None:
    seen = {True: 0, False: 0}
    for count, flash in images(act):
        found = VOLUMES.holds_superblock(Device(flash))
        assert found == is_mountable(flash), f"after {count} operations"
        seen[found] += 1
    assert seen[True] > 5
    assert bool(seen[False]) == (act == "format")


@pytest.mark.parametrize("dirt", [b"", b"\x00garbage of another system"])
def test_a_power_cut_while_a_partition_is_formatted_ends_in_a_formatted_one(dirt: bytes) -> None:
    for count, flash in images("format", dirt):
        assert our_start(flash, VOLUMES) is not Start.STUCK, f"after {count} operations"
        assert is_mountable(flash)


def test_a_power_cut_in_any_work_never_leads_to_formatting() -> None:
    found = images("work")
    assert any(operation for _, operation in found)
    erased = 0
    for count, flash in found:
        erased += sum(flash.erases[:2]) > 0
        assert our_start(flash, VOLUMES) is Start.MOUNTED, f"after {count} operations"
    assert erased, "the superblock's pair was never compacted"


def test_what_holds_a_superblock_and_does_not_mount_is_left_for_a_person() -> None:
    flash = NorFlash(BLOCKS)
    make_filesystem(flash)
    before = bytes(flash.memory)

    def attach() -> None:
        raise OSError(84)

    def make() -> None:
        raise AssertionError("formatted")

    with pytest.raises(OSError, match="84"):
        VOLUMES.settle(Device(flash), attach, make)
    assert bytes(flash.memory) == before


@pytest.mark.parametrize("place", range(4, 60))
def test_a_bit_that_is_wrong_makes_no_superblock(place: int) -> None:
    flash = NorFlash(BLOCKS)
    make_filesystem(flash)
    for block in (0, 1):
        data = bytearray(flash.read(block, 0, 4096))
        if VOLUMES.has_superblock(data):
            data[place] ^= 4
            assert not VOLUMES.has_superblock(data)


def test_what_the_stock_image_cannot_survive_is_a_power_cut_while_it_formats() -> None:
    """It prints its message for ever, where ours begins anew: vfs has to come from the factory."""
    stock = {count: stock_start(flash) for count, flash in images("format")}
    ours = {count: our_start(flash, VOLUMES) for count, flash in images("format")}
    stuck = [count for count, _ in images("format") if stock[count] is Start.STUCK]
    assert stuck
    assert Start.STUCK not in ours.values()


def test_the_stock_image_survives_power_cuts_in_a_partition_that_the_factory_formatted() -> None:
    for count, flash in images("work"):
        assert stock_start(flash) is Start.MOUNTED, f"after {count} operations"


def test_the_stock_image_formats_what_one_damaged_block_hides() -> None:
    """A cut while block 0 is compacted, and then block 1 fails: all is gone, the keys as well."""
    flash = NorFlash(BLOCKS)
    make_filesystem(flash)
    flash.erase(0)
    flash.program(1, 0, bytes(64))
    assert stock_start(flash) is Start.FORMATTED
