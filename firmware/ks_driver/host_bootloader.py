"""What a chip's bootloader does at each reset, for terminals on a computer.

By the rules of ESP-IDF's bootloader with rollback, as in MicroPython's images: an image that was
never started gets one start; if it was not marked valid before the next one, it is given up.
"""

from .esp_image import BadImage, check, describe
from .host_images import NAMES, HostImages
from .otadata import ABORTED, NEW, PENDING, VALID, Entries


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
    return HostImages(lambda: flash, started, describe(_reader(flash, started)))


def _first_good(flash, index):
    for candidate in (index, 1 - index):
        try:
            check(_reader(flash, candidate), flash.size(NAMES[candidate]))
        except BadImage:
            continue
        return candidate
    raise OSError(2, "no image can be started")


def _reader(flash, index):
    return lambda offset, count: flash.read(NAMES[index], offset, count)
