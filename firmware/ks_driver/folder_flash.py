"""Partitions for full images in a folder, for terminals on a computer."""

from .block_writer import BLOCK_BYTES
from .otadata import OTADATA

FOLDER = "images"
# MicroPython's layout for 4 MB.
PARTITION_BYTES = 0x180000
ERASED = b"\xff"


class FolderFlash:
    """Partitions as files in the folder `images` of an `fs` port. What is behind the end of a file
    is erased. A block is erased and programmed as one piece of the file.
    """

    def __init__(self, fs):
        self._fs = fs

    def size(self, name):
        return 2 * BLOCK_BYTES if name == OTADATA else PARTITION_BYTES

    def read(self, name, offset, count):
        try:
            with self._fs.open(self._path(name), "rb") as file:
                file.seek(offset)
                data = file.read(count)
        except OSError:
            data = b""
        return data + ERASED * (count - len(data))

    def erase(self, name, block):
        self._put(name, block * BLOCK_BYTES, ERASED * BLOCK_BYTES)

    def program(self, name, offset, data):
        self._put(name, offset, data)

    def _path(self, name):
        return FOLDER + "/" + name + ".bin"

    def _put(self, name, offset, data):
        try:
            size = self._fs.stat(self._path(name))
        except OSError:
            size = 0
        mode = "r+b" if size else "wb"
        with self._fs.open(self._path(name), mode) as file:
            if offset > size:
                file.seek(size)
                file.write(ERASED * (offset - size))
            file.seek(offset)
            file.write(data)
            self._fs.sync(file)
