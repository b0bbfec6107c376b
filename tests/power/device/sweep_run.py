"""Cut the power in a terminal's life on MicroPython: two VfsLfs2 on flashes that die together.

    micropython tests/power/device/sweep_run.py PHASE CUTS FIRST [MISTAKE]

runs the phase once whole, and then with about as many cuts, before operations and in the middle of
them, at places from operation FIRST on that lie evenly apart; each is followed by a recovery that
has to reach the phase's goal.
MISTAKE is one of cut_planted's classes for records.
The last line is `sweep: N cuts, M failed, of K operations`.
"""

import gc
import sys

import vfs

HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path[:0] = [HERE + "/../../../firmware", HERE + "/../../core", HERE]

import cut_planted  # noqa: E402
import sweep_phases  # noqa: E402
from cut_run import BEFORE, BLOCK_BYTES, TORN, DyingFlash  # noqa: E402
from fake_ports import CRYPTO  # noqa: E402
from sweep_server import Server  # noqa: E402
from sweep_terminal import Terminal  # noqa: E402

from ks_agent.store import Store  # noqa: E402
from ks_driver.files import HostFs  # noqa: E402

ROOT = "/cut"
DATA = ROOT + "/data"
VFS_BLOCKS, DATA_BLOCKS = 40, 64
COUNT = 4


class Power:
    """Operations of both flashes and the vault, and the one at which they die."""

    def __init__(self, dies_at=None, how=BEFORE):
        self.dies_at = dies_at
        self.how = how
        self.operations = 0
        self.dead = False


class Flash(DyingFlash):
    """One of two flashes, of `blocks` blocks."""

    def __init__(self, memory, power):
        DyingFlash.__init__(self, memory)
        self.blocks = len(memory) // BLOCK_BYTES
        self._power = power

    def ioctl(self, operation, block):
        if operation == COUNT:
            return self.blocks
        return DyingFlash.ioctl(self, operation, block)

    def _count(self, where, data):
        power = self._power
        self.dead = power.dead
        if not self.dead:
            self._is_torn = power.operations == power.dies_at and power.how == TORN
            self.dead = power.dead = power.operations == power.dies_at and power.how == BEFORE
            power.operations += 1

    def _lasting(self, count):
        if self._is_torn:
            self.dead = self._power.dead = True
            return self._power.dies_at * 7919 % count
        return count


class Vault:
    """Each commit is one operation; a dead one answers as flash does."""

    def __init__(self, values, power):
        self.values = values
        self._power = power

    def get(self, name):
        return self.values.get(name)

    def set(self, name, value):
        self._commit()
        self.values[name] = bytes(value)

    def erase(self, name):
        if name in self.values:
            self._commit()
            del self.values[name]

    def _commit(self):
        power = self._power
        if not power.dead:
            power.dead = power.operations == power.dies_at
            power.operations += 1
        if power.dead:
            raise OSError(5)


# A file that the garbage collector closes looks for its file system, so that one has to be there.
buried = []


class Hardware:
    def __init__(self, code, data, values, power):
        self.power = power
        self.flashes = (Flash(code, power), Flash(data, power))
        self.partition = self.flashes[1]
        self.vault = Vault(values, power)
        self.fs = HostFs(ROOT)
        self.formatted = False
        self._mounted = False

    @property
    def dead(self):
        return self.power.dead

    def bootloader(self):
        """No partitions for images here."""
        return None

    def mount(self):
        self.frozen()
        self.attach_data()
        return self.fs

    def frozen(self):
        self.unmount()
        self._mounted = True
        vfs.mount(vfs.VfsLfs2(self.flashes[0], mtime=False), ROOT)

    def attach_data(self):
        """The inner one first: the first mount point that fits is taken."""
        data = vfs.VfsLfs2(self.partition, mtime=False)
        vfs.umount(ROOT)
        vfs.mount(data, DATA)
        vfs.mount(vfs.VfsLfs2(self.flashes[0], mtime=False), ROOT)

    def make_data(self):
        try:
            vfs.VfsLfs2(self.partition, mtime=False)
        except OSError:
            self.formatted = True
            vfs.VfsLfs2.mkfs(self.partition, mtime=False)
        else:
            raise AssertionError("a partition that can be mounted is formatted")

    def blank_data(self):
        memory = self.partition.memory
        for start in range(0, len(memory), BLOCK_BYTES):
            memory[start : start + BLOCK_BYTES] = erased(1)

    def unmount(self):
        if self._mounted:
            self._mounted = False
            for path in (ROOT, DATA):
                try:
                    vfs.umount(path)
                except OSError:
                    pass  # the flash died before it was mounted

    def off(self):
        """What is left of the memories."""
        self.unmount()
        self.power.dead = True
        memories = [flash.memory for flash in self.flashes]
        for flash in self.flashes:
            flash.dead = True
            flash.memory = None
            buried.append(flash)
        gc.collect()
        return memories


