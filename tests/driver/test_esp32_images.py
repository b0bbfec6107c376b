"""Full images on the ESP32: what a computer can tell about them, under a fake of the partitions."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from tests.driver.chip_partition import Partition


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    Partition.written.clear()
    Partition.calls.clear()
    module = ModuleType("esp32")
    vars(module)["Partition"] = Partition
    monkeypatch.setitem(sys.modules, "esp32", module)
    yield monkeypatch
    sys.modules.pop("ks_board.images", None)


def test_an_image_is_written_in_whole_blocks_and_made_the_next(chip: pytest.MonkeyPatch) -> None:
    images = importlib.import_module("ks_board.images").find()
    assert (images.label(), images.next_label(), images.capacity()) == ("ota_0", "ota_1", 16384)
    writer = images.begin(5000)
    for start in range(0, 5000, 700):
        writer.write(memoryview(b"x" * 5000)[start : start + 700])
    writer.close()
    assert Partition.written == {0: b"x" * 4096, 1: b"x" * 904 + b"\xff" * 3192}
    assert images.set_boot() is True
    images.mark_valid()
    assert Partition.calls == ["set_boot ota_1", "mark_valid"]


def test_no_byte_goes_past_what_was_announced_or_the_partition(chip: pytest.MonkeyPatch) -> None:
    images = importlib.import_module("ks_board.images").find()
    with pytest.raises(OSError, match="larger than the partition"):
        images.begin(4 * 4096 + 1)
    writer = images.begin(4096)
    writer.write(b"x" * 4096)
    with pytest.raises(OSError, match="larger than it was to be"):
        writer.write(b"x")
    assert list(Partition.written) == [0]


def test_only_a_verification_that_fails_says_that_it_is_no_image(chip: pytest.MonkeyPatch) -> None:
    images = importlib.import_module("ks_board.images").find()
    chip.setattr(Partition, "failure", -0x1503)
    assert images.set_boot() is False
    chip.setattr(Partition, "failure", -0x105)
    with pytest.raises(OSError, match="-261"):
        images.set_boot()


def test_the_running_image_is_named_by_what_the_interpreter_says(chip: pytest.MonkeyPatch) -> None:
    images = importlib.import_module("ks_board.images").find()
    loads = 6 | 3 << 8 | 10 << 10
    for tail, version in (((), "1.26.0"), (("",), "1.26.0"), (("preview",), "1.26.0-preview")):
        numbers = (1, 26, 0, *tail)
        chip.setattr(sys, "implementation", SimpleNamespace(version=numbers, _mpy=loads))
        assert images.image() == (version, "6.3", "xtensawin")


def test_a_chip_with_one_partition_for_the_image_has_none_to_update(
    chip: pytest.MonkeyPatch,
) -> None:
    chip.setattr(Partition, "names", ("factory",))
    assert importlib.import_module("ks_board.images").find() is None
