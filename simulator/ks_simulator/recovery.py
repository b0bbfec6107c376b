"""The folder `recovery` that the factory writes: a small application that installs another one.

It has what its entry imports and no more, and is bytecode or native code where the release is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath

from . import syntax
from .application import ENTRY, RECOVERY, Release, firmware_folder, installed_files
from .compiled import compiled
from .modules import name_of, source_of

FOLDER = "recovery"
HOST_ENTRY = "recovery_main.py"
CHIP_ENTRY = "recovery_esp32.py"
# Byte 2 of a .mpy file names the processor in its upper six bits, as MicroPython's
# py/persistentcode.h numbers them.
PROCESSORS = {1: "x86", 2: "x64", 10: "xtensawin", 11: "rv32imc"}
SOURCES = "sources"
# Imported when a full image is to be installed, which recovery never does.
LEFT_OUT = ("ks_agent/image_update.py",)


def recovery_files(release: Release) -> dict[str, bytes]:
    """By path in the folder, of the kind of this release. Raises ReleaseError."""
    return dict(_built(kind_of(release.files)))


def kind_of(files: Mapping[str, bytes]) -> str:
    """SOURCES, or the architecture of an application's native code, "" for bytecode alone."""
    modules = [path for path in files if path != ENTRY]
    if not modules or any(path.endswith(".py") for path in modules):
        return SOURCES
    found = {files[path][2] >> 2 for path in modules if path.endswith(".mpy")}
    return next((PROCESSORS[number] for number in sorted(found) if number in PROCESSORS), "")


@lru_cache(maxsize=8)
def _built(kind: str) -> Mapping[str, bytes]:
    folder = firmware_folder()
    own = {ENTRY: folder / HOST_ENTRY, RECOVERY: folder / RECOVERY}
    read = {path: place.read_bytes() for path, place in own.items()}
    files = needed({**installed_files(), **read}, ENTRY)
    return files if kind == SOURCES else compiled(files, architecture=kind)


def needed(
    files: Mapping[str, bytes], entry: str, left_out: Collection[str] = LEFT_OUT
) -> dict[str, bytes]:
    """Of these files, the entry and what it imports, at once or later."""
    paths = {name_of(path): path for path in files if path.endswith(".py")}
    found: set[str] = set()
    left = [entry]
    while left:
        path = left.pop()
        if path in found or path in left_out:
            continue
        found.add(path)
        for name in _imported(path, files[path]):
            for end in range(1, len(name) + 1):  # a package comes before what is in it
                if name[:end] in paths:
                    left.append(paths[name[:end]])
    return {path: files[path] for path in sorted(found)}


def _imported(path: str, source: bytes) -> Iterator[tuple[str, ...]]:
    for node in syntax.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = source_of(path, node)
            for alias in node.names:
                yield (*module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))


def folder_files(release: Release) -> dict[str, bytes]:
    """The same by path from the terminal's root."""
    return {
        str(PurePosixPath(FOLDER, path)): data for path, data in recovery_files(release).items()
    }
