"""Image folders and virtual chips for `ks security`. No chip has been burned: espefuse plays it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ks_tools import image_folder
from ks_tools.board_file import Board, Partition, find_board
from ks_tools.boards_chips import CHIPS
from ks_tools.image_partitions import TABLE_OFFSET, table
from tests.tools import chip_image

BOARDS = {"esp32": "esp32_generic", "esp32s3": "esp32s3", "esp32c3": "esp32c3"}
# What a chip of the least revision for secure boot v2 has burned by its maker.
_REVISIONS = {
    "esp32": ["CHIP_VER_REV1", "1", "CHIP_VER_REV2", "1"],
    "esp32c3": ["WAFER_VERSION_MINOR_LO", "3"],
}
MAC = "00:00:00:00:00:00"  # of every virtual chip


@dataclass(frozen=True)
class Signed:
    """A key pair's file, and an image that is signed with it."""

    key: Path
    image: bytes


def tool(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def signed(folder: Path, chip: str = "esp32") -> Signed:
    """Signed by espsecure, as a person would sign it."""
    key, plain, image = folder / "signing.pem", folder / "plain.bin", folder / "signed.bin"
    tool("espsecure", "generate-signing-key", "--version", "2", "--scheme", "rsa3072", str(key))
    data = chip_image.application(chip)
    plain.write_bytes(data.ljust(-(-len(data) // 4096) * 4096, b"\xff"))
    tool(
        "espsecure", "sign-data", "--version", "2", "--keyfile", str(key),
        "--output", str(image), str(plain),
    )  # fmt: skip
    return Signed(key, image.read_bytes())


def board_of(chip: str, with_keys: bool = True) -> Board:
    """The chip's board, with a partition for the keys of NVS in the place of phy_init."""
    board = find_board(BOARDS[chip])
    if not with_keys:
        return board
    parts: dict[str, Partition] = dict(board.partitions)
    old = parts.pop("phy_init")
    parts["nvs_keys"] = old.model_copy(update={"subtype": "nvs_keys"})
    return board.model_copy(update={"partitions": parts})


def write_folder(
    folder: Path, chip: str, image: bytes, own: bool = True, with_keys: bool = True
) -> Path:
    """What `ks image build` makes, without the release."""
    board = board_of(chip, with_keys)
    folder.mkdir()
    contents = {
        "bootloader": (CHIPS[chip].bootloader_offset, image),
        "partition-table": (TABLE_OFFSET, table(board)),
        "micropython": (board.partitions[board.app].offset, image),
        "vfs": (board.partitions["vfs"].offset, b"vfs"),
        "factory": (0, b"factory"),
    }
    parts = []
    for name, (offset, data) in contents.items():
        (folder / f"{name}.bin").write_bytes(data)
        parts.append(image_folder.part_of(name, folder / f"{name}.bin", offset, len(data)))
    facts = {
        "form": image_folder.FORM,
        "board": board.name,
        "chip": chip,
        "built_for": image_folder.CHIP,
        "flash": board.flash,
        "parts": image_folder.as_json(parts[:-1]),
        "factory": image_folder.as_json(parts[-1:])[0],
    }
    if own:
        facts["own_micropython"] = True
    (folder / "image.json").write_text(json.dumps(facts), "utf-8")
    return folder


def espefuse(chip: str, file: Path, *arguments: str) -> str:
    return tool(
        "espefuse", "--chip", chip, "--virt", "--path-efuse-file", str(file),
        "--do-not-confirm", *arguments,
    )  # fmt: skip


def new_chip(chip: str, file: Path) -> Path:
    """A virtual chip as it is bought."""
    if chip in _REVISIONS:
        espefuse(chip, file, "burn-efuse", *_REVISIONS[chip])
    return file
