"""Cut the power on MicroPython: VfsLfs2 on a flash in memory that dies at an operation.

    micropython tests/power/device/cut_run.py SCENARIO EVERY FIRST [MISTAKE]

runs the scenario once whole, and then with a cut at each EVERY-th operation from FIRST on, before
it and in the middle of it. A dead flash answers each call with -5, as a failing chip does: what the
program does then changes nothing any more. The last two lines are `run: ` and a checksum over the
operations of the whole run, and `power: N cuts, M failed, of K operations`.
"""

import binascii
import gc
import sys

import vfs

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path[:0] = [HERE + "/../../../firmware", HERE]

import cut_allow_lists  # noqa: E402
import cut_journals  # noqa: E402
import cut_planted  # noqa: E402
import cut_records  # noqa: E402

from ks_driver.files import HostFs  # noqa: E402

BLOCK_BYTES = 4096
BLOCKS = 64
MOUNT = "/cut"
DEAD = -5
INIT, _, _, COUNT, SIZE, ERASE = range(1, 7)
BEFORE, TORN = 0, 1


class DyingFlash:
    """Blocks in memory; the power goes at operation `dies_at`, None for never."""

    def __init__(self, memory, dies_at=None, how=BEFORE):
        self.memory = memory
        self.operations = 0
        self.dies_at = dies_at
        self.dead = False
        self.digest = 0
        self._how = how

    def readblocks(self, block, buffer, offset=0):
        if self.dead:
            return DEAD
        start = block * BLOCK_BYTES + offset
        buffer[:] = self.memory[start : start + len(buffer)]
        return 0

    def writeblocks(self, block, buffer, offset=0):
        start = block * BLOCK_BYTES + offset
        self._count(b"%d %d " % (block, offset), buffer)
        if self.dead:
            return DEAD
        count = self._lasting(len(buffer))
        for index in range(count):
            if buffer[index] & ~self.memory[start + index]:
                raise AssertionError("a bit was to rise by programming")
        self.memory[start : start + count] = buffer[:count]
        return DEAD if self.dead else 0

    def ioctl(self, operation, block):
        if operation == COUNT:
            return BLOCKS
        if operation == SIZE:
            return BLOCK_BYTES
        if operation == ERASE:
            return self._erase(block)
        return 0

    def _erase(self, block):
        self._count(b"%d " % block, b"")
        if self.dead:
            return DEAD
        count = self._lasting(BLOCK_BYTES)
        start = block * BLOCK_BYTES
        self.memory[start : start + count] = b"\xff" * count
        return DEAD if self.dead else 0

    def _count(self, where, data):
        """One more operation; the flash is dead before it, when it is to be."""
        if not self.dead:
            self.digest = binascii.crc32(data, binascii.crc32(where, self.digest))
            self.dead = self.operations == self.dies_at and self._how == BEFORE
            self.operations += 1

    def _lasting(self, count):
        """How many bytes of this operation happen."""
        if self.operations - 1 == self.dies_at:
            self.dead = True
            return self.dies_at * 7919 % count
        return count


# A file that the garbage collector closes looks for its file system, so that one has to be there.
buried = []


def mounted(flash):
    vfs.mount(vfs.VfsLfs2(flash, mtime=False), MOUNT)
    return HostFs(MOUNT)


def unmount(flash):
    vfs.umount(MOUNT)
    flash.dead = True
    flash.memory = None
    gc.collect()


def whole_run(scenario, image):
    """How many operations, and a checksum over them."""
    flash = DyingFlash(bytearray(image))
    scenario.run(mounted(flash), nobody)
    unmount(flash)
    return flash.operations, flash.digest


def cut(scenario, image, operation, how):
    """What was told before the power went, and the memory that it left."""
    flash = DyingFlash(bytearray(image), operation, how)
    fs = mounted(flash)
    told = []

    def note(what):
        if not flash.dead:
            told.append(what)

    try:
        scenario.run(fs, note)
    except OSError:
        if not flash.dead:
            raise
    assert flash.dead, "there was no such operation"
    memory = flash.memory
    unmount(flash)
    buried.append(flash)
    return told, memory


def recovered(scenario, told, memory):
    flash = DyingFlash(memory)
    fs = mounted(flash)
    scenario.recover(fs, told, nobody)
    unmount(flash)


def nobody(what):
    pass


SCENARIOS = cut_records.SCENARIOS + cut_journals.SCENARIOS + cut_allow_lists.SCENARIOS


def found(name, mistake=None):
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario(getattr(cut_planted, mistake)) if mistake else scenario()
    raise ValueError("no scenario: " + name)


def prepared(scenario):
    """The flash's content when the scenario begins."""
    memory = bytearray(b"\xff" * BLOCK_BYTES * BLOCKS)
    flash = DyingFlash(memory)
    vfs.VfsLfs2.mkfs(flash, mtime=False)
    scenario.prepare(mounted(flash))
    unmount(flash)
    return memory


def main(name, every, first, mistake=None):
    scenario = found(name, mistake)
    image = prepared(scenario)
    operations, digest = whole_run(scenario, image)
    count = failed = 0
    for operation in range(first, operations, every):
        for how in (BEFORE, TORN):
            count += 1
            told, left = cut(scenario, image, operation, how)
            try:
                recovered(scenario, told, left)
            except Exception as error:
                failed += 1
                print("FAILED", name, operation, how, told[-2:])
                sys.print_exception(error, sys.stdout)
                vfs.umount(MOUNT)
    print("run: %08x" % digest)
    print("power: %d cuts, %d failed, of %d operations" % (count, failed, operations))
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
