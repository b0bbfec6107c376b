"""`ks image build`: what lies where in the image, and what is refused.

MicroPython's image is a stand-in of the right form (`chip_image`); esptool is the real one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ks_agent import bundle
from ks_simulator import vfs_image
from ks_simulator.application import ReleaseError, firmware_folder
from ks_tools.board_file import BOARDS, device_record, find_board
from ks_tools.boards_chips import CHIPS
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.image_folder import FACTS, ImageFolder, read_folder
from ks_tools.release import check_signature, read_release
from ks_tools.workspace import Workspace
from tests.tools import chip_image

MAC, SOFTWARE_MAC = "24:0a:c4:12:34:56", "02:00:00:00:00:01"
Build = Callable[..., int]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with keys, and MicroPython for each chip."""
    folder = tmp_path_factory.mktemp("desk")
    Workspace(folder / "data", folder / "offline").make_keys()
    for chip in CHIPS:
        chip_image.write_micropython(folder / f"{chip}.bin", chip, size=100_000)
    return folder


@pytest.fixture(scope="module")
def build(desk: Path) -> Build:
    """`ks image build` for a board, with these options besides; the exit status."""

    def called(board: str, output: Path, *options: str, image: Path | None = None) -> int:
        chip = find_board(board).chip
        return run([
            "image", "build", "--board", board, "--output", str(output),
            "--micropython", str(image or desk / f"{chip}.bin"),
            "--data", str(desk / "data"), "--offline", str(desk / "offline"), *options,
        ])  # fmt: skip

    return called


@pytest.fixture(scope="module")
def clock(desk: Path, build: Build) -> ImageFolder:
    """The image of the example, with the keys to trust."""
    assert build("ks_clock", desk / "clock", "--trust", str(desk / "data" / "trust.toon")) == 0
    return read_folder(desk / "clock")


def files_of(image: ImageFolder) -> dict[str, bytes]:
    return vfs_image.read(image.path(image.part("vfs")).read_bytes())


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
    downloaded = (desk / "esp32.bin").read_bytes()
    assert facts["micropython"]["sha256"] == hashlib.sha256(downloaded).hexdigest()
    assert (facts["micropython"]["version"], facts["micropython"]["tested"]) == ("1.25.0", True)
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


@pytest.mark.parametrize("damage", ["changed", "missing", "facts", "form", "part"])
def test_a_folder_that_is_not_as_it_was_built_is_refused(
    damage: str, clock: ImageFolder, tmp_path: Path
) -> None:
    folder = tmp_path / "image"
    folder.mkdir()
    for path in clock.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if damage == "changed":
        (folder / "vfs.bin").write_bytes((folder / "vfs.bin").read_bytes()[:-1] + b"\0")
    elif damage == "missing":
        (folder / "factory.bin").unlink()
    elif damage == "facts":
        (folder / FACTS).write_text("{", encoding="utf-8")
    elif damage == "form":
        (folder / FACTS).write_text(json.dumps({**facts, "form": 0}), encoding="utf-8")
    else:
        (folder / FACTS).write_text(json.dumps({**facts, "parts": [{}]}), encoding="utf-8")
    said = {
        "changed": "was changed after", "missing": "is missing", "facts": "has no image.json",
        "form": "by another version", "part": "is damaged",
    }  # fmt: skip
    with pytest.raises(ToolError, match=said[damage]):
        read_folder(folder)


