"""`ks image build`: what lies where in the image, and what is recorded of it.

MicroPython's image is a stand-in of the right form (`chip_image`); esptool is the real one.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ks_agent import bundle
from ks_tools.board_file import device_record, find_board
from ks_tools.boards_chips import CHIPS
from ks_tools.console import ToolError
from ks_tools.image_folder import ImageFolder, read_folder
from ks_tools.release import check_signature, read_release
from ks_tools.workspace import Workspace
from tests.tools import chip_image
from tests.tools.image_support import Build, files_of

MAC, SOFTWARE_MAC = "24:0a:c4:12:34:56", "02:00:00:00:00:01"


@pytest.mark.long
def test_the_parts_lie_in_the_factory_image_and_the_rest_is_erased(clock: ImageFolder) -> None:
    whole = bytearray(clock.path(clock.factory).read_bytes())
    board = find_board("ks_clock")
    assert clock.part("vfs").offset == board.partitions["vfs"].offset
    assert clock.part("micropython").offset == board.partitions["factory"].offset
    for part in clock.parts:
        data = clock.path(part).read_bytes()
        assert whole[part.offset : part.offset + part.size] == data, part.name
        assert part.size <= part.room
        whole[part.offset : part.offset + part.size] = b"\xff" * part.size
    assert set(whole) == {0xFF}
    assert len(whole) <= board.flash


def test_a_unit_gets_stage_0_recovery_one_slot_its_pins_and_the_keys(
    clock: ImageFolder, desk: Path
) -> None:
    files = files_of(clock)
    tops = {path.partition("/")[0] for path in files}
    assert tops == {"boot.py", "stage0.mpy", "volumes.mpy", "recovery", "slot_a", "board.toon",
                    "trust.toon"}  # fmt: skip
    assert files["board.toon"] == device_record(find_board("ks_clock"))
    assert files["trust.toon"] == (desk / "data" / "trust.toon").read_bytes()
    sources = {path for path in files if path.endswith(".py")}
    assert sources == {"boot.py", "recovery/main.py", "slot_a/main.py"}


def test_the_slot_is_signed_by_the_release_key_and_is_for_the_chip(
    clock: ImageFolder, desk: Path
) -> None:
    slot = desk / "slot"
    for path, data in files_of(clock).items():
        if path.startswith("slot_a/"):
            target = slot / path.removeprefix("slot_a/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    release = read_release(slot)
    trusted = Workspace(desk / "data").read_trust()
    check_signature(release, [key.key for key in trusted if key.role == "release"])
    manifest: Any = bundle.parse_manifest(release.manifest)
    assert (manifest["ARCH"], manifest["MPY"]) == ("xtensawin", "6.3")
    assert clock.facts["release"]["manifest"] == release.manifest_hash


def test_the_same_input_gives_the_same_bytes(
    clock: ImageFolder, build: Build, tmp_path: Path, desk: Path
) -> None:
    assert build("ks_clock", tmp_path / "again", "--trust", str(desk / "data/trust.toon")) == 0
    again = read_folder(tmp_path / "again")
    assert {path.name for path in again.folder.iterdir()} == {
        path.name for path in clock.folder.iterdir()
    }
    for path in clock.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("board", ["esp32s3", "esp32c3"])
def test_the_bootloader_is_told_the_size_of_the_boards_flash(
    board: str, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(board, tmp_path / "made") == 0
    table = capsys.readouterr().out
    for name in ("bootloader", "partition-table", "micropython", "vfs", "data (erased)"):
        assert name in table
    image = read_folder(tmp_path / "made")
    bootloader = image.path(image.part("bootloader"))
    assert image.part("bootloader").offset == CHIPS[image.chip].bootloader_offset
    command = [sys.executable, "-m", "esptool", "--chip", image.chip, "image-info"]
    command.append(str(bootloader))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"Flash size: {image.flash >> 20}MB" in said
    assert "invalid" not in said
    assert "trust.toon" not in files_of(image)


def test_what_was_built_is_recorded(clock: ImageFolder, desk: Path) -> None:
    facts = clock.facts
    downloaded = (desk / "esp32quad.bin").read_bytes()
    assert facts["micropython"]["sha256"] == hashlib.sha256(downloaded).hexdigest()
    assert (facts["micropython"]["version"], facts["micropython"]["tested"]) == ("1.25.0", True)
    assert facts["micropython"]["name"] == "Generic ESP32 module with SPIRAM"
    assert (facts["board"], facts["chip"], facts["built_for"]) == ("ks_clock", "esp32", "chip")
    assert clock.sha256 == hashlib.sha256(clock.path(clock.factory).read_bytes()).hexdigest()
    assert facts["release"]["fw2"] == "1.0.0"
    assert facts["allow_injection"] is False


def test_keys_may_be_injected_only_where_the_image_says_so(
    clock: ImageFolder, build: Build, tmp_path: Path
) -> None:
    assert "allow_injection" not in files_of(clock)
    assert build("ks_clock", tmp_path / "made", "--allow-injection") == 0
    image = read_folder(tmp_path / "made")
    assert "allow_injection" in files_of(image)
    assert image.facts["allow_injection"] is True


def test_an_image_for_the_software_chip_is_for_no_real_unit(
    clock: ImageFolder, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build("ks_clock", tmp_path / "made", "--for-software-chip", "x86") == 0
    assert "for the software chip alone" in capsys.readouterr().out
    image = read_folder(tmp_path / "made")
    image.check_unit("esp32", SOFTWARE_MAC)
    clock.check_unit("esp32", MAC)
    with pytest.raises(ToolError, match="is for the software chip"):
        image.check_unit("esp32", MAC)
    with pytest.raises(ToolError, match="this unit has the esp32s3"):
        clock.check_unit("esp32s3", MAC)
    with pytest.raises(ToolError, match="no MAC address"):
        clock.check_unit("esp32", "?")


def test_another_version_of_micropython_is_taken_with_a_warning(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = chip_image.write_micropython(
        tmp_path / "new.bin", "esp32", "1.30.0-preview", psram="quad"
    )
    assert build("ks_clock", tmp_path / "made", image=image) == 0
    assert "MicroPython 1.30.0-preview is not among" in capsys.readouterr().err
    assert read_folder(tmp_path / "made").facts["micropython"]["tested"] is False


def test_nothing_of_a_units_own_is_in_an_image(desk: Path, clock: ImageFolder) -> None:
    files = files_of(clock)
    assert not {"factory.toon", "data", "allow_injection"} & set(files)
    secrets = [(desk / "offline" / name).read_bytes() for name in ("release.pem", "admin-a.pem")]
    whole = clock.path(clock.factory).read_bytes()
    assert not any(secret[30:60] in whole for secret in secrets)
