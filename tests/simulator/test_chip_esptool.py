"""The real esptool, as a process, at the software chip's loader."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ks_chip.flash import SECTOR_BYTES, Flash
from ks_chip.rack import Place
from tests.simulator.chip_support import FLASH_BYTES, MAC, esptool, running, setup

CHIPS = {"esp32": "ESP32-D0WD-V3", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3"}
MODES = {"rom": ["--no-stub"], "stub": []}
LINES = {"pty": False, "tcp": True}
OFFSET = 0x10000
# Half of it does not deflate.
DATA = random.Random(1).randbytes(40_000) + b"\0" * 30_000


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "image"
    path.write_bytes(DATA)
    return str(path)


def stored(place: Place) -> bytes:
    """What stands in the flash's file."""
    return place.flash.read_bytes()


@pytest.mark.parametrize(
    ("chip", "mode"),
    [("esp32", "rom"), ("esp32", "stub"), ("esp32s3", "rom"), ("esp32c3", "stub")],
)
def test_esptool_knows_the_chip_its_flash_and_its_mac(tmp_path: Path, chip: str, mode: str) -> None:
    with running(setup(tmp_path, chip=chip)) as place:
        said = esptool(place, *MODES[mode], "flash-id")
    assert f"Chip type:          {CHIPS[chip]}" in said
    assert f"MAC:                {MAC.hex(':')}" in said
    assert "Detected flash size: 1MB" in said
    assert ("Stub flasher running" in said) == (mode == "stub")


@pytest.mark.parametrize(("mode", "line"), [("rom", "pty"), ("stub", "pty"), ("stub", "tcp")])
def test_what_esptool_writes_stands_in_the_flash_and_is_verified(
    tmp_path: Path, image: str, mode: str, line: str
) -> None:
    with running(setup(tmp_path), LINES[line]) as place:
        said = esptool(place, *MODES[mode], "write-flash", hex(OFFSET), image)
        assert "Hash of data verified." in said
        assert stored(place)[OFFSET:][: len(DATA)] == DATA
        assert stored(place)[:OFFSET] == b"\xff" * OFFSET
        said = esptool(place, *MODES[mode], "verify-flash", hex(OFFSET), image)
        assert "Verification successful" in said


@pytest.mark.parametrize(("chip", "mode"), [("esp32", "rom"), ("esp32c3", "stub")])
def test_esptool_writes_without_compression_and_reads_back(
    tmp_path: Path, image: str, chip: str, mode: str
) -> None:
    read = tmp_path / "read"
    with running(setup(tmp_path, chip=chip)) as place:
        esptool(place, *MODES[mode], "write-flash", "--no-compress", hex(OFFSET), image)
        assert stored(place)[OFFSET:][: len(DATA)] == DATA
        size = 9000
        esptool(place, *MODES[mode], "read-flash", hex(OFFSET + 100), str(size), str(read))
    assert read.read_bytes() == DATA[100:][:size]


def test_writing_again_over_other_data_erases_first(tmp_path: Path, image: str) -> None:
    flash = Flash(tmp_path / "flash.bin", FLASH_BYTES)
    flash.program(OFFSET - 100, bytes(100_000))
    flash.close()
    with running(setup(tmp_path)) as place:
        esptool(place, "write-flash", hex(OFFSET), image)
        assert stored(place)[OFFSET:][: len(DATA)] == DATA
        assert stored(place)[OFFSET - 100 : OFFSET] == bytes(100)


def test_esptool_erases_all_or_a_region(tmp_path: Path) -> None:
    flash = Flash(tmp_path / "flash.bin", FLASH_BYTES)
    flash.program(0, bytes(FLASH_BYTES))
    flash.close()
    with running(setup(tmp_path)) as place:
        esptool(place, "--no-stub", "erase-region", "0x1000", "0x2000")
        assert stored(place)[:0x4000] == bytes(0x1000) + b"\xff" * 0x2000 + bytes(0x1000)
        esptool(place, "erase-region", "0x8000", "0x1000")
        assert stored(place)[0x8000:0xA000] == b"\xff" * 0x1000 + bytes(0x1000)
        esptool(place, "erase-flash")
        assert stored(place) == b"\xff" * FLASH_BYTES


def test_verifying_finds_one_wrong_bit(tmp_path: Path, image: str) -> None:
    with running(setup(tmp_path)) as place:
        esptool(place, "write-flash", hex(OFFSET), image)
        with place.flash.open("r+b") as file:
            file.seek(OFFSET + 35_000)
            file.write(bytes([DATA[35_000] ^ 4]))
        said = esptool(place, "verify-flash", hex(OFFSET), image, check=False)
        assert "Verification failed" in said


@pytest.mark.parametrize("chip", ["esp32", "esp32s3"])
def test_a_faster_rate_and_a_stay_in_the_loader_work(tmp_path: Path, image: str, chip: str) -> None:
    with running(setup(tmp_path, chip=chip)) as place, place.control() as control:
        said = esptool(
            place, "--baud", "921600", "--after", "no-reset", "write-flash", hex(OFFSET), image
        )
        assert "Changing baud rate to 921600" in said
        assert "Hash of data verified." in said
        assert control.ask("state").startswith("loader ")
        said = esptool(place, "--before", "no-reset", "read-mac")
        assert MAC.hex(":") in said
        control.wait_for("state halted")


def test_the_security_info_tells_of_a_chip_without_any(tmp_path: Path) -> None:
    with running(setup(tmp_path, chip="esp32c3")) as place:
        said = esptool(place, "get-security-info")
    assert "Secure Boot: Disabled" in said
    assert "Flash Encryption: Disabled" in said


def test_a_power_cut_leaves_what_was_done_and_half_of_one_operation(
    tmp_path: Path, image: str
) -> None:
    with running(setup(tmp_path)) as place, place.control() as control:
        control.ask("cut after 5 unplug")
        esptool(place, "write-flash", "--no-compress", hex(OFFSET), image, check=False)
        assert not Path(place.url).exists()
        control.wait_for("state off")
        assert control.ask("state") == "off starts=1 operations=6 left=- plugged=0"
        # Sectors are erased four by four here, as they are written; the second of four was torn.
        assert stored(place)[OFFSET:][: SECTOR_BYTES + 2048] == DATA[: SECTOR_BYTES + 2048]
        assert stored(place)[OFFSET + SECTOR_BYTES + 2048 :].strip(b"\xff") == b""
        control.ask("plug")
        control.ask("power on")
        said = esptool(place, "write-flash", hex(OFFSET), image)
        assert "Hash of data verified." in said
        assert stored(place)[OFFSET:][: len(DATA)] == DATA


def test_noise_at_a_fast_rate_only_spares_the_slow_one(tmp_path: Path, image: str) -> None:
    with running(setup(tmp_path)) as place, place.control() as control:
        control.ask("noise 40 115200")
        esptool(place, "--baud", "460800", "write-flash", hex(OFFSET), image, check=False)
        said = esptool(place, "write-flash", hex(OFFSET), image)
        assert "Hash of data verified." in said


def test_a_slow_line_is_slow_and_works(tmp_path: Path) -> None:
    with running(setup(tmp_path)) as place, place.control() as control:
        control.ask("slow 11520")
        assert MAC.hex(":") in esptool(place, "--no-stub", "read-mac")
