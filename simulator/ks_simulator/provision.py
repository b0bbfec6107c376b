"""What the factory puts on a terminal: whom to trust, who it is, the application."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ks_agent import toon
from ks_agent.store import as_text

from . import recovery
from .application import Release, ReleaseError, firmware_folder
from .compiled import compiled
from .keys import TrustedKey, encode_trust, public_text

DEFAULT_TYPE = "ESP32_TERMINAL"
FIRST_SLOT = "slot_a"
FACTORY = "factory.toon"
# What lies beside the slots: what is started, and what it imports.
STAGE_0 = ("boot.py", "stage0.py")


class FileSystem(Protocol):
    """The part of the `fs` port that provisioning needs."""

    def open(self, path: str, mode: str) -> Any: ...
    def mkdir(self, path: str) -> None: ...
    def is_dir(self, path: str) -> bool: ...


def factory_message(
    d1: str,
    server: str,
    *,
    d2: str = DEFAULT_TYPE,
    otrt: str = "",
    maker: str = "KS",
    model: str = "simulator",
) -> dict[str, str]:
    """The tokens of `factory.toon`; `server` is the base URL."""
    message = {"D1": d1, "D2": d2, "D4": maker, "D5": model, "SERVER": server}
    if otrt:
        message["OTRT"] = otrt
    return message


def factory_files(
    d1: str, server: str, trust: Sequence[TrustedKey], release: Release, **factory: str
) -> dict[str, bytes]:
    """Every file of a new terminal by its path. Raises ReleaseError while unsigned."""
    if not release.signature:
        raise ReleaseError("the release is not signed")
    message = factory_message(d1, server, **factory)
    files = {
        "trust.toon": encode_trust(trust),
        FACTORY: bytes(toon.encode(message, as_text)) + b"\n",
    }
    for path, data in release.slot_files().items():
        files[f"{FIRST_SLOT}/{path}"] = data
    return files


def provision(
    fs: FileSystem,
    d1: str,
    server: str,
    trust: Sequence[TrustedKey],
    release: Release,
    **factory: str,
) -> None:
    """Write a new terminal's files through the `fs` port; `factory` as for `factory_message`."""
    for path, data in factory_files(d1, server, trust, release, **factory).items():
        _make_folders(fs, path)
        with fs.open(path, "wb") as file:
            file.write(data)


def stage_0_files(release: Release) -> dict[str, bytes]:
    """boot.py and stage 0, compiled where the application is."""
    return dict(_stage_0(recovery.kind_of(release.files) == recovery.SOURCES))


@lru_cache(maxsize=2)
def _stage_0(as_sources: bool) -> dict[str, bytes]:
    sources = {name: (firmware_folder() / name).read_bytes() for name in STAGE_0}
    return sources if as_sources else compiled(sources, entry=STAGE_0[0])


def provision_folder(
    folder: Path,
    d1: str,
    server: str,
    trust: Sequence[TrustedKey],
    release: Release,
    **factory: str,
) -> None:
    """The same into a folder, with stage 0 and recovery: `python3 DIR/boot.py DIR` runs it."""
    files = factory_files(d1, server, trust, release, **factory)
    files.update(stage_0_files(release))
    files.update(recovery.folder_files(release))
    for path in sorted(files, key=FACTORY.__eq__):  # it comes last: with it, all the rest is there
        data = files[path]
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def device_seed(seed: int, d1: str) -> bytes:
    """A device key that follows from a number, for runs that can be repeated. Never for real."""
    return hashlib.sha256(f"KS-SIMULATOR|{seed}|{d1}".encode()).digest()


def device_public_text(seed: bytes) -> str:
    """D3 of a device key."""
    return public_text(seed)


def _make_folders(fs: FileSystem, path: str) -> None:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        folder = "/".join(parts[:count])
        if not fs.is_dir(folder):
            fs.mkdir(folder)
