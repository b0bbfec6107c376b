"""A reader for terminals on a computer: lines on stdin, `PUNCH <credential> [METHOD] [KEY]`.

Words are percent-escaped as those of EVENT lines. Each such line has one answer, an event `punch`
or `punch_refused`; any other line means nothing, and so does one that stdin ends in.
"""

import asyncio
import os
import sys
from binascii import unhexlify

from ks_agent import utf8

from .reader import Reader

LINE_MAX_BYTES = 256
PIECE_BYTES = 1024
STDIN = 0
NEWLINE = 10
UNREADABLE = ("",)


class PolledStdin:
    """Stdin on MicroPython, a byte at a time: more may block.

    MemoryError leaves the byte where it is.
    """

    def __init__(self):
        import select

        self._file = sys.stdin.buffer
        self._stream = asyncio.StreamReader(self._file)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._byte = bytearray(1)

    async def read(self):
        """The next bytes; none at the end."""
        for _ in self._poll.ipoll(0):
            return self._byte if self._file.readinto(self._byte) else b""
        return self._byte if await self._stream.readinto(self._byte) else b""


class WatchedStdin:
    """Stdin on CPython. It stays blocking: a terminal shares that with who else writes to it."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()  # type: ignore[attr-defined]

    async def read(self):
        # Watched anew each time: what was said of it before the last read may not be true any more.
        ready = asyncio.Event()
        try:
            self._loop.add_reader(STDIN, ready.set)
        except PermissionError:  # a file, which is always ready
            return os.read(STDIN, PIECE_BYTES)
        try:
            await ready.wait()
        finally:
            self._loop.remove_reader(STDIN)
        return os.read(STDIN, PIECE_BYTES)


Stdin = PolledStdin if sys.implementation.name == "micropython" else WatchedStdin


def start(take, show, woken):
    """The tasks that read stdin, for ks_driver.reader's `take`, `show` and `woken`.

    None where it is closed: another file has its number soon.
    """
    try:
        os.stat("/dev/stdin")
    except OSError:
        return ()
    if sys.stdin is None:  # CPython's own files have the number already
        return ()
    source = Stdin()
    reader = Reader(take, show, woken, asyncio.Event())
    reading = asyncio.create_task(read_punches(source, reader))
    return reading, asyncio.create_task(reader.run())


async def read_punches(source, reader):
    """Put what the lines say into the `reader`, until they end. Waits while it is full."""
    line = bytearray(LINE_MAX_BYTES + 1)
    size = 0
    try:
        while True:
            try:
                piece = await source.read()
            except MemoryError:
                await asyncio.sleep(0)
                continue
            if not piece:
                return
            for byte in piece:
                if byte != NEWLINE:
                    if size < len(line):
                        line[size] = byte
                        size += 1
                    continue
                try:
                    punch = punch_of(bytes(line[:size]))
                except MemoryError:
                    punch = UNREADABLE
                size = 0
                if punch is not None:
                    await reader.room()
                    reader.put(punch)
    except OSError:
        return


def punch_of(line):
    """What a line says: (credential, method, key) as far as given, an empty credential where they
    cannot be read; None where it is no punch."""
    words = line.split(b" ")
    if words[0] != b"PUNCH":
        return None
    if len(line) > LINE_MAX_BYTES or not 2 <= len(words) <= 4:
        return UNREADABLE
    try:
        return tuple([_unescape(word) for word in words[1:]])
    except ValueError:
        return UNREADABLE


def _unescape(word):
    first, *escaped = word.split(b"%")
    for piece in escaped:
        if len(piece) < 2:
            raise ValueError
        first += unhexlify(piece[:2]) + piece[2:]
    text = utf8.text(first)
    if text is None:
        raise ValueError
    return text
