"""A bundle's bytes, as they arrive, become the files of a slot: one small piece at a time."""

from .bundle import HEAD_BYTES
from .errors import UpdateRefused
from .signing import hex_text


class Unpacker:
    """`write` is a Download's sink. The head and the manifest were read and trusted before."""

    def __init__(self, slots, crypto, manifest_bytes, manifest):
        self._slots = slots
        self._crypto = crypto
        self._skip = HEAD_BYTES + manifest_bytes
        self._rows = manifest.files()
        self._row = None
        self._file = None
        self._left = 0
        self._file_digest = None
        self._digest = crypto.sha256()
        self._next_row()

    def write_beside(self, name, pieces):
        """A file of the slot that is not in the bundle's part for files."""
        file = self._slots.create(self._slots.inactive, name)
        for piece in pieces:
            file.write(piece)
        self._slots.close(file)

    def _next_row(self):
        """Go to the next file that has bytes; empty ones are made on the way."""
        for row in self._rows:
            self._row = row
            self._file = self._slots.create(self._slots.inactive, row["PATH"])
            self._file_digest = self._crypto.sha256()
            self._left = int(row["SIZE"])
            if self._left:
                return
            self._end_file()
        self._row = None

    def write(self, piece):
        """Raises UpdateRefused for bytes that no file of the manifest accounts for."""
        self._digest.update(piece)
        view = memoryview(piece)
        skipped = min(self._skip, len(view))
        self._skip -= skipped
        view = view[skipped:]
        while len(view):
            if self._row is None:
                raise UpdateRefused("SIZE", "more bytes than the manifest has")
            part = view[: self._left]
            self._file.write(part)
            self._file_digest.update(part)
            self._left -= len(part)
            view = view[len(part) :]
            if not self._left:
                self._end_file()
                self._next_row()

    def _end_file(self):
        self._slots.close(self._file)
        self._file = None
        if hex_text(self._file_digest.digest()) != self._row["SHA256"]:
            raise UpdateRefused("HASH", "a file is not what the manifest says")

    def finish(self, fw4):
        """After the last byte. Raises UpdateRefused unless every file, and the whole, is right."""
        if self._row is not None or self._skip:
            raise UpdateRefused("SIZE", "the bundle ends early")
        if hex_text(self._digest.digest()) != fw4:
            raise UpdateRefused("HASH", "the bundle is not what FW4 says")

    def close(self):
        """After the download, whole or broken, no file stays open."""
        self._rows.close()
        if self._file is not None:
            self._file.close()
            self._file = None
