"""A terminal's flash: two LittleFS volumes, `vfs` and `data`, behind one `fs` port."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any, Final

from .littlefs import LittleFsPort, make_filesystem
from .nor import BLOCK_BYTES, NorFlash

DATA: Final = "data"


class Volumes:
    """The `fs` port. What lies below `data/` is on a flash of its own, as boards divide theirs."""

    def __init__(self, vfs: NorFlash, data: NorFlash) -> None:
        self.flashes = {"vfs": vfs, DATA: data}
        self._vfs = LittleFsPort(vfs)
        self._data = LittleFsPort(data)

    @classmethod
    def made(cls, vfs_bytes: int, data_bytes: int) -> Volumes:
        """On two new flashes, with empty file systems."""
        flashes = NorFlash(vfs_bytes // BLOCK_BYTES), NorFlash(data_bytes // BLOCK_BYTES)
        for flash in flashes:
            make_filesystem(flash)
        return cls(*flashes)

    def unmount(self) -> None:
        """As a reset does: nothing is written."""
        self._vfs.unmount()
        self._data.unmount()

    def _at(self, path: str) -> tuple[LittleFsPort, str]:
        first, slash, rest = path.partition("/")
        if first != DATA:
            return self._vfs, path
        return self._data, rest if slash else ""

    def open(self, path: str, mode: str) -> Any:
        volume, inner = self._at(path)
        return volume.open(inner, mode)

    def sync(self, file: Any) -> None:
        file.flush()

    def rename(self, old: str, new: str) -> None:
        volume, before = self._at(old)
        other, after = self._at(new)
        if volume is not other:
            raise OSError(errno.EXDEV, "from one volume to another")
        volume.rename(before, after)

    def remove(self, path: str) -> None:
        volume, inner = self._at(path)
        volume.remove(inner)

    def rmdir(self, path: str) -> None:
        self.remove(path)

    def listdir(self, path: str) -> Iterable[str]:
        volume, inner = self._at(path)
        return iter(volume.listdir(inner))

    def mkdir(self, path: str) -> None:
        volume, inner = self._at(path)
        volume.mkdir(inner)

    def stat(self, path: str) -> int:
        """The size in bytes."""
        volume, inner = self._at(path)
        return volume.stat(inner)

    def is_dir(self, path: str) -> bool:
        volume, inner = self._at(path)
        return not inner or volume.is_dir(inner)

    def room(self) -> tuple[int, int]:
        """Bytes in all and free of the volume that holds the data."""
        return self._data.room()
