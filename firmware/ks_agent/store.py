"""Records on flash: one TOON message a file, old or new after any interruption, never neither.

A record ends in the comment line `# crc32:xxxxxxxx` over the bytes before it. It is written beside
its name, synced, and renamed over it (LittleFS and POSIX make the rename atomic).
"""

import binascii

from . import toon
from .errors import Corrupt, LocalError, Malformed
from .message import check
from .tokens import check_value

STATE = "data/state/"
WIPE_PATH = STATE + "wipe.toon"
RTO_PATH = STATE + "rto.toon"
MAX_RECORD_BYTES = 16384

_TRAILER = b"# crc32:"
_TRAILER_BYTES = len(_TRAILER) + 8 + 1


def as_text(key, list_name=None):
    """The kind of every token in a record: what is text stays text."""
    return "text"


class Store:
    def __init__(self, fs):
        self._fs = fs

    def exists(self, path):
        try:
            self._fs.stat(path)
        except OSError:
            return False
        return True

    def read(self, path):
        """The record, or None where there is none. Raises Corrupt for a damaged one."""
        try:
            size = self._fs.stat(path)
        except OSError:
            return None
        if size > MAX_RECORD_BYTES:
            raise Corrupt(path + ": too large")
        try:
            with self._fs.open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise Corrupt(path + ": " + str(error))
        end = len(data) - _TRAILER_BYTES
        if end < 0 or data[end:] != trailer(data[:end]):
            raise Corrupt(path + ": checksum")
        limit = MAX_RECORD_BYTES
        try:
            return toon.decode(data[:end], limit, limit, limit, limit)
        except Malformed as error:
            raise Corrupt(path + ": " + str(error))

    def read_or_none(self, path):
        """The record, or None where it is absent or damaged: for what can be done without."""
        try:
            return self.read(path)
        except Corrupt:
            return None

    def read_as(self, path, required=(), rows={}):  # noqa: B006 -- never changed
        """The record, or None where it is absent, damaged or of another form, as one of another
        release may be. `rows`: list -> the fields that its rows must have; all else is texts.
        """
        record = self.read_or_none(path)
        try:
            if record is not None:
                check_form(record, required, rows)
            return record
        except Malformed:
            return None

    def write(self, path, message):
        """Raises LocalError, and writes nothing, for what could not be read back."""
        try:
            check(message)
        except Malformed as error:
            raise LocalError(path + ": " + str(error))
        data = toon.encode(message, as_text) + b"\n"
        if len(data) + _TRAILER_BYTES > MAX_RECORD_BYTES:
            raise LocalError(path + ": a record of %d bytes" % len(data))
        self.write_bytes(path, data + trailer(data))

    def write_bytes(self, path, data):
        fs = self._fs
        temporary = path + ".new"
        self._make_folders(path)
        with fs.open(temporary, "wb") as file:
            file.write(data)
            fs.sync(file)
        fs.rename(temporary, path)

    def remove(self, path):
        """Removes the record; one that is absent is removed already."""
        try:
            self._fs.remove(path)
        except OSError:
            if self.exists(path):
                raise

    def names(self, folder):
        """The files in a folder, sorted, without what an interrupted write left."""
        try:
            names = self._fs.listdir(folder)
        except OSError:
            return []
        return sorted(name for name in names if not name.endswith(".new"))

    def clear(self, folder, spared=()):
        """Remove all of a folder's files but those spared, also what interrupted writes left."""
        try:
            names = list(self._fs.listdir(folder))
        except OSError:
            return
        for name in names:
            if name not in spared:
                self.remove(folder + "/" + name)

    def _make_folders(self, path):
        parts = path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            folder = "/".join(parts[:count])
            if not self._fs.is_dir(folder):
                self._fs.mkdir(folder)


def check_form(record, required=(), rows={}):  # noqa: B006 -- never changed
    """Raises Malformed unless the record has the form that Store.read_as describes."""
    for key in required:
        if key not in record:
            raise Malformed("no " + key)
    for key, value in record.items():
        if isinstance(value, str) == (key in rows):
            raise Malformed("text or list: " + key)
        if key in rows:
            for row in value:
                check_form(row, rows[key])
        else:
            check_value(key, value)


def trailer(data):
    return _TRAILER + b"%08x\n" % (binascii.crc32(data) & 0xFFFFFFFF)
