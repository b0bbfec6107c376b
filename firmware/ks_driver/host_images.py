"""Full images on a computer: two partitions for them, and what the bootloader goes by.

The `images` of the partition port, with what ESP-IDF's functions behind esp32.Partition do, on a
`flash` with the partitions `ota_0`, `ota_1` and `otadata`:

    size(name), read(name, offset, count), erase(name, block), program(name, offset, data)

`otadata` is the chip's: two blocks with an entry of 32 bytes each, of which the valid one with the
higher number counts; number n is that of image (n - 1) % 2.
"""

import binascii
import struct

from .block_writer import BLOCK_BYTES, BlockWriter
from .esp_image import BadImage, check, describe

OTADATA = "otadata"
NAMES = ("ota_0", "ota_1")
# MicroPython's layout for 4 MB.
PARTITION_BYTES = 0x180000
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


class HostImages:
    """`running`: the index of the image that the bootloader started."""

    def __init__(self, flash, running):
        self._flash = flash
        self._running = running
        self._other = 1 - running
        self._image = describe(self._reader(running))

    def image(self):
        return self._image

    def label(self):
        return NAMES[self._running]

    def next_label(self):
        return NAMES[self._other]

    def capacity(self):
        return self._flash.size(self.next_label())

    def begin(self, size):
        """Raises OSError for an image that is larger than the partition."""
        if size > self.capacity():
            raise OSError(28, "larger than the partition")
        return BlockWriter(self._write_block, size)

    def _write_block(self, number, block):
        self._flash.erase(self.next_label(), number)
        self._flash.program(self.next_label(), number * BLOCK_BYTES, bytes(block))

    def set_boot(self):
        """Whether the next start is the other partition's: False for what is not an image."""
        try:
            check(self._reader(self._other), self.capacity())
        except BadImage:
            return False
        entries = Entries(self._flash)
        if entries.active is None:
            entries.write(0, self._other + 1, NEW)
            return True
        number = self._other + 1
        while number < entries.found[entries.active][0]:
            number += 2
        entries.write(1 - entries.active, number, NEW)
        return True

    def mark_valid(self):
        entries = Entries(self._flash)
        if entries.active is not None:
            number, state = entries.found[entries.active]
            if state != VALID:
                entries.write(entries.active, number, VALID)

    def _reader(self, index):
        return lambda offset, count: self._flash.read(NAMES[index], offset, count)
