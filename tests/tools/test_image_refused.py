"""`ks image build` refuses what a unit could not start, and an image folder what was changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ks_simulator import vfs_image
from ks_simulator.application import ReleaseError, firmware_folder
from ks_tools.board_file import BOARDS, Board, read_board
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.image_folder import FACTS, ImageFolder, read_folder
from ks_tools.image_micropython import read_image
from tests.tools import chip_image
from tests.tools.image_support import Build


def damaged(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


SPIRAM, OCTAL = chip_image.NAMES["esp32", "quad"], chip_image.NAMES["esp32s3", "octal"]
WHOLE = chip_image.micropython("esp32", name=SPIRAM)
FLIPPED = bytearray(WHOLE)
FLIPPED[0x100] ^= 1


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
        (
            chip_image.micropython("esp32"),
            "for a Generic ESP32 module, and ks_clock has quad PSRAM",
        ),
        (chip_image.micropython("esp32", banner=False), "but not of MicroPython"),
        (
            chip_image.micropython("esp32", size=0x1C0000, name=SPIRAM),
            "the partition factory of ks_clock has",
        ),
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


def board_of(folder: Path, chip: str, psram: str) -> Board:
    """The board nearest to it, with that PSRAM or none, and nothing attached."""
    near = {"esp32": "esp32_generic", "esp32s3": "esp32s3", "esp32c3": "esp32c3"}[chip]
    text = (BOARDS / near / "board.toml").read_text(encoding="utf-8")
    text = text[: text.index("[[feature]]")]
    if psram:
        text = text.replace("allow_strapping", f'psram = "{psram}"\nallow_strapping')
    path = folder / near / "board.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return read_board(path)


@pytest.mark.parametrize(
    ("chip", "psram", "name", "reason"),
    [
        ("esp32", "", "Generic ESP32 module", ""),
        ("esp32", "", SPIRAM, "and esp32_generic has no PSRAM; its image is ESP32_GENERIC from"),
        ("esp32", "quad", SPIRAM, ""),
        ("esp32", "quad", "Generic ESP32 module", "and esp32_generic has quad PSRAM"),
        ("esp32", "quad", "Generic ESP32 module with OTA", "has quad PSRAM"),
        # boards of the user's own, and images that do not say
        ("esp32", "quad", "Acme clock", ""),
        ("esp32", "quad", "Acme clock with SPIRAM", ""),
        ("esp32", "", "Acme clock with SPIRAM", "has no PSRAM"),
        ("esp32", "quad", "", ""),
        # this one looks for PSRAM with four lines itself
        ("esp32s3", "", "Generic ESP32S3 module", ""),
        ("esp32s3", "quad", "Generic ESP32S3 module", ""),
        ("esp32s3", "octal", "Generic ESP32S3 module", "and esp32s3 has octal PSRAM"),
        ("esp32s3", "octal", OCTAL, ""),
        ("esp32s3", "quad", OCTAL, "and esp32s3 has quad PSRAM; its image is ESP32_GENERIC_S3"),
        ("esp32s3", "", OCTAL, "and esp32s3 has no PSRAM"),
        ("esp32c3", "", "ESP32C3 module", ""),
    ],
)
def test_an_image_for_other_psram_is_refused_where_it_says_so(
    chip: str, psram: str, name: str, reason: str, tmp_path: Path
) -> None:
    image = tmp_path / "image.bin"
    image.write_bytes(chip_image.micropython(chip, name=name))
    board = board_of(tmp_path, chip, psram)
    if reason:
        with pytest.raises(ToolError, match=reason):
            read_image(image, board)
    else:
        assert read_image(image, board).name == name


def test_a_missing_image_is_told_with_the_page_that_has_it(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build("esp32c3", tmp_path / "made", image=tmp_path / "none.bin") == 1
    assert "https://micropython.org/download/ESP32_GENERIC_C3/" in capsys.readouterr().err


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
    command = ["release", "build", "2.1.0", "--for-chip", "--from", str(sources), "--out", made]
    bytecode = ["--bytecode", "--architecture", "rv32imc", "--built", "2026-11-20"]
    assert run([*command, *bytecode]) == 0
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
        "--micropython", str(desk / "esp32quad.bin"), "--offline", str(tmp_path),
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
