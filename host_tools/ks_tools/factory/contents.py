"""What a flash holds: whose it is, and the punches that nobody else has.

A terminal's identity is its key (NVS, namespace `ks`), and factory.toon on `vfs`; its punches are
in the folder `journal` of the partition `data`.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from littlefs import LittleFS, LittleFSError, UserContext

from ks_agent import toon
from ks_agent.errors import KsError
from ks_agent.factory import MAX_BYTES
from ks_agent.factory import PATH as FACTORY_PATH

BLOCK: Final = 4096
_ENTRY: Final = struct.Struct("<2sBBLL16sL")
_MAGIC: Final = b"\xaa\x50"
# An NVS entry: 32 bytes, the name of its key from the 8th; the namespace's own row names it.
_NAMESPACE: Final = b"ks".ljust(16, b"\0")
_KEY: Final = b"key".ljust(16, b"\0")
JOURNAL: Final = "journal"

# What a file or folder that is not there raises.
ABSENT: Final = (OSError, LittleFSError)

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Place:
    """A partition."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Contents:
    """What was found. `d1`: of factory.toon; `journal`: names and bytes of its segments."""

    has_key: bool = False
    d1: str = ""
    journal: tuple[tuple[str, bytes], ...] = ()

    @property
    def is_somebody(self) -> bool:
        return self.has_key or bool(self.d1) or bool(self.journal)

    @property
    def text(self) -> str:
        """For a person."""
        whose = f"the identity of {self.d1}" if self.d1 else "a key" if self.has_key else ""
        punches = f"a journal of {len(self.journal)} segments" if self.journal else ""
        return " and ".join(part for part in (whose, punches) if part)


def read_table(data: bytes) -> dict[str, Place]:
    """The partitions of a table; {} for anything else."""
    found = {}
    for start in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        magic, _, _, offset, size, label, _ = _ENTRY.unpack_from(data, start)
        if magic != _MAGIC:
            break
        name = label.rstrip(b"\0").decode("ascii", "replace")
        found[name] = Place(name, offset, size)
    return found


def look(table: bytes, read: Read) -> Contents:
    """What a flash with this table holds; `read(offset, size)` reads it."""
    places = read_table(table)
    has_key = "nvs" in places and holds_key(read(places["nvs"].offset, places["nvs"].size))
    factory = _files(places.get("vfs"), read, FACTORY_PATH)
    return Contents(has_key, d1_of(factory), _journal(places.get("data"), read))


def read_d1(table: bytes, read: Read) -> str:
    """D1 of a provisioned terminal, else ""."""
    return d1_of(_files(read_table(table).get("vfs"), read, FACTORY_PATH))


def holds_key(nvs: bytes) -> bool:
    """Whether a terminal's key is in that NVS; erased entries count: better one too many."""
    entries = {nvs[start + 8 : start + 24] for start in range(0, len(nvs) - 31, 32)}
    return _NAMESPACE in entries and _KEY in entries


def save_journal(contents: Contents, folder: Path, mac: str) -> Path:
    """Write the segments into a new folder, for nobody else to read."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    target = folder / f"{contents.d1 or mac.replace(':', '')}-{stamp}"
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in contents.journal:
        with open(target / name, "wb", opener=_private) as file:
            file.write(data)
    return target


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def mounted(data: bytes) -> Any:
    """The LittleFS of a partition's bytes; None where there is none."""
    context = UserContext(len(data))
    context.buffer = bytearray(data)
    # Mounted by its constructor, what is none would be made one.
    blocks = len(data) // BLOCK
    fs = LittleFS(context=context, mount=False, block_size=BLOCK, block_count=blocks)
    try:
        fs.mount()
    except LittleFSError:
        return None
    return fs


def _files(place: Place | None, read: Read, path: str) -> bytes:
    """A file of a partition; b"" where there is none."""
    fs = _mount(place, read)
    if fs is None:
        return b""
    try:
        with fs.open(path, "rb") as file:
            return bytes(file.read())
    except ABSENT:
        return b""


def _journal(place: Place | None, read: Read) -> tuple[tuple[str, bytes], ...]:
    fs = _mount(place, read)
    if fs is None:
        return ()
    found = []
    try:
        for name in sorted(fs.listdir(JOURNAL)):
            with fs.open(f"{JOURNAL}/{name}", "rb") as file:
                found.append((str(name), bytes(file.read())))
    except ABSENT:
        pass
    return tuple(found)


def _mount(place: Place | None, read: Read) -> Any:
    """Two blocks are read first: an erased partition takes a while to be read whole."""
    if place is None or b"littlefs" not in read(place.offset, 2 * BLOCK):
        return None
    return mounted(read(place.offset, place.size))


def d1_of(factory: bytes) -> str:
    if not factory:
        return ""
    try:
        return str(toon.decode(factory[:MAX_BYTES], MAX_BYTES).get("D1", "?"))
    except KsError:
        return "?"  # whoever it is, it is somebody
