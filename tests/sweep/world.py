"""All that a terminal keeps without power: two flashes and the vault, on one tape of operations."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, Final, NamedTuple

from ks_simulator.littlefs import LittleFsPort, make_filesystem
from ks_simulator.nor import BLOCK_BYTES, Erase, Program
from ks_tools.boards import BOARDS

from .flash import SharedFlash

VFS, DATA, VAULT = "vfs", "data", "vault"
_PREFIX: Final = "data/"


@dataclass(frozen=True)
class Geometry:
    """A board's partitions, in flash blocks."""

    board: str
    vfs: int
    data: int


def geometries() -> list[Geometry]:
    """Every board in boards/, by name."""
    found = []
    for path in sorted(BOARDS.glob("*/board.toml")):
        board = tomllib.loads(path.read_text(encoding="utf-8"))
        sizes = {name: part["size"] // BLOCK_BYTES for name, part in board["partitions"].items()}
        found.append(Geometry(board["name"], sizes[VFS], sizes[DATA]))
    return found


class VaultWrite(NamedTuple):
    """A commit of the vault; None erases."""

    name: str
    value: bytes | None


Entry = tuple[str, object]


class StartupFormats(AssertionError):
    """What a frozen start-up would do to a flash that it takes for a new one."""


class Vault:
    """The `vault` port: each commit is one operation, done or not done."""

    def __init__(self, values: dict[str, bytes], tape: list[Entry]) -> None:
        self.values = values
        self._tape = tape

    def get(self, name: str) -> bytes | None:
        return self.values.get(name)

    def set(self, name: str, value: bytes) -> None:
        self._tape.append((VAULT, VaultWrite(name, bytes(value))))
        self.values[name] = bytes(value)

    def erase(self, name: str) -> None:
        if name in self.values:
            self._tape.append((VAULT, VaultWrite(name, None)))
            del self.values[name]


@dataclass
class Image:
    """What is left when the power is gone."""

    vfs: SharedFlash
    data: SharedFlash
    vault: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Image:
        return Image(self.vfs.copy(), self.data.copy(), dict(self.vault))

    def flash(self, name: str) -> SharedFlash:
        return self.vfs if name == VFS else self.data

    def perform(self, entry: Entry) -> None:
        name, operation = entry
        if isinstance(operation, VaultWrite):
            if operation.value is None:
                self.vault.pop(operation.name, None)
            else:
                self.vault[operation.name] = operation.value
        else:
            assert isinstance(operation, Program | Erase)
            self.flash(name).perform(operation)

    def tear(self, entry: Entry, how: str, random: Random) -> None:
        name, operation = entry
        assert isinstance(operation, Program | Erase)
        flash = self.flash(name)
        (flash.tear_in_order if how == "in-order" else flash.tear_anywhere)(operation, random)

    def digest(self) -> str:
        """Of everything that is left, to compare two runs by."""
        found = sha256(self.vfs.image() + self.data.image())
        for name in sorted(self.vault):
            found.update(name.encode() + b"=" + self.vault[name] + b";")
        return found.hexdigest()


def factory_new(geometry: Geometry) -> Image:
    """Both partitions with empty file systems, nothing in the vault."""
    image = Image(SharedFlash(geometry.vfs), SharedFlash(geometry.data))
    make_filesystem(image.vfs)
    make_filesystem(image.data)
    return image


class Hardware:
    """What the terminal in sweep_terminal runs on; every operation goes onto `tape`."""

    dead = False  # cuts are made from the tape

    def __init__(self, image: Image) -> None:
        self.image = image
        self.tape: list[Entry] = []
        image.vfs.record_on(self.tape, VFS)
        image.data.record_on(self.tape, DATA)
        self.vault = Vault(image.vault, self.tape)

    def mount(self) -> TwoFs:
        """The stock start-up mounts vfs, boot.py mounts data: nothing may make them format it."""
        return TwoFs(_mounted(self.image.vfs, VFS), _mounted(self.image.data, DATA))


def _mounted(flash: SharedFlash, name: str) -> LittleFsPort:
    try:
        return LittleFsPort(flash)
    except OSError as error:
        erased = not flash.blocks[0].strip(b"\xff")
        deed = "would format it" if erased else "would never start"
        raise StartupFormats(f"{name} cannot be mounted, and the start-up {deed}") from error


class TwoFs:
    """One `fs` port over two file systems: "data" is the mount point of the second."""

    def __init__(self, vfs: LittleFsPort, data: LittleFsPort) -> None:
        self.vfs = vfs
        self.data = data

    def _at(self, path: str) -> tuple[LittleFsPort, str]:
        if path.startswith(_PREFIX):
            return self.data, path[len(_PREFIX) :]
        if path == "data":
            raise OSError(16, "a mount point")
        return self.vfs, path

    def open(self, path: str, mode: str) -> Any:
        fs, inner = self._at(path)
        return fs.open(inner, mode)

    def sync(self, file: Any) -> None:
        file.flush()

    def rename(self, old: str, new: str) -> None:
        fs, inner = self._at(old)
        other, target = self._at(new)
        if fs is not other:
            raise OSError(18, "across two file systems")
        fs.rename(inner, target)

    def remove(self, path: str) -> None:
        fs, inner = self._at(path)
        fs.remove(inner)

    def rmdir(self, path: str) -> None:
        fs, inner = self._at(path)
        fs.rmdir(inner)

    def listdir(self, path: str) -> Iterator[str]:
        if path == "data":
            return iter(self.data.listdir(""))
        fs, inner = self._at(path)
        return iter(fs.listdir(inner))

    def mkdir(self, path: str) -> None:
        fs, inner = self._at(path)
        fs.mkdir(inner)

    def stat(self, path: str) -> int:
        fs, inner = self._at(path)
        return fs.stat(inner)

    def is_dir(self, path: str) -> bool:
        if path == "data":
            return True
        fs, inner = self._at(path)
        return fs.is_dir(inner)

    def room(self) -> tuple[int, int]:
        return self.data.room()
