"""All that a terminal keeps without power: two flashes and the vault, on one tape of operations."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from typing import Any, Final, NamedTuple

from littlefs import LFSFileFlag, lfs

from ks_driver.esp_image import make as make_image
from ks_driver.files import check_path
from ks_driver.host_bootloader import power_on
from ks_driver.host_images import NAMES
from ks_driver.otadata import OTADATA
from ks_simulator.littlefs import LittleFsFile, LittleFsPort, make_filesystem
from ks_simulator.nor import BLOCK_BYTES, Erase, Program
from ks_tools.boards import BOARDS
from tests.power.stock_image import Device, stock_mount

from .flash import SharedFlash

VFS, DATA, IMAGES, VAULT = "vfs", "data", "images", "vault"
_PREFIX: Final = "data/"
# Small images, as their size is of no matter for what is cut.
IMAGE_BLOCKS: Final = 3
_LINE_BYTES: Final = 128
_READ_ONLY: Final = 1
FIRST_IMAGE: Final = ("1.25.0", "6.3", "xtensawin")


@dataclass(frozen=True)
class Geometry:
    """What boards have in common for a sweep: partitions, in flash blocks."""

    vfs: int
    data: int
    has_images: bool
    boards: tuple[str, ...] = ()

    @property
    def board(self) -> str:
        """The first of them."""
        return self.boards[0]


def geometries() -> list[Geometry]:
    """Of every board in boards/, each once, in the order of their first boards' names."""
    found: dict[Geometry, list[str]] = {}
    for path in sorted(BOARDS.glob("*/board.toml")):
        board = tomllib.loads(path.read_text(encoding="utf-8"))
        sizes = {name: part["size"] // BLOCK_BYTES for name, part in board["partitions"].items()}
        geometry = Geometry(sizes[VFS], sizes[DATA], OTADATA in sizes)
        found.setdefault(geometry, []).append(board["name"])
    return [replace(geometry, boards=tuple(names)) for geometry, names in found.items()]


class VaultWrite(NamedTuple):
    """A commit of the vault; None erases."""

    name: str
    value: bytes | None


Entry = tuple[str, object]


class Formatted(AssertionError):
    """What must never happen to a partition with somebody's data."""


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

    flashes: dict[str, SharedFlash]
    vault: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Image:
        flashes = {name: flash.copy() for name, flash in self.flashes.items()}
        return Image(flashes, dict(self.vault))

    def perform(self, entry: Entry) -> None:
        name, operation = entry
        if isinstance(operation, VaultWrite):
            if operation.value is None:
                self.vault.pop(operation.name, None)
            else:
                self.vault[operation.name] = operation.value
        else:
            assert isinstance(operation, Program | Erase)
            self.flashes[name].perform(operation)

    def tear(self, entry: Entry, how: str, random: Random) -> None:
        name, operation = entry
        assert isinstance(operation, Program | Erase)
        flash = self.flashes[name]
        (flash.tear_in_order if how == "in-order" else flash.tear_anywhere)(operation, random)

    def digest(self) -> str:
        """Of everything that is left, to compare two runs by."""
        found = sha256(b"".join(self.flashes[name].image() for name in sorted(self.flashes)))
        for name in sorted(self.vault):
            found.update(name.encode() + b"=" + self.vault[name] + b";")
        return found.hexdigest()


def factory_new(geometry: Geometry) -> Image:
    """Both partitions with empty file systems, nothing in the vault."""
    flashes = {VFS: SharedFlash(geometry.vfs), DATA: SharedFlash(geometry.data)}
    for flash in flashes.values():
        make_filesystem(flash)
    if geometry.has_images:
        flashes[IMAGES] = SharedFlash(2 * IMAGE_BLOCKS + 2)
        made = make_image(*FIRST_IMAGE, b"first" * 1000)
        for block in range(0, len(made), BLOCK_BYTES):
            flashes[IMAGES].program(block // BLOCK_BYTES, 0, made[block : block + BLOCK_BYTES])
    return Image(flashes)


class Partitions:
    """What ks_driver.otadata takes for a flash with two images and the bootloader's entries."""

    def __init__(self, flash: SharedFlash) -> None:
        self._flash = flash

    def size(self, name: str) -> int:
        return (2 if name == OTADATA else IMAGE_BLOCKS) * BLOCK_BYTES

    def _first(self, name: str) -> int:
        return 2 * IMAGE_BLOCKS if name == OTADATA else NAMES.index(name) * IMAGE_BLOCKS

    def read(self, name: str, offset: int, count: int) -> bytes:
        data = b""
        while len(data) < count:
            block, start = divmod(offset + len(data), BLOCK_BYTES)
            size = min(count - len(data), BLOCK_BYTES - start)
            data += self._flash.read(self._first(name) + block, start, size)
        return data

    def erase(self, name: str, block: int) -> None:
        self._flash.erase(self._first(name) + block)

    def program(self, name: str, offset: int, data: bytes) -> None:
        block, start = divmod(offset, BLOCK_BYTES)
        self._flash.program(self._first(name) + block, start, data)


class Hardware:
    """What the terminal in sweep_terminal runs on; every operation goes onto `tape`."""

    dead = False  # cuts are made from the tape

    def __init__(self, image: Image) -> None:
        self.image = image
        self.tape: list[Entry] = []
        for name, flash in image.flashes.items():
            flash.record_on(self.tape, name)
        self.vault = Vault(image.vault, self.tape)
        self.partition = Device(image.flashes[DATA])
        self.formatted = False

    def mount(self) -> TwoFs:
        """Both partitions, as the factory mounts them."""
        self.frozen()
        self.attach_data()
        return self.fs

    def frozen(self) -> None:
        """The stock image's start-up: `vfs` may never be anything but mounted."""
        self._vfs = stock_mount(self.image.flashes[VFS], QuickPort)

    def attach_data(self) -> None:
        """Raises OSError where there is no file system."""
        self.fs = TwoFs(self._vfs, QuickPort(self.image.flashes[DATA]))

    def make_data(self) -> None:
        """Raises Formatted where there is a file system."""
        flash = self.image.flashes[DATA]
        try:
            QuickPort(flash.copy()).unmount()
        except OSError:
            self.formatted = True
            make_filesystem(flash)
        else:
            raise Formatted("a partition that can be mounted is formatted")

    def blank_data(self) -> None:
        """As it is in a new chip."""
        self.image.flashes[DATA].blank()

    def bootloader(self) -> Any:
        """The image that starts now: the port `images`, or None on boards with one image."""
        if IMAGES not in self.image.flashes:
            return None
        return power_on(Partitions(self.image.flashes[IMAGES]))


class QuickPort(LittleFsPort):
    """The same with fewer steps for what is done most: it changes nothing that is written."""

    def __init__(self, flash: SharedFlash) -> None:
        super().__init__(flash)
        blocks = flash.blocks

        def read(_: object, block: int, offset: int, size: int) -> bytes:
            return blocks[block][offset : offset + size]

        self._context.read = read  # type: ignore[method-assign]

    def open(self, path: str, mode: str) -> LittleFsFile:
        if mode != "rb":
            return super().open(path, mode)
        handle = self.call(lfs.file_open, check_path(path), LFSFileFlag(_READ_ONLY))
        file = QuickReader(self, handle, mode)
        self._open.add(file)
        return file


class QuickReader(LittleFsFile):
    def readline(self) -> bytes:
        """In pieces, and back to where the next line begins."""
        start = self.tell()
        line = b""
        while piece := self.read(_LINE_BYTES):
            line += piece
            end = line.find(b"\n") + 1
            if end:
                self.seek(start + end)
                return line[:end]
        return line


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
