"""Full images on a computer: what the bootloader starts, whenever the power goes."""

from pathlib import Path
from typing import Any

import pytest

from ks_driver import esp_image
from ks_driver.files import HostFs
from ks_driver.folder_flash import FolderFlash
from ks_driver.host_bootloader import power_on
from ks_driver.host_images import HostImages, images_of
from ks_driver.otadata import OTADATA, Entries

OLD = ("1.25.0", "6.3", "xtensawin")
NEW = ("1.26.0", "6.3", "xtensawin")
BLOCK = 4096


class Cut(Exception):
    """The power is gone."""


class Dying:
    """A flash that after `left` operations loses power; `torn`: in the middle of the next one."""

    def __init__(self, fs: HostFs, left: int = -1, torn: bool = False) -> None:
        self._flash: Any = FolderFlash(fs)
        self.size = self._flash.size
        self.read = self._flash.read
        self.left = left
        self.torn = torn

    def erase(self, name: str, block: int) -> None:
        self._operate(name, block * BLOCK, b"\xff" * BLOCK)

    def program(self, name: str, offset: int, data: bytes) -> None:
        self._operate(name, offset, data)

    def _operate(self, name: str, offset: int, data: bytes) -> None:
        if self.left == 0:
            if self.torn:
                self._flash.program(name, offset, data[: len(data) // 2])
            raise Cut
        self.left -= 1
        self._flash.program(name, offset, data)


@pytest.fixture
def fs(tmp_path: Path) -> HostFs:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "ota_0.bin").write_bytes(esp_image.make(*OLD))
    return HostFs(str(tmp_path))


def write(images: HostImages, content: bytes) -> None:
    writer = images.begin(len(content))
    writer.write(content)
    writer.close()


def test_a_new_image_has_one_start_until_it_is_marked_valid(fs: HostFs) -> None:
    images = images_of(fs)
    write(images, esp_image.make(*NEW, content=b"x" * 9000))
    assert images.set_boot() is True
    assert images_of(fs).image() == NEW
    again = images_of(fs)
    assert (again.label(), again.image()) == ("ota_0", OLD)
    assert again.set_boot() is True
    images_of(fs).mark_valid()
    assert [images_of(fs).label() for _ in range(3)] == ["ota_1"] * 3


def test_images_take_turns_for_ever(fs: HostFs) -> None:
    for number in range(1, 7):
        images = images_of(fs)
        assert images.label() == f"ota_{(number - 1) % 2}"
        write(images, esp_image.make(f"2.{number}.0", "6.3", "x64"))
        assert images.set_boot() is True
        images_of(fs).mark_valid()
    assert images_of(fs).image() == ("2.6.0", "6.3", "x64")


def test_marking_valid_twice_writes_nothing(fs: HostFs) -> None:
    images_of(fs)
    images = power_on(Dying(fs, left=0))
    images.mark_valid()
    assert images.label() == "ota_0"


@pytest.mark.parametrize("spoil", ["magic", "bit", "short", "long", "unhashed", "erased"])
def test_what_is_not_a_whole_image_never_becomes_the_next(fs: HostFs, spoil: str) -> None:
    good = esp_image.make(*NEW, content=b"x" * 5000)
    content = {
        "magic": b"\xe8" + good[1:],
        "bit": good[:300] + bytes([good[300] ^ 1]) + good[301:],
        "short": good[:-40],
        "long": good[:28] + b"\xff\xff\xff\x7f" + good[32:],
        "unhashed": good[:23] + b"\0" + good[24:],
        "erased": b"\xff" * 100,
    }[spoil]
    images = images_of(fs)
    write(images, content)
    assert images.set_boot() is False
    assert images_of(fs).label() == "ota_0"


def test_an_image_that_was_damaged_later_is_left_for_the_other(fs: HostFs, tmp_path: Path) -> None:
    images = images_of(fs)
    write(images, esp_image.make(*NEW))
    images.set_boot()
    images_of(fs).mark_valid()
    (tmp_path / "images" / "ota_1.bin").write_bytes(b"damaged")
    assert images_of(fs).label() == "ota_0"
    (tmp_path / "images" / "ota_0.bin").write_bytes(b"damaged")
    with pytest.raises(OSError, match="no image"):
        images_of(fs)


def test_nothing_that_lies_beyond_the_partition_is_written(fs: HostFs) -> None:
    images = images_of(fs)
    with pytest.raises(OSError, match="larger than the partition"):
        images.begin(images.capacity() + 1)
    writer = images.begin(BLOCK)
    with pytest.raises(OSError, match="larger than it was to be"):
        writer.write(b"x" * (BLOCK + 1))


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("start", ["blank", "second"])
def test_a_power_cut_anywhere_leaves_an_image_that_starts(
    tmp_path: Path, start: str, torn: bool
) -> None:
    """From a factory's blank data, and from an update before: whatever is cut, one of the two
    images starts, and a whole further try ends on the new one.
    """
    for left in range(40):
        root = tmp_path / f"{start}{left}"
        (root / "images").mkdir(parents=True)
        (root / "images" / "ota_0.bin").write_bytes(esp_image.make(*OLD))
        fs = HostFs(str(root))
        if start == "second":
            update(FolderFlash(fs), "1.25.5")
        flash = Dying(fs, left, torn)
        try:
            update(flash, "1.26.0")
            is_cut = False
        except Cut:
            is_cut = True
        flash.left = -1
        found = power_on(flash)
        assert found.image()[0] in ("1.25.0", "1.25.5", "1.26.0")
        if found.image()[0] == "1.26.0":
            found.mark_valid()
        else:
            update(flash, "1.26.0")
        assert power_on(flash).image()[0] == "1.26.0"
        if not is_cut:
            break
    assert not is_cut
    assert left > 5


def update(flash: Any, version: str) -> None:
    images = power_on(flash)
    write(images, esp_image.make(version, "6.3", "xtensawin", b"x" * 5000))
    images.set_boot()
    power_on(flash).mark_valid()


def test_the_entries_are_those_of_the_chip(fs: HostFs) -> None:
    """Number, 20 bytes of 0xFF, state, CRC-32 of the number: that of 1 is in each boot_app0.bin of
    the Arduino core.
    """
    flash = FolderFlash(fs)
    power_on(flash)
    entry = flash.read(OTADATA, 0, 32)
    assert entry.hex() == "01000000" + "ff" * 20 + "02000000" + "9a984347"
    assert Entries(flash).active == 0
