"""The serial line of a chip as a stream for the console: its stdin and stdout.

On an ESP32, `read(n)` of sys.stdin.buffer comes back with n bytes and not before, and what has not
been fetched waits in 260 bytes (ports/esp32/mphalport.c): bytes are taken one by one while there
are any.
"""

import asyncio
import select
import sys

PIECE_BYTES = 128


class StdStream:
    def __init__(self):
        self._in = sys.stdin.buffer
        self._out = sys.stdout.buffer
        self._reader = asyncio.StreamReader(self._in)
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)

    async def read(self):
        """At least one byte; b"" at the end. OSError where the line is gone."""
        piece = bytearray(await self._reader.read(1))
        while piece and len(piece) < PIECE_BYTES and self._poll.poll(0):
            piece.extend(self._in.read(1))
        return bytes(piece)

    def write(self, data):
        self._out.write(data)
