"""The LittleFS image that a factory writes into the partition `vfs`: same files, same bytes.

Made as MicroPython's VfsLfs2.mkfs and its files would (`littlefs`), on an erased flash.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from littlefs import lfs

from .application import ReleaseError
from .littlefs import LittleFsPort, make_filesystem
from .nor import BLOCK_BYTES, NorFlash


@dataclass(frozen=True)
class VfsImage:
    """A partition's bytes, and how many of them its filesystem takes, in whole blocks."""

    data: bytes
    used_bytes: int

    @property
    def free_bytes(self) -> int:
        return len(self.data) - self.used_bytes


def make(files: Mapping[str, bytes], size: int) -> VfsImage:
    """A filesystem of `size` bytes with these files by path.

    Raises ReleaseError where they do not fit.
    """
    if size <= 0 or size % BLOCK_BYTES:
        raise ReleaseError(f"a filesystem of {size} bytes: it is made of blocks of {BLOCK_BYTES}")
    flash = NorFlash(size // BLOCK_BYTES)
    try:
        make_filesystem(flash)
        port = LittleFsPort(flash)
        for path in sorted(files):
            _write(port, path, files[path])
        used = int(port.call(lfs.fs_size)) * BLOCK_BYTES
        port.unmount()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        total = sum(map(len, files.values()))
        raise ReleaseError(
            f"{len(files)} files of {total} bytes do not fit into a filesystem of {size} bytes"
        ) from None
    return VfsImage(bytes(flash.memory), used)


def read(data: bytes) -> dict[str, bytes]:
    """Every file of an image by its path. Raises OSError for what is no filesystem."""
    port = LittleFsPort(NorFlash(len(data) // BLOCK_BYTES, image=data))
    files = {}
    for path in _paths(port, ""):
        with port.open(path, "rb") as file:
            files[path] = file.read()
    port.unmount()
    return files


def _write(port: LittleFsPort, path: str, data: bytes) -> None:
    folders = path.split("/")[:-1]
    for count in range(1, len(folders) + 1):
        folder = "/".join(folders[:count])
        if not port.is_dir(folder):
            port.mkdir(folder)
    with port.open(path, "wb") as file:
        file.write(data)


def _paths(port: LittleFsPort, folder: str) -> Iterator[str]:
    for name in sorted(port.listdir(folder)):
        path = f"{folder}/{name}" if folder else name
        if port.is_dir(path):
            yield from _paths(port, path)
        else:
            yield path
