"""Full images on an ESP32: the `images` of the partition port, by `esp32.Partition`.

Not run on a chip yet. By MicroPython's ports/esp32/esp32_partition.c: `writeblocks` with two
arguments erases before it programs; errors are OSError with ESP-IDF's number, negative.
"""

import sys

from esp32 import Partition

from ks_driver.block_writer import BLOCK_BYTES, BlockWriter

# ESP_ERR_OTA_VALIDATE_FAILED: set_boot verifies format, checksum and hash of what it is to start.
VALIDATE_FAILED = -0x1503
_SIZE, _LABEL = 3, 4  # in what info() gives
# By the number that MicroPython has for them, see its py/persistentcode.h.
_ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip


def find():
    """The Images of this chip; None in a layout with one partition for the image."""
    running = Partition(Partition.RUNNING)  # type: ignore[arg-type] # the stubs want a name
    try:
        return Images(running, running.get_next_update())
    except OSError:
        return None


class Images:
    def __init__(self, running, other):
        self._running = running
        self._other = other

    def image(self):
        """(version, mpy, arch) of the running image: "1.25.0", "6.3", "xtensawin"."""
        numbers = sys.implementation.version
        version = "%d.%d.%d" % (numbers[0], numbers[1], numbers[2])
        if len(numbers) > 3 and numbers[3]:
            version += "-" + numbers[3]
        loads = sys.implementation._mpy
        mpy = "%d.%d" % (loads & 0xFF, loads >> 8 & 3)
        return version, mpy, _ARCHITECTURES[loads >> 10 & 0x0F]

    def label(self):
        return self._running.info()[_LABEL]

    def next_label(self):
        return self._other.info()[_LABEL]

    def capacity(self):
        return self._other.info()[_SIZE]

    def begin(self, size):
        """Raises OSError for an image that is larger than the partition."""
        if size > self.capacity() // BLOCK_BYTES * BLOCK_BYTES:
            raise OSError(28, "larger than the partition")
        return BlockWriter(self._other.writeblocks, size)

    def set_boot(self):
        """Whether the next start is the other partition's: False for what is not an image."""
        try:
            self._other.set_boot()
        except OSError as error:
            if error.args[0] != VALIDATE_FAILED:
                raise
            return False
        return True

    def mark_valid(self):
        Partition.mark_app_valid_cancel_rollback()
