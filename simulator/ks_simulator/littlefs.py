"""The `fs` port on the real LittleFS, on a simulated flash, as MicroPython's VfsLfs2 sets it up.

The parameters are those of MicroPython's extmod/vfs_lfs.c and extmod/vfs_lfsx.c. Mounted without
modification times (VfsLfs2's `mtime=False`), which nothing here needs and which double what a
change of metadata programs.

The library cannot be interrupted: what a power cut leaves is made from the flash's record.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

from littlefs import LFSConfig, LFSFileFlag, LittleFSError, lfs

from ks_driver.files import check_path

from .nor import NorFlash, NotErased

READ_BYTES: Final = 32
PROGRAM_BYTES: Final = 32
LOOKAHEAD_BYTES: Final = 32
BLOCK_CYCLES: Final = 100

# As MicroPython opens files: "ab" makes one that is not there.
_READ, _WRITE, _READ_WRITE = 1, 2, 3
_CREATE, _TRUNCATE, _APPEND = 0x100, 0x400, 0x800
_FLAGS: Final = {
    "rb": _READ,
    "wb": _WRITE | _CREATE | _TRUNCATE,
    "ab": _WRITE | _CREATE | _APPEND,
    "r+b": _READ_WRITE,
}
_EBADF: Final = 9
_EINVAL: Final = 22
_ENOSPC: Final = 28


class _Context:
    """What LittleFS calls. It cannot take exceptions: they wait here until it is through."""

    def __init__(self, flash: NorFlash) -> None:
        self.flash = flash
        self.wrong: Exception | None = None

    def read(self, _: LFSConfig, block: int, offset: int, size: int) -> bytes:
        return self.flash.read(block, offset, size)

    def prog(self, _: LFSConfig, block: int, offset: int, data: bytes) -> int:
        try:
            self.flash.program(block, offset, data)
        except NotErased as error:
            self.wrong = self.wrong or error
        return 0

    def erase(self, _: LFSConfig, block: int) -> int:
        self.flash.erase(block)
        return 0

    def sync(self, _: LFSConfig) -> int:
        return 0


def _config(context: _Context) -> LFSConfig:
    flash = context.flash
    return LFSConfig(
        context=context,
        block_size=flash.block_size,
        block_count=flash.block_count,
        read_size=READ_BYTES,
        prog_size=PROGRAM_BYTES,
        cache_size=min(flash.block_size, 4 * max(READ_BYTES, PROGRAM_BYTES)),
        lookahead_size=LOOKAHEAD_BYTES,
        block_cycles=BLOCK_CYCLES,
    )


def make_filesystem(flash: NorFlash) -> None:
    """An empty filesystem, as VfsLfs2.mkfs makes it. Raises OSError."""
    context = _Context(flash)
    _call(context, lfs.format, lfs.LFSFilesystem(), _config(context))


def _call(context: _Context, function: Any, *arguments: Any) -> Any:
    """Raises OSError where LittleFS fails, NotErased where it asks of the chip what none can do."""
    try:
        result = function(*arguments)
    except LittleFSError as error:
        raise OSError(-error.code, os.strerror(-error.code)) from None
    finally:
        if context.wrong is not None:
            wrong, context.wrong = context.wrong, None
            raise wrong
    return result


class LittleFsPort:
    """The `fs` port. Raises OSError when there is no filesystem on the flash.

    As on the chip, `remove` and `rmdir` each remove files and empty folders.
    """

    def __init__(self, flash: NorFlash) -> None:
        self.flash = flash
        self._context = _Context(flash)
        self._config = _config(self._context)
        self._lfs = lfs.LFSFilesystem()
        self._open: set[LittleFsFile] = set()
        self._folders: set[str] | None = None
        _call(self._context, lfs.mount, self._lfs, self._config)

    def call(self, function: Any, *arguments: Any) -> Any:
        """A function of the library that takes a mounted filesystem first. Raises OSError."""
        return _call(self._context, function, self._lfs, *arguments)

    def unmount(self) -> None:
        """Give the memory back; nothing is written. What is open is forgotten, as in a reset."""
        self.call(lfs.unmount)

    def open(self, path: str, mode: str) -> LittleFsFile:
        if mode not in _FLAGS:
            raise OSError(_EINVAL, "no such mode")
        handle = self.call(lfs.file_open, check_path(path), LFSFileFlag(_FLAGS[mode]))
        file = LittleFsFile(self, handle, mode)
        self._open.add(file)
        return file

    def forget(self, file: LittleFsFile) -> None:
        """Of a file that is closed. LittleFS holds pointers to the others."""
        self._open.discard(file)

    def sync(self, file: LittleFsFile) -> None:
        file.flush()

    def rename(self, old: str, new: str) -> None:
        self.call(lfs.rename, check_path(old), check_path(new))
        if self._folders is not None and old in self._folders:
            self._folders = None

    def remove(self, path: str) -> None:
        self.call(lfs.remove, check_path(path))
        if self._folders is not None:
            self._folders.discard(path)

    def rmdir(self, path: str) -> None:
        self.remove(path)

    def listdir(self, path: str) -> list[str]:
        folder = self.call(lfs.dir_open, check_path(path) if path else "/")
        names = []
        try:
            while entry := self.call(lfs.dir_read, folder):
                names.append(entry.name)
        finally:
            self.call(lfs.dir_close, folder)
        return [name for name in names if name not in (".", "..")]

    def mkdir(self, path: str) -> None:
        self.call(lfs.mkdir, check_path(path))
        if self._folders is not None:
            self._folders.add(path)

    def stat(self, path: str) -> int:
        """The size in bytes."""
        return int(self.call(lfs.stat, check_path(path)).size)

    def is_dir(self, path: str) -> bool:
        try:
            return bool(self.call(lfs.stat, check_path(path)).type == lfs.LFSStat.TYPE_DIR)
        except OSError:
            return False

    def room(self) -> tuple[int, int]:
        """Bytes in all and free, in whole blocks, as VfsLfs2.statvfs counts them: a folder's two
        blocks are taken for four there.
        """
        size = self.flash.block_size
        if self._folders is None:
            reads = self.flash.reads, self.flash.bytes_read
            self._folders = set(self._find_folders(""))
            self.flash.reads, self.flash.bytes_read = reads
        used = int(self.call(lfs.fs_size)) + 2 * len(self._folders)
        return self.flash.block_count * size, (self.flash.block_count - used) * size

    def _find_folders(self, path: str) -> Iterator[str]:
        for name in self.listdir(path):
            inner = f"{path}/{name}" if path else name
            if self.is_dir(inner):
                yield inner
                yield from self._find_folders(inner)


class LittleFsFile:
    """An open file, unbuffered but for LittleFS's own cache."""

    def __init__(self, port: LittleFsPort, handle: lfs.LFSFile, mode: str) -> None:
        self._port = port
        self._handle = handle
        self._mode = mode
        self._closed = False

    def _call(self, function: Any, *arguments: Any) -> Any:
        if self._closed:
            raise ValueError("the file is closed")
        return self._port.call(function, self._handle, *arguments)

    def _require(self, possible: bool) -> None:
        if not possible:
            raise OSError(_EBADF, os.strerror(_EBADF))

    def read(self, count: int = -1) -> bytes:
        self._require(self._mode in ("rb", "r+b"))
        if count < 0:
            count = max(self._call(lfs.file_size) - self.tell(), 0)
        return bytes(self._call(lfs.file_read, count))

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readline(self) -> bytes:
        """Up to and with the next newline, or to the end."""
        line = b""
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return line

    def write(self, data: Any) -> int:
        """All of it, or OSError."""
        self._require(self._mode != "rb")
        data = bytes(data)
        if data and self._call(lfs.file_write, data) != len(data):
            raise OSError(_ENOSPC, os.strerror(_ENOSPC))
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._call(lfs.file_seek, offset, whence))

    def tell(self) -> int:
        return int(self._call(lfs.file_tell))

    def flush(self) -> None:
        self._call(lfs.file_sync)

    def close(self) -> None:
        if not self._closed:
            try:
                self._call(lfs.file_close)
            finally:
                self._closed = True
                self._port.forget(self)

    def __enter__(self) -> LittleFsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
