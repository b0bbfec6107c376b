"""What a chip's bootloader does at each reset, for terminals on a computer, and their flash.

By the rules of ESP-IDF's bootloader with rollback, as in MicroPython's images: an image that was
never started gets one start; if it was not marked valid before the next one, it is given up.
"""

from .block_writer import BLOCK_BYTES
from .esp_image import BadImage, check
from .host_images import (
    ABORTED,
    NAMES,
    NEW,
    OTADATA,
    PARTITION_BYTES,
    PENDING,
    VALID,
    Entries,
    HostImages,
)

FOLDER = "images"


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
        return data + b"\xff" * (count - len(data))

    def erase(self, name, block):
        self._put(name, block * BLOCK_BYTES, b"\xff" * BLOCK_BYTES)

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
                file.write(b"\xff" * (offset - size))
            file.seek(offset)
            file.write(data)
            self._fs.sync(file)


def power_on(flash):
    """The HostImages of the image that starts now. Raises OSError when there is none to start."""
    entries = Entries(flash)
    for block, entry in enumerate(entries.found):
        if entry is not None and entry[1] == PENDING:
            entries.write(block, entry[0], ABORTED)
    entries = Entries(flash)
    index, is_first = 0, entries.found == [None, None]
    if entries.active is not None:
        number, state = entries.found[entries.active]
        index = (number - 1) % len(NAMES)
        if state == NEW:
            entries.write(entries.active, number, PENDING)
    started = _first_good(flash, index)
    if is_first:
        entries.write(0, started + 1, VALID)
    return HostImages(flash, started)


def _first_good(flash, index):
    for candidate in (index, 1 - index):
        name = NAMES[candidate]

        def read(offset, count, name=name):
            return flash.read(name, offset, count)

        try:
            check(read, flash.size(name))
        except BadImage:
            continue
        return candidate
    raise OSError(2, "no image can be started")


def images_of(fs):
    """Once a start of a terminal: its images, or None for one without partitions for them."""
    return power_on(FolderFlash(fs)) if fs.is_dir(FOLDER) else None