class Start:
    """From where a phase begins: memories, the vault, the server, the time, what was seen."""

    def __init__(self, hardware, terminal, told):
        terminal.close()
        self.memories = [bytes(memory) for memory in hardware.off()]
        self.values = dict(hardware.vault.values)
        self.server = terminal.server.copy()
        self.elapsed_ms = terminal.elapsed_ms
        self.told = list(told)

    def hardware(self, power):
        code, data = [bytearray(memory) for memory in self.memories]
        return Hardware(code, data, dict(self.values), power)

    def facts(self):
        counter = int(self.values.get("counter") or b"0")
        return {"key": self.values.get("key"), "counter": counter}


def erased(blocks):
    return bytearray(b"\xff" * BLOCK_BYTES * blocks)


def prepared(phase):
    memories = erased(VFS_BLOCKS), erased(DATA_BLOCKS)
    for memory in memories:
        vfs.VfsLfs2.mkfs(Flash(memory, Power()), mtime=False)
    hardware = Hardware(memories[0], memories[1], {}, Power())
    phase.setup(hardware, CRYPTO)
    phase.start()
    told = []

    def watch(kind, what):
        if kind in ("try", "beep"):
            told.append((kind, what))

    terminal = Terminal(hardware, Server(), 0, "prepare", watch, CRYPTO)
    phase.prepare(terminal)
    return Start(hardware, terminal, told)


def run(phase, start, power, label, before):
    """A run to its goal, checked, or to its death; what it leaves."""
    hardware = start.hardware(power)
    told = list(start.told)

    def watch(kind, what):
        if kind != "server" and not power.dead:
            told.append((kind, what))

    terminal = Terminal(hardware, start.server.copy(), start.elapsed_ms, label, watch, CRYPTO)
    terminal.act = lambda: phase.act(terminal)
    try:
        live(phase, terminal, before)
        sweep_phases.check_once(phase, told)
        phase.check(terminal, told)
        terminal.check_log()
    except Exception:
        if not power.dead:
            hardware.off()
            raise
    return Start(hardware, terminal, told)


def live(phase, terminal, before):
    terminal.power_on()
    seen = [0]

    def is_done():
        if terminal.boots != seen[0]:
            seen[0] = terminal.boots
            sweep_phases.check_boot(terminal, phase, before)
        return phase.is_done(terminal)

    terminal.run(is_done)


def main(name, cuts, first, mistake=None):
    if mistake is not None:
        Store.write_bytes = getattr(cut_planted, mistake).write_bytes
    phase = sweep_phases.phase_named(name)
    start = prepared(phase)
    whole = Power()
    phase.start()
    run(phase, start, whole, "first", start.facts())
    count = failed = 0
    every = max((whole.operations - first) * 2 // cuts, 1)
    for operation in range(first + every // 2, whole.operations, every):
        for how in (BEFORE, TORN):
            count += 1
            phase.start()
            power = Power(operation, how)
            left = run(phase, start, power, "first", start.facts())
            assert power.dead
            gc.collect()
            try:
                phase.resume()
                run(phase, left, Power(), "after %d %d" % (operation, how), start.facts())
            except Exception as error:
                failed += 1
                print("FAILED", name, operation, how, [kind for kind, _ in left.told][-4:])
                sys.print_exception(error, sys.stdout)
    print("sweep: %d cuts, %d failed, of %d operations" % (count, failed, whole.operations))
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
