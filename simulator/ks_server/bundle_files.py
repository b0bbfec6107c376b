"""The files of a bundle while it arrives: held against the manifest, packed ones inflated.

Nothing of what is inflated is kept, and no more of it is made than the manifest says.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from ks_agent import bundle

_INFLATE_BYTES: Final = 64 * 1024


class WrongFile(Exception):
    """The files are not those of the manifest; the text says in what."""


class BundleFiles:
    """Checks the files in their order, from pieces of any size: `update`, then `end`.

    `rows` are those of FILE, `window_bits` is WBITS. Raises WrongFile.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]], window_bits: int) -> None:
        self._rows = rows
        self._window_bits = window_bits
        self._index = 0
        self._begin()
        self._skip_complete()

    def update(self, piece: bytes) -> None:
        """The next bytes."""
        view = memoryview(piece)
        while view:
            if self._index == len(self._rows):
                raise WrongFile("the bundle is longer than its manifest says")
            taken = view[: self._left]
            self._content.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            self._skip_complete()

    def end(self) -> None:
        """After the last byte."""
        if self._index < len(self._rows):
            raise WrongFile("the bundle is shorter than its manifest says")

    def _begin(self) -> None:
        if self._index < len(self._rows):
            row = self._rows[self._index]
            self._left = bundle.packed_bytes(row)
            self._content = _content(row, self._window_bits)

    def _skip_complete(self) -> None:
        while self._index < len(self._rows) and self._left == 0:
            self._content.end()
            self._index += 1
            self._begin()


class _Stored:
    """A file that comes as it is."""

    def __init__(self, row: Mapping[str, str]) -> None:
        self._row = row
        self._left = int(row["SIZE"])
        self._digest = hashlib.sha256()

    def update(self, data: memoryview | bytes) -> None:
        self._left -= len(data)
        self._digest.update(data)

    def end(self) -> None:
        if self._left or self._digest.hexdigest() != self._row["SHA256"]:
            raise self.wrong()

    def wrong(self) -> WrongFile:
        return WrongFile(f"{self._row['PATH']} is not what the manifest says")


class _Packed(_Stored):
    """A file that comes as a raw deflate stream, which must end with its last byte."""

    def __init__(self, row: Mapping[str, str], window_bits: int) -> None:
        super().__init__(row)
        self._inflater = zlib.decompressobj(-window_bits)

    def update(self, data: memoryview | bytes) -> None:
        while not self._inflater.eof:
            try:
                made = self._inflater.decompress(data, _INFLATE_BYTES)
            except zlib.error:
                raise self.wrong() from None
            super().update(made)
            if self._left < 0:
                raise self.wrong()
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                data = self._inflater.unused_data
            elif not data and len(made) < _INFLATE_BYTES:
                return
        if data:
            raise self.wrong()

    def end(self) -> None:
        if not self._inflater.eof:
            raise self.wrong()
        super().end()


def _content(row: Mapping[str, str], window_bits: int) -> _Stored:
    if bundle.packed_bytes(row) < int(row["SIZE"]):
        return _Packed(row, window_bits)
    return _Stored(row)
