"""A bundle's bytes become the files of a slot: one small piece at a time, and whole ones only.

A file's bytes come into `.part`. Held against the manifest, they become the file by a rename:
so what is at a path of the manifest, with its size, is the file, and stays so over power cuts.
"""

from .bundle import MANIFEST, folder, inactive, packed_bytes, read_manifest
from .download_record import PART, Stale
from .effects import Sleep
from .envelope import hex_text
from .errors import Malformed, UpdateRefused

# A file on its way from the running slot, or out of `.part`.
WHOLE = "/.file"
SYNC_BYTES = 8192
BUFFER_BYTES = 512
# So much work with the flash, and others have their turn.
TURN_BYTES = 32768


class Unpacker:
    """`write` is what a Source gives its bytes to. The manifest was read and trusted before;
    `start`: where the files begin in the bundle.
    """

    def __init__(self, ports, manifest, start):
        self._fs = ports.fs
        self._crypto = ports.crypto
        self._board = ports.board
        self._folder = folder(inactive(ports.partition))
        self._running = folder(ports.partition.running)
        self._manifest = manifest
        self._start = start
        self._rows = None
        self._row = None
        self._file = None
        self._left = 0
        self._unsynced = 0
        self._inherited = False
        self._worked = 0
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def _path(self, row):
        return self._folder + "/" + row["PATH"]

    def _is_there(self, row):
        try:
            return self._fs.stat(self._path(row)) == int(row["SIZE"])
        except OSError:
            return False

    def _put(self, name, row):
        """The atomic step by which a file is there."""
        path = self._path(row)
        parts = path.split("/")[:-1]
        for count in range(2, len(parts) + 1):
            inner = "/".join(parts[:count])
            if not self._fs.is_dir(inner):
                self._fs.mkdir(inner)
        self._fs.rename(self._folder + name, path)

    def copy(self):
        """Take the files that the running slot has as well. Yields now and then."""
        theirs = self._running_rows()
        their = next(theirs, None)
        for row in self._manifest.files():
            while their is not None and their["PATH"] < row["PATH"]:
                their = next(theirs, None)
            if their is None:
                return
            is_same = (their["PATH"], their["SHA256"]) == (row["PATH"], row["SHA256"])
            if is_same and int(row["SIZE"]) and not self._is_there(row):
                self._copy(row)
                yield from self._turn(int(row["SIZE"]))

    def _running_rows(self):
        try:
            yield from read_manifest(self._fs, self._running + MANIFEST).files()
        except (Malformed, OSError):
            pass  # all that comes after is fetched

    def _copy(self, row):
        """A file that is damaged in the running slot is left to be fetched."""
        try:
            source = self._fs.open(self._running + "/" + row["PATH"], "rb")
        except OSError:
            return
        with source:
            if self._fill(source, row):
                self._put(WHOLE, row)

    def _turn(self, worked_bytes):
        self._worked += worked_bytes
        if self._worked >= TURN_BYTES:
            self._worked = 0
            yield Sleep(0)

    def _fill(self, source, row):
        """Whether what `source` gives is the file; if so, it is in WHOLE. Never more is written."""
        digest = self._crypto.sha256()
        left = int(row["SIZE"])
        with self._fs.open(self._folder + WHOLE, "wb") as file:
            while True:
                count = self._piece(source)
                if not count or count > left:
                    break
                left -= count
                digest.update(self._buffer[:count])
                file.write(self._buffer[:count])
            self._fs.sync(file)
        return not left and not count and hex_text(digest.digest()) == row["SHA256"]

    def _piece(self, source):
        """The count of bytes now in the buffer; more than any file has, where they are damaged."""
        try:
            return source.readinto(self._buffer)
        except OSError:
            return 1 << 29

    def wanted(self):
        """(start, end) in the bundle of what is to be fetched next, or None when all is there."""
        span = self._look()
        while span is not None and span[0] == span[1]:
            span = self._look()
        return span

    def _look(self):
        """The bytes of the files in one go that are not there, from the first on."""
        self.close()
        start = None
        place = end = self._start
        for row in self._manifest.files():
            size = packed_bytes(row)
            if not self._is_there(row):
                if start is None and size:
                    start = place + self._take_up(row, size)
                    if self._row is None:
                        return start, start
                elif not size:
                    self._make_empty(row)
                end = place + size
            elif start is not None and size:
                break
            place += size
        if start is None:
            return None
        self._rows = self._manifest.files()
        for row in self._rows:
            if row["PATH"] == self._row["PATH"]:
                return start, end

    def _take_up(self, row, size):
        """Go on with the file; gives the count of bytes that there are of it."""
        path = self._folder + PART
        try:
            count = self._fs.stat(path)
        except OSError:
            count = 0
        if count > size:
            self._fs.remove(path)
            count = 0
        self._row = row
        self._left = size - count
        self._inherited = count > 0
        if self._left:
            self._file = self._fs.open(path, "ab")
        else:
            self._end_file()
        return count

    def _make_empty(self, row):
        with self._fs.open(self._folder + WHOLE, "wb") as file:
            self._fs.sync(file)
        if hex_text(self._crypto.sha256().digest()) != row["SHA256"]:
            raise UpdateRefused("HASH", "a file is not what the manifest says")
        self._put(WHOLE, row)

    def write(self, piece):
        """The next bytes of the span that `wanted` gave last."""
        while len(piece):
            if self._row is None:
                self._next_row()
            part = piece[: self._left]
            self._file.write(part)
            self._left -= len(part)
            self._unsynced += len(part)
            piece = piece[len(part) :]
            if not self._left:
                self._end_file()
            elif self._unsynced >= SYNC_BYTES:
                self._unsynced = 0
                self._fs.sync(self._file)

    def _next_row(self):
        for row in self._rows:
            if packed_bytes(row):
                self._row = row
                self._left = packed_bytes(row)
                self._inherited = False
                self._file = self._fs.open(self._folder + PART, "wb")
                return

    def _end_file(self):
        """All bytes of a file are in `.part`. Raises UpdateRefused where they are not the file."""
        row = self._row
        self._sync_and_close()
        self._row = None
        path = self._folder + PART
        name = PART
        if packed_bytes(row) == int(row["SIZE"]):
            good = self._digest_of(path) == row["SHA256"]
        else:
            name = WHOLE
            with self._fs.open(path, "rb") as file:
                good = self._fill(self._board.inflate(file, int(self._manifest["WBITS"])), row)
        if name == WHOLE or not good:
            self._fs.remove(path)
        if good:
            self._put(name, row)
        elif self._inherited:
            raise Stale("what was kept of a file was damaged")
        else:
            raise UpdateRefused("HASH", "a file is not what the manifest says")

    def _digest_of(self, path, whole=None):
        digest = self._crypto.sha256()
        with self._fs.open(path, "rb") as file:
            while True:
                count = file.readinto(self._buffer)
                if not count:
                    return hex_text(digest.digest())
                digest.update(self._buffer[:count])
                if whole is not None:
                    whole.update(self._buffer[:count])

    def verify(self, head):
        """Hold every file in the slot against the manifest, as stage 0 will; yields now and then.

        Gives the bundle's SHA-256 in hex, made of what is in the slot, or None where files were
        packed. `head`: the bundle's. Raises Stale for a slot that is not whole.
        """
        whole = None
        if not self._manifest.packed:
            whole = self._crypto.sha256()
            whole.update(head)
            self._digest_of(self._folder + MANIFEST, whole)
        for row in self._manifest.files():
            path = self._path(row)
            found = self._digest_of(path, whole) if self._is_there(row) else None
            if found != row["SHA256"]:
                if found is not None:
                    self._fs.remove(path)
                raise Stale(row["PATH"] + " was damaged on the flash")
            yield from self._turn(int(row["SIZE"]))
        return None if whole is None else hex_text(whole.digest())

    def discard(self):
        """Nothing of a file that is not whole is gone on with."""
        self.close()
        for name in (PART, WHOLE):
            try:
                self._fs.remove(self._folder + name)
            except OSError:
                pass  # it is not there

    def _sync_and_close(self):
        if self._file is not None:
            self._fs.sync(self._file)
            self._file.close()
            self._file = None
        self._unsynced = 0

    def close(self):
        """No file stays open; what there is of one is kept."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._row = None
        self._unsynced = 0
