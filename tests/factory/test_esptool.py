"""The factory's esptool: the real one, as a process, at software chips."""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ks_chip.client import Control
from ks_chip.rack import Place
from ks_tools.factory.batch import BAUDS
from ks_tools.factory.errors import Differs, Interrupted
from ks_tools.factory.esptool import TABLE_OFFSET, Esptool, chip_name, security_fuses
from ks_tools.factory.steps_flash import burnt_fuses
from tests.simulator.chip_support import MAC, flashed, running, setup

OFFSET = 0x10000
DATA = b"\xe9" + random.Random(1).randbytes(50_000)
KEY = b"\x5a" * 32
SLOWEST = min(BAUDS)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    flashed(tmp_path / "flash.bin")
    with running(setup(tmp_path)) as made:
        yield made


@pytest.fixture
def control(place: Place) -> Iterator[Control]:
    with place.control() as made:
        yield made


@pytest.fixture
def parts(tmp_path: Path) -> list[tuple[int, Path]]:
    path = tmp_path / "part.bin"
    path.write_bytes(DATA)
    return [(OFFSET, path)]


def test_it_tells_which_chip_it_is_and_how_its_flash_is_divided(place: Place) -> None:
    chip = Esptool(place.url, BAUDS).detect()
    assert (chip.chip, chip.mac) == ("esp32", MAC.hex(":"))
    assert len(chip.table) == 0x1000
    assert chip.table == place.flash.read_bytes()[TABLE_OFFSET:][:0x1000]
    assert chip.table.startswith(b"\xaa\x50")


def test_a_chip_does_not_start_between_writing_and_comparing(
    place: Place, control: Control, parts: list[tuple[int, Path]]
) -> None:
    esptool = Esptool(place.url, BAUDS)
    assert control.ask("state").startswith("running ")
    before = control.seen
    esptool.write(parts, erase=False)
    assert control.ask("state").startswith("loader ")
    assert not [event for event in control.events(before) if event.startswith("start ")]
    esptool.verify(parts)
    control.wait_for("state running", before)
    assert place.flash.read_bytes()[OFFSET:][: len(DATA)] == DATA


def test_erasing_and_writing_leaves_nothing_else(
    place: Place, parts: list[tuple[int, Path]]
) -> None:
    Esptool(place.url, BAUDS).write(parts, erase=True)
    stored = place.flash.read_bytes()
    assert stored[OFFSET:][: len(DATA)] == DATA
    assert (stored[:OFFSET] + stored[OFFSET + len(DATA) :]).strip(b"\xff") == b""


def test_one_wrong_bit_is_found(place: Place, parts: list[tuple[int, Path]]) -> None:
    esptool = Esptool(place.url, BAUDS)
    esptool.write(parts, erase=False)
    with place.flash.open("r+b") as file:
        file.seek(OFFSET + 40_000)
        file.write(bytes([DATA[40_000] ^ 1]))
    with pytest.raises(Differs, match="the flash does not hold what was written"):
        esptool.verify(parts)


def test_a_line_that_is_too_fast_is_slowed_down(
    place: Place, control: Control, parts: list[tuple[int, Path]]
) -> None:
    said: list[str] = []
    control.ask(f"noise 40 {SLOWEST}")
    esptool = Esptool(place.url, BAUDS, said.append)
    esptool.write(parts, erase=False)
    assert esptool.retries == len(BAUDS) - 1
    assert f"again at {SLOWEST} baud" in said
    assert place.flash.read_bytes()[OFFSET:][: len(DATA)] == DATA


def test_a_port_where_nothing_is_interrupts_after_every_rate(tmp_path: Path) -> None:
    esptool = Esptool(str(tmp_path / "nothing"), BAUDS)
    with pytest.raises(Interrupted, match="the port is busy or doesn't exist"):
        esptool.detect()
    assert esptool.retries == len(BAUDS) - 1


def test_ctrl_c_ends_a_process_in_its_midst(
    place: Place, control: Control, parts: list[tuple[int, Path]]
) -> None:
    stop = threading.Event()
    seen: list[int] = []

    def progress(percent: int) -> None:
        seen.append(percent)
        stop.set()

    control.ask("slow 40000")
    esptool = Esptool(place.url, BAUDS, progress=progress, stop=stop)
    with pytest.raises(Interrupted, match="interrupted"):
        esptool.write(parts, erase=False)
    assert seen and max(seen) < 100
    assert esptool.retries == 0
    control.ask("slow -")
    control.wait_for("state running")


def test_fuses_of_a_new_chip_are_told_and_none_is_burnt(place: Place) -> None:
    fuses = Esptool(place.url, BAUDS).efuses()
    assert {"ABS_DONE_0", "FLASH_CRYPT_CNT"} <= set(fuses)
    assert burnt_fuses(fuses) == []


def virtual(folder: Path, chip: str, *words: str) -> str:
    """espefuse at fuses in a file."""
    done = subprocess.run(
        [sys.executable, "-m", "espefuse", "--chip", chip, "--virt", "--path-efuse-file",
         str(folder / "fuses.bin"), *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("chip", "key_block", "purpose", "burns", "burnt"),
    [
        ("esp32", "flash_encryption", [], ["FLASH_CRYPT_CNT", "1"], ["FLASH_CRYPT_CNT"]),
        ("esp32s3", "BLOCK_KEY0", ["HMAC_UP"], ["SPI_BOOT_CRYPT_CNT", "7"], ["SPI_BOOT_CRYPT_CNT"]),
    ],
)
def test_burnt_fuses_are_found_and_keys_in_them_are_not_looked_at(
    tmp_path: Path,
    chip: str,
    key_block: str,
    purpose: list[str],
    burns: list[str],
    burnt: list[str],
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    key = [key_block, str(tmp_path / "key"), *purpose]
    unprotected = "--no-protect-key" if chip == "esp32" else "--no-read-protect"
    virtual(tmp_path, chip, "--do-not-confirm", "burn-key", unprotected, *key)
    virtual(tmp_path, chip, "--do-not-confirm", "burn-efuse", *burns)
    summary = tmp_path / "summary.json"
    virtual(tmp_path, chip, "summary", "--format", "json", "--file", str(summary))
    assert KEY.hex(" ") in summary.read_text(), "espefuse reads it"
    fuses = security_fuses(json.loads(summary.read_text()))
    assert burnt_fuses(fuses) == burnt
    assert not any(KEY.hex()[:4] in text.replace(" ", "") for text in fuses.values())


@pytest.mark.parametrize(
    ("name", "number", "is_burnt"),
    [
        ("FLASH_CRYPT_CNT", "0x03", False),
        ("FLASH_CRYPT_CNT", "0x07", True),
        ("SPI_BOOT_CRYPT_CNT", "0x1", True),
        ("SECURE_BOOT_EN", "0x1", True),
        ("ABS_DONE_0", "0x1", True),
        ("ABS_DONE_1", "0x1", True),
        ("SECURE_VERSION", "0x1", False),
    ],
)
def test_encryption_is_on_while_an_odd_number_of_bits_is(
    name: str, number: str, is_burnt: bool
) -> None:
    assert burnt_fuses({name: number}) == [name] * is_burnt


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("ESP32-D0WD-V3", "esp32"),
        ("ESP32-U4WDH", "esp32"),
        ("ESP32-S3", "esp32s3"),
        ("ESP32-C3", "esp32c3"),
        ("ESP32-C6FH4", "esp32"),
    ],
)
def test_what_esptool_calls_a_chip_is_a_board_file_s_chip(said: str, name: str) -> None:
    assert chip_name(said) == name
