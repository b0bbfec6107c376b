"""Load on a server: finished HTTP requests over connections that stay open.

Costs the machine as little as possible beside the server: nothing is parsed but the length of an
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import cast

LIMIT_S = 120
_LENGTH = b"content-length: "
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an HTTP answer."""

    status: int
    body: bytes


def post(path: str, host: str, content_type: str, body: bytes) -> bytes:
    """A request as the terminal's HTTP client writes it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {content_type}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last one is whole."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(_HEAD_END)
        at = buffer.find(_LENGTH, 0, end)
        if end < 0 or at < 0:
            self._buffer = buffer
            return
        start = end + len(_HEAD_END)
        length = int(buffer[at + len(_LENGTH) : buffer.index(b"\r\n", at)])
        if len(buffer) < start + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self._load.answered(self._number, Answer(int(buffer[9:12]), buffer[start:]))
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)

    def next(self) -> None:
        assert self._transport is not None
        following = self._load.following()
        if following is not None:
            self._number, request = following
            self._transport.write(request)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()


class Load:
    """Connections to one server, open for the length of the block."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._host = host
        self._port = port
        self._count = connections
        self._connections: list[_Connection] = []
        self._requests: Iterator[tuple[int, bytes]] = iter(())
        self._answers: list[Answer | None] = []
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Load:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self._host, self._port
            )
            self._connections.append(connection)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done = None
        for connection in self._connections:
            connection.close()

    async def send(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send all of them, each connection one at a time; the answers in their order.

        Raises OSError when a connection is lost.
        """
        self._requests = iter(enumerate(requests))
        self._answers = [None] * len(requests)
        self._left = len(requests)
        self._done = asyncio.get_running_loop().create_future()
        for connection in self._connections:
            connection.next()
        async with asyncio.timeout(LIMIT_S):
            await self._done
        return [answer for answer in self._answers if answer is not None]

    def following(self) -> tuple[int, bytes] | None:
        return next(self._requests, None)

    def answered(self, number: int, answer: Answer) -> None:
        self._answers[number] = answer
        self._left -= 1
        if not self._left and self._done is not None:
            self._done.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error or ConnectionResetError("the server closed"))
