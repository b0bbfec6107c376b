"""A server that answers as it is told: well, badly, or without end. Each path is one behaviour."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

CLOSE = "close"

# path -> what is sent, as it is; the connection stays open afterwards unless CLOSE follows
ANSWERS: dict[str, bytes] = {
    "/good": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Kind: good\r\n\r\nhello",
    "/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "/partial": b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello",
    "/says-close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "/old": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/surplus": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n",
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + b"x" * 8000,
    "/too-large": b"HTTP/1.1 200 OK\r\nContent-Length: 8193\r\n\r\n" + b"x" * 8193,
    "/huge-length": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999\r\n\r\nx",
    "/no-length": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "/bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
    "/negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/chunked-with-length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "/no-http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "/bare-newlines": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello\r\n\r\n",
    "/folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "/continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "/no-body-status": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "/long-status": b"HTTP/1.1 200 " + b"O" * 5000 + b"\r\nContent-Length: 0\r\n\r\n",
    "/many-headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 60 + b"Content-Length: 0\r\n\r\n",
}
# path -> what is sent before the connection is closed
CUT: dict[str, bytes] = {
    "/cut-at-once": b"",
    "/cut-in-status": b"HTTP/1.",
    "/cut-in-head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "/cut-in-body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    "/good-then-cut": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}
# path -> what is sent once, and what again and again until the client goes away
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "/endless-headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"),
    "/endless-status": (b"HTTP/1.1 200 ", b"very "),
    "/endless-body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"),
    "/drip-head": (b"HTTP/1.1 200 OK\r\n", b""),
    "/drip-body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b""),
}
DRIP_S = 0.01


class HostileServer:
    """Serves the tables above at `port` and notes what it was asked.

    `/drip-…` sends a byte now and then, for ever; `/silent` nothing; `/echo` the request itself.
    """

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self.answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, as it should, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another one may follow."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                body = await reader.readexactly(int(line.partition(b":")[2]))
        self.requests.append(head + body)
        path = head.split(b" ")[1].decode()
        if path == "/echo":
            said = head + body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        elif path in ANSWERS:
            writer.write(ANSWERS[path])
        elif path in CUT:
            writer.write(CUT[path])
            await writer.drain()
            return False
        elif path in ENDLESS:
            await self.go_on(writer, *ENDLESS[path])
        elif path == "/silent":
            await reader.read()
        await writer.drain()
        return True

    async def go_on(self, writer: asyncio.StreamWriter, first: bytes, again: bytes) -> None:
        writer.write(first)
        while True:
            writer.write(again or b"x")
            await writer.drain()
            await asyncio.sleep(0 if again else DRIP_S)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def hostile_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileServer]:
    """A running server on both of localhost's addresses, where there are two."""
    hostile = HostileServer()
    server = await asyncio.start_server(hostile.serve, "127.0.0.1", 0, ssl=tls)
    hostile.port = server.sockets[0].getsockname()[1]
    servers = [server]
    with contextlib.suppress(OSError):
        servers.append(await asyncio.start_server(hostile.serve, "::1", hostile.port, ssl=tls))
    try:
        yield hostile
    finally:
        for each in servers:
            each.close()
        await hostile.stop()
        for each in servers:
            await each.wait_closed()
