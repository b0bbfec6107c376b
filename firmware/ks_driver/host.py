"""The agent's ports on a computer: CPython or MicroPython's unix port, files in one folder."""

import gc
import os
import sys
import time

from ks_agent.ports import Ports
from ks_agent.store import STATE

from .files import HostFs, HostVault
from .leaves import unload

# The crypto port's, and no record: it tells by itself whether it is whole.
TABLE_PATH = STATE + "server_key.bin"
MICROPYTHON = sys.implementation.name == "micropython"


class TicksClock:
    """Milliseconds from MicroPython's ticks, which wrap after days: to be read once a day."""

    def __init__(self, build_ms):
        self.build_ms = build_ms
        self._last = time.ticks_ms()
        self._passed_ms = 0

    def ticks_ms(self):
        now = time.ticks_ms()
        self._passed_ms += time.ticks_diff(now, self._last)
        self._last = now
        return self._passed_ms


class MonotonicClock:
    """Milliseconds from CPython's monotonic clock."""

    def __init__(self, build_ms):
        self.build_ms = build_ms
        self._start_ns = time.monotonic_ns()

    def ticks_ms(self):
        return (time.monotonic_ns() - self._start_ns) // 1000000


HostClock = TicksClock if MICROPYTHON else MonotonicClock


class HostRng:
    def random_bytes(self, count):
        return os.urandom(count)

    def is_ready(self):
        return True


class HostPartition:
    """`running`: the slot that stage 0 started, "a" or "b", or "" in recovery; `stage0`: stage 0's
    version.
    """

    images = None

    def __init__(self, running, stage0=1):
        self.running = running
        self.stage0 = stage0


class HostBoard:
    """A computer as a board: what the terminal shows becomes lines `EVENT name KEY=value ...`.

    Values are percent-escaped (space, `%`, control characters and what is not ASCII), so that a
    line splits at its spaces.
    """

    name = None

    def __init__(self, write=print):
        self._write = write

    def temperature_c(self):
        return None

    def memory_used_bytes(self):
        if MICROPYTHON:
            return gc.mem_alloc()
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def memory_free_bytes(self):
        """What is left once everything is collected; None where memory is not scarce."""
        if not MICROPYTHON:
            return None
        gc.collect()
        return gc.mem_free()

    def reader_ok(self):
        """Whether the reader answers; True where there is none."""
        return True

    def unload(self, names):
        if MICROPYTHON:
            unload(names)

    def inflate(self, file, window_bits):
        from .inflate import Inflater

        return Inflater(file, window_bits)

    def show(self, event, detail):
        words = ["EVENT", escape(event)]
        for key in sorted(detail):
            words.append(escape(key) + "=" + escape(str(detail[key])))
        self._write(" ".join(words))


def escape(text):
    """Percent-escaped as in a URL: `%` and each byte that is not a visible ASCII character."""
    pieces = []
    for byte in text.encode():
        pieces.append(chr(byte) if 32 < byte < 127 and byte != 37 else "%%%02X" % byte)
    return "".join(pieces)


def build_ports(root, slot, crypto, board=None, stage0=1):
    """Ports of a terminal whose files lie in the folder `root`, running from `slot`, which a
    stage 0 of the version `stage0` started.
    """
    from .build import built_ms

    fs = HostFs(root)
    return Ports(
        clock=HostClock(built_ms(fs, slot)),
        rng=HostRng(),
        fs=fs,
        vault=HostVault(root + "/nvs"),
        partition=HostPartition(slot, stage0),
        crypto=crypto,
        board=board or HostBoard(),
    )
