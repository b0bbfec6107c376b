"""Whether an image would still start once a level is burned, and what has to be done with it.

The image is what `ks image build` has made; see image_folder.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .console import ToolError
from .image_folder import CHIP, ImageFolder
from .security_fuses import run_tool
from .security_levels import (
    ESP32,
    FLASH_ENCRYPTION,
    LEVELS,
    NVS_ENCRYPTION,
    SECURE_BOOT,
)
from .security_signature import signature_of

OWN: Final = "own_micropython"  # in image.json
_ENTRY: Final = struct.Struct("<2sBBLL16sL")
_APP, _DATA = 0, 1
_OTA_DATA, _NVS, _NVS_KEYS = 0, 2, 4
_ENCRYPTED: Final = 1
_STOCK: Final = (
    "{folder} holds a stock MicroPython: it was built without secure boot, flash encryption and "
    "NVS encryption, so that it checks no signature, reads no encrypted flash, and would not start "
    "again. Nothing is burned. Build an image of your own (docs/security.md), and tell so with: "
    "ks image build --own-micropython"
)


@dataclass(frozen=True)
class Partition:
    """`is_encrypted`: whether flash encryption covers it (ESP-IDF, "Encrypted Partition Flag")."""

    name: str
    offset: int
    subtype: tuple[int, int]
    is_encrypted: bool


def check_image(level: str, folder: ImageFolder, hmac_block: int | None) -> None:
    """Raises ToolError, with the reason, where the level would leave a unit that never starts."""
    if level not in LEVELS:
        raise ToolError(f"no level {level!r}: {', '.join(LEVELS)}")
    if folder.facts.get(OWN) is not True:
        raise ToolError(_STOCK.format(folder=folder.folder))
    if folder.built_for != CHIP:
        raise ToolError(f"{folder.folder} is for the software chip, which has no eFuses to burn")
    if hmac_block is not None and (level != NVS_ENCRYPTION or folder.chip == ESP32):
        raise ToolError("--hmac-block is for nvs-encryption on an ESP32-S3 or -C3")
    if level == SECURE_BOOT:
        signed_by(folder)
    has_keys = any(part.subtype == (_DATA, _NVS_KEYS) for part in partitions(folder))
    if level == NVS_ENCRYPTION and hmac_block is None and not has_keys:
        raise ToolError(
            f"the partition table of {folder.board} has no partition of the subtype nvs_keys, "
            "in which the keys of NVS would lie"
        )


def signed_by(folder: ImageFolder) -> bytes:
    """The digest of the key that bootloader and MicroPython are signed with."""
    digests = set()
    for name in ("bootloader", "micropython"):
        block = signature_of(folder.path(folder.part(name)).read_bytes())
        if block is None:
            raise ToolError(
                f"the {name} of {folder.folder} carries no signature block of secure boot v2, or "
                "another image's; sign it first: espsecure sign-data --version 2"
            )
        digests.add(block.key_digest)
    if len(digests) != 1:
        raise ToolError("the bootloader and MicroPython are signed with different keys")
    return digests.pop()


def verify_signatures(folder: ImageFolder, public_key: Path) -> bytes:
    """As signed_by, the signatures checked with the key that is meant, by espsecure."""
    if not public_key.is_file():
        raise ToolError(f"{public_key}: there is no such key file")
    digest = signed_by(folder)
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "digest.bin"
        run_tool(
            "espsecure",
            ["digest-sbv2-public-key", "--keyfile", str(public_key), "--output", str(file)],
        )
        if file.read_bytes() != digest:
            raise ToolError(f"the image is signed with another key than {public_key}")
    for name in ("bootloader", "micropython"):
        path = folder.path(folder.part(name))
        run_tool(
            "espsecure",
            ["verify-signature", "--version", "2", "--keyfile", str(public_key), str(path)],
        )
    return digest


def partitions(folder: ImageFolder) -> list[Partition]:
    return list(_partitions(folder.path(folder.part("partition-table")).read_bytes()))


def _partitions(table: bytes) -> Iterator[Partition]:
    for start in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, subtype, offset, _, name, flags = _ENTRY.unpack_from(table, start)
        if magic != b"\xaa\x50":
            return
        always = kind == _APP or (kind == _DATA and subtype in (_OTA_DATA, _NVS_KEYS))
        marked = bool(flags & _ENCRYPTED) and (kind, subtype) != (_DATA, _NVS)
        label = name.rstrip(b"\0").decode("ascii", "replace")
        yield Partition(label, offset, (kind, subtype), always or marked)


def notes(level: str, folder: ImageFolder, key: Path) -> list[str]:
    """What a person does besides; `key`: that of flash encryption."""
    if level == FLASH_ENCRYPTION:
        return _flash_notes(folder, key)
    if level == NVS_ENCRYPTION:
        return [
            "The image has to be built with CONFIG_NVS_ENCRYPTION and the same scheme.",
            "A terminal's key is made after this, not before: NVS of now is not readable then.",
        ]
    if level == SECURE_BOOT:
        return [
            "The signing key stays where images are signed; here its public half is enough.",
            "Signed are the bootloader and MicroPython, not vfs: see docs/security.md.",
        ]
    return []


def _flash_notes(folder: ImageFolder, key: Path) -> list[str]:
    found = partitions(folder)
    covered = {"bootloader", "partition-table", "micropython"}
    covered |= {part.name for part in found if part.is_encrypted}
    lines = ["Before the unit starts again, write these encrypted, the other files as they are:"]
    scheme = "" if folder.chip == ESP32 else "--aes-xts "
    for part in folder.parts:
        if part.name in covered:
            file = folder.path(part)
            lines.append(
                f"  espsecure encrypt-flash-data {scheme}--keyfile {key} "
                f"--address {hex(part.offset)} --output {file.with_suffix('.encrypted')} {file}"
            )
    lines.append(f"Then delete {key}: with it, anybody can read and write this unit's flash.")
    plain = [part.name for part in found if not part.is_encrypted]
    lines.append(f"NOT encrypted, since not marked `encrypted`: {', '.join(plain)}.")
    return lines
