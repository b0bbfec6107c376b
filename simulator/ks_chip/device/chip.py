"""What the fakes of a chip stand on: the flash file, the resets, and the line to whoever holds it.

One Chip is made by start.py and lies among the builtins as CHIP, where the firmware's clearing of
`sys.modules` does not reach it: as on a real chip, its modules can always be imported again.
"""

import binascii
import os
import select
import socket
from array import array

import ffi

BLOCK_BYTES = 4096
PIECE_BYTES = 256
TABLE_OFFSET = 0x8000
ENTRY_BYTES = 32
ENTRY_MAGIC = b"\xaa\x50"
# Exit statuses. The watchdog's is SIGALRM.
RESET, POWER_CUT, NO_SYSTEM = 75, 77, 78
PWRON_RESET, HARD_RESET, WDT_RESET = 1, 2, 3


class Chip:
    """`flash_path`: see start.py. Everything lasting is in that file, and in PATH.rtc until the
    power goes.
    """

    def __init__(self, flash_path, cause, control_port):
        libc = ffi.open(None)
        self._exit = libc.func("v", "_exit", "i")
        self._setitimer = libc.func("i", "setitimer", "iPP")
        self.file = open(flash_path, "r+b")  # noqa: SIM115 -- as long as the chip lives
        self.cause = cause
        self.cut_after = -1
        self.operations = 0
        self.handlers = {}
        self._modules = {}
        self._blank = memoryview(b"\xff" * BLOCK_BYTES)
        self._piece = memoryview(bytearray(PIECE_BYTES))
        self.last = {}
        self._socket, self._buffer = None, b""
        self.rtc = Kept(flash_path + ".rtc", cause == PWRON_RESET)
        self.partitions = self._read_table()
        if control_port:
            self._socket = socket.socket()
            self._socket.connect(socket.getaddrinfo("127.0.0.1", control_port)[0][-1])
            self._begin()

    def end(self, status):
        """As a reset does it: nothing runs after it."""
        self.event("operations %d" % self.operations)
        self._exit(status)

    def bring(self, name, names):
        """Fill the names of a module of the chip: the same objects however often it is imported."""
        if name not in self._modules:
            self._modules[name] = __import__("chip_" + name)
        names.update(self._modules[name].__dict__)

    def watchdog(self, ms):
        """Reset, unless called again within that time."""
        self._setitimer(0, array("l", [0, 0, ms // 1000, ms % 1000 * 1000]), None)

    # The flash: what is programmed can only clear bits.

    def read(self, address, buffer):
        self.file.seek(address)
        self.file.readinto(buffer)

    def program(self, address, data):
        """Takes nothing of the heap: a chip's flash does not either."""
        data = memoryview(data)[: self._counted(len(data))]
        for start in range(0, len(data), PIECE_BYTES):
            new = data[start : start + PIECE_BYTES]
            old = self._piece[: len(new)]
            self.read(address + start, old)
            for index in range(len(new)):
                old[index] &= new[index]
            self.file.seek(address + start)
            self.file.write(old)
        self._spend()

    def erase(self, address, size=BLOCK_BYTES):
        for start in range(address, address + size, BLOCK_BYTES):
            count = self._counted(BLOCK_BYTES)
            self.file.seek(start)
            self.file.write(self._blank[:count])
            self._spend()

    def _counted(self, size):
        self.operations += 1
        torn = 0 <= self.cut_after < self.operations
        return size // 2 if torn else size

    def _spend(self):
        if 0 <= self.cut_after < self.operations:
            self.event("cut")
            self._exit(POWER_CUT)

    def _read_table(self):
        """[(type, subtype, offset, size, label, encrypted)], none where there is no table."""
        found = []
        entry = bytearray(ENTRY_BYTES)
        for number in range(95):
            self.read(TABLE_OFFSET + number * ENTRY_BYTES, entry)
            if entry[:2] != ENTRY_MAGIC:
                break
            offset = int.from_bytes(entry[4:8], "little")
            size = int.from_bytes(entry[8:12], "little")
            label = bytes(entry[12:28]).rstrip(b"\0").decode()
            found.append((entry[2], entry[3], offset, size, label, bool(entry[28] & 1)))
        return found

    # The line to whoever holds the chip.

    def on(self, word, handler):
        """`handler(words)` is called for lines of control that begin with the word."""
        self.handlers[word] = handler
        for line in self.last.pop(word, ()):
            handler(line)

    def event(self, text):
        if self._socket is not None:
            try:
                self._socket.write(text + "\n")
            except OSError:
                pass

    def poll(self):
        """Take what has come over the line: from here, handlers play the interrupts."""
        if self._socket is None:
            return
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while self._socket is not None and poller.poll(0):
            self._receive()

    def stream(self):
        """The socket, for who waits for it; None without one."""
        return self._socket

    def _begin(self):
        """What is so at the start comes first, up to the line `go`."""
        self._gone = False
        self.on("go", self._go)
        while not self._gone and self._socket is not None:
            self._receive()

    def _go(self, words):
        self._gone = True

    def _receive(self):
        data = self._socket.recv(512)
        if not data:
            self._socket.close()
            self._socket = None
            return
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        for line in lines:
            self._obey(line.decode().split(" "))

    def _obey(self, words):
        if words[0] == "cut":
            self.cut_after = self.operations + int(words[2])
        elif words[0] in self.handlers:
            self.handlers[words[0]](words)
        elif words[0]:  # the module that it is for has not been imported yet
            self.last.setdefault(words[0], []).append(words)


class Kept:
    """Memory of the RTC: lost with the power, and with nothing else."""

    def __init__(self, path, is_cold):
        self._path = path
        self.offset_s, self.memory = None, b""
        if is_cold:
            try:
                os.remove(path)
            except OSError:
                pass
            return
        try:
            with open(path) as file:
                offset, memory = file.read().split(" ")
            self.offset_s = int(offset) if offset else None
            self.memory = binascii.unhexlify(memory)
        except (OSError, ValueError):
            pass

    def keep(self):
        offset = "" if self.offset_s is None else str(self.offset_s)
        with open("/.host" + self._path, "w") as file:  # hidden by the firmware's file system
            file.write(offset + " " + binascii.hexlify(self.memory).decode())
