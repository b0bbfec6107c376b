"""Building, signing and storing releases on disk.

A release lies in a folder just as in a terminal's slot: `manifest.toon`, the files, and, once
signed, `manifest.sig`. Signing needs the manifest and the release key alone, so it is done on the
machine that holds the key.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from ks_agent import bundle, signing, timetext
from ks_agent.errors import Malformed, PeerError
from ks_simulator.application import Release, ReleaseError, build, folder_files, installed_files
from ks_simulator.keys import CRYPTO

from .console import ToolError

MANIFEST = "manifest.toon"
SIGNATURE = "manifest.sig"

__all__ = ("Release", "build", "built_ms", "read_release", "sign_manifest", "write_release")


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


def compiled_files(files: dict[str, bytes], architecture: str, tables: int) -> dict[str, bytes]:
    """The same for MicroPython alone, as bytecode; with native code for an architecture, not "".

    Raises ToolError.
    """
    from ks_simulator.compiled import compiled

    try:
        return compiled(files, architecture=architecture, tables=tables)
    except ReleaseError as error:
        raise ToolError(str(error)) from None


def built_ms(text: str) -> int:
    """When the release counts as built, in Unix ms: the time given, SOURCE_DATE_EPOCH, or now.

    Raises ToolError.
    """
    if text:
        return parse_time(text)
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return int(time.time()) * 1000
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
    text = signing.manifest_text(CRYPTO, release.manifest)
    for public_text in public_texts:
        try:
            public = signing.decode_public_key(public_text)
            signing.verify_text(CRYPTO, public, text, release.signature)
        except PeerError:
            continue
        return
    raise ToolError("no trusted release key made the signature of the manifest")


def build_release(
    files: dict[str, bytes],
    version: str,
    counter: int,
    release_id: str,
    built: str,
    **others: object,
) -> Release:
    """`application.build` with a person's mistakes as ToolError."""
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
