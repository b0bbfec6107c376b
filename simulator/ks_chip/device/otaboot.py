"""Which image of two is started, as the bootloader and ESP-IDF's OTA functions have it.

By the firmware's own model of them (ks_driver.otadata), read from the host and let go of at once:
the application's modules of the same names stay as they are.
"""

import gc
import sys


class Flash:
    """The `flash` of ks_driver.otadata on a CHIP."""

    def __init__(self, chip):
        self._chip = chip
        self._rows = {row[4]: row for row in chip.partitions}

    def size(self, name):
        return self._rows[name][3]

    def read(self, name, offset, count):
        buffer = bytearray(count)
        self._chip.read(self._rows[name][2] + offset, buffer)
        return bytes(buffer)

    def erase(self, name, block):
        self._chip.erase(self._rows[name][2] + block * 4096)

    def program(self, name, offset, data):
        self._chip.program(self._rows[name][2] + offset, data)


def power_on(chip, firmware):
    """The label of the image that starts. Raises OSError when there is none."""
    chip.firmware = firmware
    labels = [row[4] for row in chip.partitions if row[0] == 0]
    if "otadata" not in [row[4] for row in chip.partitions]:
        head = bytearray(1)
        for row in chip.partitions:
            if row[0] == 0:
                chip.read(row[2], head)
        if head != b"\xe9":
            raise OSError(2, "no image")
        return labels[0]
    return borrowed(chip, "host_bootloader", lambda module: module.power_on(Flash(chip)).label())


def booting(chip):
    def label(module):
        active = module.Entries(Flash(chip)).active
        entry = module.Entries(Flash(chip)).found[active or 0]
        return "ota_%d" % ((entry[0] - 1) % 2 if entry else 0)

    if chip.running == "factory":
        return chip.running
    return borrowed(chip, "otadata", label)


def set_boot(chip, row):
    index = int(row[4][-1])
    if not borrowed(chip, "otadata", lambda module: module.set_boot(Flash(chip), index)):
        raise OSError(-0x1503, "ESP_ERR_OTA_VALIDATE_FAILED")


def mark_valid(chip):
    borrowed(chip, "otadata", lambda module: module.mark_valid(Flash(chip)))


def borrowed(chip, name, use):
    kept = {key: sys.modules.pop(key) for key in list(sys.modules) if key.startswith("ks_")}
    sys.path.insert(0, chip.firmware)
    try:
        return use(getattr(__import__("ks_driver." + name), name))
    finally:
        sys.path.pop(0)
        for key in list(sys.modules):
            if key.startswith("ks_"):
                del sys.modules[key]
        sys.modules.update(kept)
        gc.collect()
