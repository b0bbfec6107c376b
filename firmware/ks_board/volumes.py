"""Mounts flash partitions on a chip, and resets it. Lies beside boot.py there, as volumes.py.

A partition is never formatted while it holds a superblock of LittleFS: when it doesn't mount all
the same, its data may still be saved, and a person has to. It is formatted when neither block of
the superblock's pair has a valid one: new flash, or a power cut while it was formatted.
Imports nothing of ours: slots may be damaged.
"""

import binascii
import os
import sys
import time

LABEL = "data"
PATH = "/data"
PROVISIONED = "/factory.toon"
CRASH_PAUSE_MS = 5000
# Nothing can be started: a person may look at the console, and from time to time it tries again.
NOTHING_PAUSE_MS = 3600000
DORMANT, RESTART, NOTHING = 0, 75, 78

# Tags of LittleFS's metadata (its SPEC.md): type, id and size in 11, 10 and 10 bits.
SUPERBLOCK = 0x0FF
CRC_TYPES, CRC_TYPE = 0x780, 0x500
DELETED = 0x3FF
MAGIC = b"littlefs"
BLOCK_COUNT, BLOCK_SIZE = 4, 5


def start():
    """Mount the data's partition; gives what ends this start, by the status of boot.py (`leaving`).

    Raises ImportError where this is no chip. Where the partition cannot be mounted, it never comes
    back: after boot.py a chip would go on to its prompt.
    """
    import esp32  # type: ignore[import-not-found, unused-ignore]
    import machine

    leave = leaving(machine.reset, time.sleep_ms)  # there may be no room for these at the end
    close_console()
    try:
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=LABEL)
        if not found:
            raise OSError(19, "no partition " + LABEL)
        mount(found[0], PATH)
    except OSError as error:
        print("stage 0:", error)
        leave(NOTHING)
    this = sys.modules.pop("volumes", None)  # of boot.py; the application needs the room
    if this is not None:
        this.__dict__.clear()
    return leave


def close_console():
    """Nobody interrupts stage 0 of a provisioned terminal, to be at the prompt then."""
    import micropython

    try:
        os.stat(PROVISIONED)
    except OSError:
        return
    micropython.kbd_intr(-1)


def mount(device, path):
    """A partition's LittleFS at a path; formatted where there has never been one."""
    import vfs

    def attach():
        vfs.mount(vfs.VfsLfs2(device, mtime=False), path)  # type: ignore[abstract]

    settle(device, attach, lambda: vfs.VfsLfs2.mkfs(device))


def settle(device, attach, make):
    """`attach()`, which raises OSError where there is no filesystem; `make()` makes one.

    `device` is a block device of MicroPython. Raises OSError for what must not be formatted.
    """
    try:
        attach()
    except OSError:
        if holds_superblock(device):
            raise
        make()
        attach()


def holds_superblock(device):
    """Whether one of the first two blocks has a valid superblock."""
    block = bytearray(device.ioctl(BLOCK_SIZE, 0))
    for number in (0, 1):
        device.readblocks(number, block)
        if has_superblock(block):
            return True
    return False


def has_superblock(block):
    """Whether a metadata block has one in a commit that is whole by its CRC."""
    crc = binascii.crc32(block[:4])
    offset, tag, found = 4, 0xFFFFFFFF, False
    while offset + 4 <= len(block):
        crc = binascii.crc32(block[offset : offset + 4], crc)
        tag ^= int.from_bytes(block[offset : offset + 4], "big")
        kind = tag >> 20 & 0x7FF
        size = 0 if tag & DELETED == DELETED else tag & DELETED
        end = offset + 4 + size
        if tag >> 31 or end > len(block):
            return False
        data = bytes(block[offset + 4 : end])
        if kind & CRC_TYPES == CRC_TYPE:
            if int.from_bytes(data[:4], "little") != crc ^ 0xFFFFFFFF:
                return False
            if found:
                return True
            tag ^= (kind & 1) << 31
            crc = 0
        else:
            crc = binascii.crc32(data, crc)
            found = found or (kind == SUPERBLOCK and data == MAGIC)
        offset = end
    return False


def leaving(reset, sleep_ms):
    """What a computer's caller does with the exit status of boot.py: `leave(status)`, which never
    comes back. A reset, since native code is not let go of otherwise.

    It needs nothing of this module: `start` lets go of that.
    """
    dormant, restart, nothing = DORMANT, RESTART, NOTHING
    crash_ms, nothing_ms = CRASH_PAUSE_MS, NOTHING_PAUSE_MS

    def leave(status):
        if status == dormant:
            while True:
                sleep_ms(nothing_ms)
        if status == nothing:
            print("stage 0: nothing can be started; again in an hour")
            sleep_ms(nothing_ms)
        elif status != restart:
            sleep_ms(crash_ms)
        reset()

    return leave