def damaged(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


WHOLE = chip_image.micropython("esp32")
FLIPPED = bytearray(chip_image.micropython("esp32"))
FLIPPED[0x100] ^= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (chip_image.micropython("esp32s3"), "an image for the esp32s3, and ks_clock has the esp32"),
        (chip_image.micropython("esp32c3"), "an image for the esp32c3"),
        (chip_image.application("esp32"), "there is no application behind the bootloader"),
        (WHOLE[:0xF000], "there is no application behind the bootloader"),
        (WHOLE[:-100], "its application is damaged"),
        (damaged(WHOLE), "its application is damaged"),
        (bytes(FLIPPED), "its bootloader is damaged"),
        (b"", "no image for an ESP32"),
        (b"PK" + bytes(100_000), "no image for an ESP32"),
        (chip_image.micropython("esp32", banner=False), "but not of MicroPython"),
        (chip_image.micropython("esp32", size=0x1C0000), "the partition factory of ks_clock has"),
        (WHOLE[:0xF000] + chip_image.application("esp32c3"), "an image for the esp32c3"),
    ],
)
def test_what_is_no_micropython_for_the_boards_chip_is_refused(
    content: bytes,
    reason: str,
    desk: Path,
    build: Build,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(content)
    assert build("ks_clock", tmp_path / "made", image=image) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert not (tmp_path / "made").exists()


def test_a_missing_image_is_told_with_the_page_that_has_it(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build("esp32c3", tmp_path / "made", image=tmp_path / "none.bin") == 1
    assert "https://micropython.org/download/ESP32_GENERIC_C3/" in capsys.readouterr().err


def test_another_version_of_micropython_is_taken_with_a_warning(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = chip_image.write_micropython(tmp_path / "new.bin", "esp32", "1.30.0-preview")
    assert build("ks_clock", tmp_path / "made", image=image) == 0
    assert "MicroPython 1.30.0-preview is not among" in capsys.readouterr().err
    assert read_folder(tmp_path / "made").facts["micropython"]["tested"] is False


def test_nothing_but_an_image_is_overwritten(
    clock: ImageFolder, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("dear", encoding="utf-8")
    assert build("ks_clock", taken) == 1
    assert "is no image folder" in capsys.readouterr().err
    assert [path.name for path in taken.iterdir()] == ["letter.txt"]
    assert build("esp32_generic", clock.folder.parent / "twice") == 0
    assert build("ks_clock", clock.folder.parent / "twice") == 0
    assert read_folder(clock.folder.parent / "twice").board == "ks_clock"


def test_a_release_that_is_there_is_taken_if_the_units_can_start_and_believe_it(
    desk: Path, build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, sources = str(tmp_path / "release"), tmp_path / "sources"
    crypto = firmware_folder() / "ks_crypto"
    shutil.copytree(crypto, sources / "ks_crypto", ignore=shutil.ignore_patterns("__pycache__"))
    (sources / "main.py").write_text("from ks_crypto.port import Ed25519Crypto\n")
    bytecode = ["--bytecode", "--architecture", "rv32imc", "--built", "2026-11-20"]
    assert (
        run(
            [
                "release",
                "build",
                "2.1.0",
                "--for-chip",
                *bytecode,
                "--from",
                str(sources),
                "--out",
                made,
            ]
        )
        == 0
    )
    assert run(["release", "sign", made, "--offline", str(desk / "offline")]) == 0
    options = ["--release", str(tmp_path / "release")]
    assert build("esp32c3", tmp_path / "made", *options) == 0
    assert read_folder(tmp_path / "made").facts["release"]["fw2"] == "2.1.0"
    assert build("ks_clock", tmp_path / "other", *options) == 1
    assert "is for rv32imc, and the board has xtensawin" in capsys.readouterr().err
    (tmp_path / "release" / "manifest.sig").unlink()
    assert build("esp32c3", tmp_path / "other", *options) == 1
    assert "not signed" in capsys.readouterr().err


def test_without_a_release_key_nothing_is_built(
    desk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run([
        "image", "build", "--board", "ks_clock", "--output", str(tmp_path / "made"),
        "--micropython", str(desk / "esp32.bin"), "--offline", str(tmp_path),
    ])  # fmt: skip
    assert status == 1
    assert "keys are made with: ks keys" in capsys.readouterr().err


def test_what_does_not_fit_into_vfs_is_refused() -> None:
    files = {f"f{number}": b"x" * 5000 for number in range(4)}
    assert vfs_image.read(vfs_image.make(files, 0x10000).data) == files
    with pytest.raises(ReleaseError, match="4 files of 20000 bytes do not fit"):
        vfs_image.make(files, 0x8000)
    with pytest.raises(ReleaseError, match="blocks of 4096"):
        vfs_image.make(files, 5000)


def test_a_vfs_without_room_for_a_second_slot_is_refused(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small" / "board.toml"
    small.parent.mkdir()
    text = (BOARDS / "ks_clock" / "board.toml").read_text(encoding="utf-8")
    text = text.replace('name = "ks_clock"', 'name = "small"')
    small.write_text(text.replace("size = 0xf0000", "size = 0xa0000"), encoding="utf-8")
    assert build(str(small), tmp_path / "made") == 1
    assert "do not fit" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_nothing_of_a_units_own_is_in_an_image(desk: Path, clock: ImageFolder) -> None:
    files = files_of(clock)
    assert not {"factory.toon", "data", "allow_injection"} & set(files)
    secrets = [(desk / "offline" / name).read_bytes() for name in ("release.pem", "admin-a.pem")]
    whole = clock.path(clock.factory).read_bytes()
    assert not any(secret[30:60] in whole for secret in secrets)
