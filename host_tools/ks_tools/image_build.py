"""One board's image: everything that its units have in common when they leave the factory.

The same input gives the same bytes. esptool, which is asked to put the parts together, is a program
of its own.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ks_simulator import chip_application, vfs_image
from ks_simulator.application import Release, ReleaseError
from ks_simulator.keys import encode_trust

from . import image_folder
from .board_file import DEVICE_FILE, Board, device_record
from .boards_chips import CHIPS
from .console import ToolError
from .image_folder import FACTORY, FACTS, Part, part_of
from .image_micropython import MicroPythonImage
from .image_partitions import TABLE_OFFSET, table
from .security_signature import signature_of
from .workspace import read_trust

# Lets a factory write a private key that it has made itself (option B); see docs/factory.md.
ALLOW_INJECTION: Final = "allow_injection"
ESPTOOL: Final = (sys.executable, "-m", "esptool")
MEGABYTE: Final = 1 << 20
# What is left beside two slots is for the file that is being fetched.
SPARE_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Order:
    """What is to be built. `architecture`: of the native code; the board's, for a chip.

    `own_micropython`: built for the security levels, which a stock image is not.
    """

    board: Board
    micropython: MicroPythonImage
    release: Release
    architecture: str
    trust: Path | None = None
    allow_injection: bool = False
    own_micropython: bool = False

    @property
    def built_for(self) -> str:
        own = self.architecture == self.board.arch
        return image_folder.CHIP if own else image_folder.SOFTWARE_CHIP

    @property
    def spare_bytes(self) -> int:
        """Native code for computers is larger: there, two slots have to fit, and no more."""
        return SPARE_BYTES if self.built_for == image_folder.CHIP else 0


def build_image(order: Order, output: Path) -> dict[str, Any]:
    """Fill the folder, which is new, empty or an earlier image; what image.json says.

    Raises ToolError, with the folder as it was.
    """
    if output.exists() and (not output.is_dir() or _is_of_others(output)):
        raise ToolError(f"{output} is there already, and is no image folder")
    _check_application(order)
    vfs = _vfs(order)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as made:
        folder = Path(made)
        parts = _write_parts(order, vfs, folder)
        facts = _facts(order, vfs, parts, folder)
        text = json.dumps(facts, indent=2) + "\n"
        (folder / FACTS).write_text(text, encoding="utf-8")
        output.mkdir(exist_ok=True)
        (output / FACTS).unlink(missing_ok=True)  # no folder says what is not in it
        for path in sorted(folder.iterdir(), key=lambda path: path.name == FACTS):
            path.replace(output / path.name)
    return facts


def vfs_content(order: Order) -> dict[str, bytes]:
    """Every file of `vfs` by its path. Raises ReleaseError."""
    files = chip_application.vfs_files(order.release, order.architecture)
    files[DEVICE_FILE] = device_record(order.board)
    if order.trust is not None:
        files["trust.toon"] = encode_trust(read_trust(order.trust))
    if order.allow_injection:
        files[ALLOW_INJECTION] = b"SEED may be written over the serial line.\n"
    return files


def _is_of_others(output: Path) -> bool:
    names = {path.name for path in output.iterdir()}
    return bool(names) and FACTS not in names


def _check_application(order: Order) -> None:
    room = order.board.partitions[order.board.app].size
    size = len(order.micropython.application)
    if size > room:
        raise ToolError(
            f"{order.micropython.path}: MicroPython takes {size} bytes, and the partition "
            f"{order.board.app} of {order.board.name} has {room}"
        )


def _vfs(order: Order) -> vfs_image.VfsImage:
    size = order.board.partitions["vfs"].size
    try:
        files = vfs_content(order)
        image = vfs_image.make(files, size)
        second = {f"slot_b/{path}": data for path, data in order.release.slot_files().items()}
        if vfs_image.make({**files, **second}, size).free_bytes < order.spare_bytes:
            raise ReleaseError("there is no room for a second slot, which updates need")
    except ReleaseError as error:
        raise ToolError(f"vfs of {order.board.name}: {error}") from None
    return image


def _write_parts(order: Order, vfs: vfs_image.VfsImage, folder: Path) -> list[Part]:
    board, chip = order.board, CHIPS[order.board.chip]
    app, volume = board.partitions[board.app], board.partitions["vfs"]
    contents = (
        ("bootloader", chip.bootloader_offset, TABLE_OFFSET - chip.bootloader_offset,
         order.micropython.bootloader),
        ("partition-table", TABLE_OFFSET, 0x1000, table(board)),
        ("micropython", app.offset, app.size, order.micropython.application),
        ("vfs", volume.offset, volume.size, vfs.data),
    )  # fmt: skip
    for name, _, _, data in contents:
        (folder / f"{name}.bin").write_bytes(data)
    places = [(offset, folder / f"{name}.bin") for name, offset, _, _ in contents]
    # A signed bootloader stays as it is; esptool writes the flash's size into others' headers.
    is_signed = signature_of(order.micropython.bootloader) is not None
    flash_size = "keep" if is_signed else f"{board.flash // MEGABYTE}MB"
    _merge(board, flash_size, places, folder / FACTORY)
    start = chip.bootloader_offset
    merged = (folder / FACTORY).read_bytes()
    bootloader = merged[start : start + len(order.micropython.bootloader)]
    (folder / "bootloader.bin").write_bytes(bootloader)
    return [
        part_of(name, folder / f"{name}.bin", offset, room) for name, offset, room, _ in contents
    ]


def _merge(board: Board, flash_size: str, places: list[tuple[int, Path]], target: Path) -> None:
    command = [
        *ESPTOOL, "--chip", board.chip, "merge-bin", "--output", str(target),
        "--flash-mode", "keep", "--flash-freq", "keep",
        "--flash-size", flash_size,
    ]  # fmt: skip
    for offset, path in places:
        command += [hex(offset), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        if "No module named esptool" in said[-1]:
            raise ToolError("esptool is missing; get it with: pip install 'ks-terminal[factory]'")
        raise ToolError(f"esptool merge-bin failed: {said[-1]}")


def _facts(
    order: Order, vfs: vfs_image.VfsImage, parts: list[Part], folder: Path
) -> dict[str, Any]:
    release, image = order.release, order.micropython
    factory = part_of("factory", folder / FACTORY, 0, order.board.flash)
    return {
        "form": image_folder.FORM,
        "board": order.board.name,
        "chip": order.board.chip,
        "built_for": order.built_for,
        "arch": order.architecture,
        "flash": order.board.flash,
        "release": {
            "fw1": release.token("FW1"),
            "fw2": release.token("FW2"),
            "manifest": release.manifest_hash,
        },
        "micropython": {
            "file": image.path.name,
            "version": image.version,
            "name": image.name,
            "sha256": image.sha256,
            "tested": image.version in order.board.micropython.versions,
        },
        "trust_sha256": _trust_hash(order.trust),
        "own_micropython": order.own_micropython,
        "allow_injection": order.allow_injection,
        "vfs": {"used": vfs.used_bytes, "free": vfs.free_bytes, "of": _sizes(order)},
        "parts": image_folder.as_json(parts),
        "factory": image_folder.as_json([factory])[0],
        "erased": {
            name: {"offset": part.offset, "size": part.size}
            for name, part in order.board.partitions.items()
            if name not in ("vfs", order.board.app)
        },
    }


def _trust_hash(trust: Path | None) -> str:
    return "" if trust is None else hashlib.sha256(encode_trust(read_trust(trust))).hexdigest()


def _sizes(order: Order) -> dict[str, int]:
    """Bytes of the files by folder; those of the root are stage 0 and records."""
    sizes: dict[str, int] = {}
    for path, data in vfs_content(order).items():
        top = path.split("/", maxsplit=1)[0] if "/" in path else "stage 0 and records"
        sizes[top] = sizes.get(top, 0) + len(data)
    return sizes
