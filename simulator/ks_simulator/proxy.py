"""A network that can fail: a TCP proxy between terminals and their server.

Terminals are told the proxy's address. `outage()` cuts every connection and refuses new ones;
`tamper` sees the bytes that come from the server and may change them, as somebody in the middle
could.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 65536

Tamper = Callable[[bytes], bytes]


class FaultProxy:
    """Forwards to `target_host:target_port`; listens on 127.0.0.1. Start it with `running()`."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = True
        self.tamper: Tamper | None = None
        self.port = 0
        self.connections = 0
        self.refused = 0

    @property
    def url(self) -> str:
        """What terminals call; known once it runs."""
        return f"http://127.0.0.1:{self.port}"

    def retarget(self, host: str, port: int) -> None:
        """Forward new connections to another address."""
        self._target = (host, port)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultProxy]:
        """Listen on a free port until the end of the block."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._server.close()
            self._cut()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._server.wait_closed()

    def outage(self) -> None:
        """Take the network away: open connections end, new ones end at once."""
        self._up = False
        self._cut()

    def restore(self) -> None:
        """Give the network back."""
        self._up = True

    def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        if not self._up:
            self.refused += 1
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._forward(reader, far_writer, None),
                self._forward(far_reader, writer, self._changed),
            )
        except (OSError, asyncio.CancelledError):
            pass  # either side went away, or we do: so do both, below
        finally:
            for end in (writer, far_writer):
                self._open.discard(end)
                end.transport.abort()

    def _changed(self, piece: bytes) -> bytes:
        return self.tamper(piece) if self.tamper else piece

    @staticmethod
    async def _forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Tamper | None
    ) -> None:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(change(piece) if change else piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def flip_once(pattern: bytes) -> Tamper:
    """A tamper that changes one bit of `pattern` wherever it passes within one piece."""
    changed = bytes([pattern[0] ^ 1]) + pattern[1:]
    return lambda piece: piece.replace(pattern, changed)
