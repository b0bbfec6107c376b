"""The `fs` and `vault` ports in memory, for terminals that live inside this process.

Contents of files are immutable `bytes` until somebody writes, so that thousands of terminals
provisioned from one release share its files.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ks_driver.files import check_path

MODES = ("rb", "wb", "ab", "r+b")
BLOCK_BYTES = 4096
TOTAL_BYTES = 2 * 1024 * 1024


class _Node:
    """One file's content; an open file keeps it alive after its removal, as POSIX does."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.data = data

    def writable(self) -> bytearray:
        if not isinstance(self.data, bytearray):
            self.data = bytearray(self.data)
        return self.data


class MemoryFile(io.RawIOBase):
    """An open file: unbuffered, so what was written is there at once."""

    def __init__(self, node: _Node, mode: str) -> None:
        super().__init__()
        self._node = node
        self._mode = mode
        self._position = 0

    def readable(self) -> bool:
        return self._mode in ("rb", "r+b")

    def writable(self) -> bool:
        return self._mode != "rb"

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._node.data)}
        position = base[whence] + offset
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        self._require(self.readable())
        piece = self._node.data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        self._require(self.readable())
        piece = bytes(self._node.data[self._position :])
        self._position += len(piece)
        return piece

    def readline(self, size: int | None = -1, /) -> bytes:
        self._require(self.readable())
        start, end = self._position, len(self._node.data)
        if size is not None and size >= 0:
            end = min(end, start + size)
        self._position = self._node.data.find(b"\n", start, end) + 1 or max(start, end)
        return bytes(self._node.data[start : self._position])

    def write(self, data: Any, /) -> int:
        self._require(self.writable())
        content = self._node.writable()
        if self._mode == "ab":
            self._position = len(content)
        piece = bytes(data)
        if piece and self._position > len(content):
            content.extend(bytes(self._position - len(content)))
        content[self._position : self._position + len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _require(self, allowed: bool) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not allowed:
            raise io.UnsupportedOperation(f"not possible in mode {self._mode}")


class MemoryFs:
    """A file tree with the `fs` port's operations. Every error is an OSError with its errno.

    Paths are relative and "/"-separated; "" is the root for `listdir` alone. Behaves as a folder of
    a POSIX system does, so that what runs on it runs on `ks_driver.files.HostFs` too.
    """

    def __init__(
        self, files: Mapping[str, bytes] | None = None, total_bytes: int = TOTAL_BYTES
    ) -> None:
        self.total_bytes = total_bytes
        self._files: dict[str, _Node] = {}
        self._folders: set[str] = {""}
        for path, data in (files or {}).items():
            self.install(path, data)

    def install(self, path: str, data: bytes) -> None:
        """Put a file there with the folders above it; `data` is shared, not copied."""
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            self._folders.add("/".join(parts[:count]))
        self._files[path] = _Node(data)

    def open(self, path: str, mode: str) -> MemoryFile:
        """Open for "rb", "wb", "ab" or "r+b"."""
        if mode not in MODES:
            raise _error(errno.EINVAL, mode)
        self._check_parent(path)
        if path in self._folders:
            raise _error(errno.EISDIR, path)
        node = self._files.get(path)
        if mode in ("rb", "r+b"):
            if node is None:
                raise _error(errno.ENOENT, path)
        elif node is None:
            node = self._files[path] = _Node()
        elif mode == "wb":
            node.data = b""
        return MemoryFile(node, mode)

    def sync(self, file: MemoryFile) -> None:
        """Nothing to do: memory has no cache before it."""

    def rename(self, old: str, new: str) -> None:
        """Move a file or folder; a file at `new` is replaced, a folder only when it is empty."""
        self._check_parent(old)
        self._check_parent(new)
        if old in self._files:
            if new in self._folders:
                raise _error(errno.EISDIR, new)
            self._files[new] = self._files.pop(old) if new != old else self._files[old]
        elif old in self._folders:
            self._rename_folder(old, new)
        else:
            raise _error(errno.ENOENT, old)

    def _rename_folder(self, old: str, new: str) -> None:
        if new in self._files:
            raise _error(errno.ENOTDIR, new)
        if new == old:
            return
        if new.startswith(old + "/") or old == "":
            raise _error(errno.EINVAL, new)
        if new in self._folders and next(self._below(new), None) is not None:
            raise _error(errno.ENOTEMPTY, new)
        for path in [path for path in self._files if path.startswith(old + "/")]:
            self._files[new + path[len(old) :]] = self._files.pop(path)
        moved = {path for path in self._folders if path == old or path.startswith(old + "/")}
        self._folders -= moved
        self._folders |= {new + path[len(old) :] for path in moved}

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._check_parent(path)
        if path in self._folders:
            raise _error(errno.EISDIR, path)
        if self._files.pop(path, None) is None:
            raise _error(errno.ENOENT, path)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self._check_parent(path)
        if path in self._files:
            raise _error(errno.ENOTDIR, path)
        if path not in self._folders:
            raise _error(errno.ENOENT, path)
        if next(self._below(path), None) is not None:
            raise _error(errno.ENOTEMPTY, path)
        self._folders.discard(path)

    def listdir(self, path: str) -> list[str]:
        """The names in a folder, sorted."""
        if path:
            self._check_parent(path)
        if path in self._files:
            raise _error(errno.ENOTDIR, path)
        if path not in self._folders:
            raise _error(errno.ENOENT, path)
        return sorted(self._below(path))

    def mkdir(self, path: str) -> None:
        """Make one folder; the one above it must be there."""
        self._check_parent(path)
        if path in self._folders or path in self._files:
            raise _error(errno.EEXIST, path)
        self._folders.add(path)

    def stat(self, path: str) -> int:
        """Size in bytes; 0 for a folder."""
        self._check_parent(path)
        node = self._files.get(path)
        if node is not None:
            return len(node.data)
        if path in self._folders:
            return 0
        raise _error(errno.ENOENT, path)

    def room(self) -> tuple[int, int]:
        """(total, free) bytes, of a flash of `total_bytes` in blocks of 4096."""
        used = sum(-(-len(node.data) // BLOCK_BYTES) for node in self._files.values())
        return self.total_bytes, max(self.total_bytes - used * BLOCK_BYTES, 0)

    def is_dir(self, path: str) -> bool:
        try:
            return check_path(path) in self._folders
        except OSError:
            return False

    def _below(self, folder: str) -> Iterator[str]:
        prefix = folder + "/" if folder else ""
        for path in (*self._files, *self._folders):
            rest = path[len(prefix) :]
            if rest and path.startswith(prefix) and "/" not in rest:
                yield rest

    def _check_parent(self, path: str) -> None:
        parent = check_path(path).rpartition("/")[0]
        if parent in self._folders:
            return
        while parent:
            if parent in self._files:
                raise _error(errno.ENOTDIR, path)
            parent = parent.rpartition("/")[0]
        raise _error(errno.ENOENT, path)


class MemoryVault:
    """The `vault` port: small secrets by name. Its `repr` shows none of them."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        return self._values.get(name)

    def set(self, name: str, value: bytes) -> None:
        self._values[name] = bytes(value)

    def erase(self, name: str) -> None:
        self._values.pop(name, None)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
