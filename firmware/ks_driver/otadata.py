"""What an ESP32's bootloader goes by, on a computer: two entries, each in a block of its own.

On a `flash` with the partitions `ota_0`, `ota_1` and `otadata`:

    size(name), read(name, offset, count), erase(name, block), program(name, offset, data)

Of the entries, which are the chip's, the valid one with the higher number counts; number n is that
of image (n - 1) % 2. With what ESP-IDF's functions behind esp32.Partition do.
"""

import binascii
import struct

from .block_writer import BLOCK_BYTES, BlockWriter
from .esp_image import BadImage, check
from .host_images import NAMES

OTADATA = "otadata"
NEW, PENDING, VALID, INVALID, ABORTED, UNDEFINED = 0, 1, 2, 3, 4, 0xFFFFFFFF
_ENTRY = "<I20sII"
_BLANK = b"\xff" * 20
_NO_NUMBER = 0xFFFFFFFF


class Entries:
    """The two entries of `otadata`. `active` is the index of the one that counts, or None."""

    def __init__(self, flash):
        self._flash = flash
        self.found = []
        for block in range(2):
            data = flash.read(OTADATA, block * BLOCK_BYTES, struct.calcsize(_ENTRY))
            self.found.append(_parse(data))
        self.active = None
        for block, entry in enumerate(self.found):
            if entry is None or entry[1] in (INVALID, ABORTED):
                continue
            if self.active is None or entry[0] > self.found[self.active][0]:
                self.active = block

    def write(self, block, number, state):
        """Not atomic, as on the chip: a cut between erasing and programming loses the entry."""
        numbered = struct.pack("<I", number)
        crc = binascii.crc32(numbered, 0xFFFFFFFF) & 0xFFFFFFFF
        self._flash.erase(OTADATA, block)
        data = struct.pack(_ENTRY, number, _BLANK, state, crc)
        self._flash.program(OTADATA, block * BLOCK_BYTES, data)


def _parse(data):
    """(number, state) of an entry, None for an erased or torn one."""
    number, _, state, crc = struct.unpack(_ENTRY, data)
    if number == _NO_NUMBER or crc != binascii.crc32(data[:4], 0xFFFFFFFF) & 0xFFFFFFFF:
        return None
    return number, state


def begin(flash, name, size):
    """A BlockWriter into a partition. Raises OSError for more than its size."""
    if size > flash.size(name):
        raise OSError(28, "larger than the partition")

    def write_block(number, block):
        flash.erase(name, number)
        flash.program(name, number * BLOCK_BYTES, bytes(block))

    return BlockWriter(write_block, size)


def set_boot(flash, index):
    """Whether the image is the next to start: False for what is none."""
    name = NAMES[index]
    try:
        check(lambda offset, count: flash.read(name, offset, count), flash.size(name))
    except BadImage:
        return False
    entries = Entries(flash)
    if entries.active is None:
        entries.write(0, index + 1, NEW)
        return True
    number = index + 1
    while number < entries.found[entries.active][0]:
        number += 2
    entries.write(1 - entries.active, number, NEW)
    return True


def mark_valid(flash):
    entries = Entries(flash)
    if entries.active is not None:
        number, state = entries.found[entries.active]
        if state != VALID:
            entries.write(entries.active, number, VALID)
