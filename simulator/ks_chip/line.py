"""The serial line between host and chip: a pty with a link to it, or a TCP port (`socket://`).

A host that opens and closes the port is seen on both; its modem lines (DTR, RTS) are on neither.
What the chip says while nobody has the port open is lost, as on a cable that ends nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import tty
from pathlib import Path
from typing import Final, Protocol

READ_BYTES: Final = 65_536
# What waits for a host that has the port open and does not read; more of it is lost.
WAITING_BYTES: Final = 1024 * 1024
# How soon it is seen that a host opened the pty, which no event tells.
LOOK_S: Final = 0.02


class Listener(Protocol):
    """Who hears what the host does."""

    def received(self, data: bytes) -> None: ...

    def opened(self) -> None: ...

    def closed(self) -> None: ...


class Line(Protocol):
    """A serial line of either kind."""

    @property
    def url(self) -> str:
        """What a host opens."""
        ...

    @property
    def is_plugged(self) -> bool: ...

    async def plug(self, listener: Listener) -> None: ...

    def unplug(self) -> None: ...

    def write(self, data: bytes) -> None: ...


class PtyLine:
    """A pty, and a symbolic link to it that stays the same over unplugging."""

    def __init__(self, link: Path) -> None:
        self.link = link.absolute()
        self._master = -1
        self._listener: Listener | None = None
        self._is_open = False
        self._waiting = bytearray()
        self._look: asyncio.TimerHandle | None = None

    @property
    def url(self) -> str:
        return str(self.link)

    @property
    def is_plugged(self) -> bool:
        return self._master >= 0

    async def plug(self, listener: Listener) -> None:
        """Make the pty. Raises OSError where the link cannot be made."""
        if self.is_plugged:
            return
        self._listener = listener
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)
            self._point_link_to(os.ttyname(slave))
        except OSError:
            os.close(self._master)
            self._master = -1
            raise
        finally:
            os.close(slave)
        os.set_blocking(self._master, False)
        self._look_for_host()

    def unplug(self) -> None:
        """The host sees the port vanish."""
        if not self.is_plugged:
            return
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._stop()
        os.close(self._master)
        self._master = -1
        self.link.unlink(missing_ok=True)
        self._closed()

    def write(self, data: bytes) -> None:
        if not self._is_open and self.is_plugged:
            self._look_for_host()  # it may just have come
        if not self._is_open:
            return
        if len(self._waiting) + len(data) > WAITING_BYTES:
            return
        self._waiting += data
        self._flush()

    def _point_link_to(self, name: str) -> None:
        self.link.parent.mkdir(parents=True, exist_ok=True)
        if self.link.exists() and not self.link.is_symlink():
            raise FileExistsError(17, "is there, and is no link", str(self.link))
        new = self.link.with_name(f".{self.link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(name)
        new.replace(self.link)

    def _look_for_host(self) -> None:
        """A master whose slave nobody has open is hung up, all the time."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        hung_up = any(events & select.POLLHUP for _, events in poll.poll(0))
        loop = asyncio.get_running_loop()
        if hung_up:
            self._look = loop.call_later(LOOK_S, self._look_for_host)
            return
        self._is_open = True
        if self._listener is not None:
            self._listener.opened()
        loop.add_reader(self._master, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            if self._listener is not None:
                self._listener.received(data)
            return
        self._stop()
        self._closed()
        self._look_for_host()

    def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)

    def _closed(self) -> None:
        self._waiting.clear()
        if self._is_open:
            self._is_open = False
            if self._listener is not None:
                self._listener.closed()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                del self._waiting[: os.write(self._master, self._waiting)]
        if self._waiting:
            loop.add_writer(self._master, self._flush)
        else:
            loop.remove_writer(self._master)


class TcpLine:
    """A TCP port for one host at a time; another one's connection is closed at once."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._host: _TcpHost | None = None
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        return f"socket://{self.host}:{self.port}"

    @property
    def is_plugged(self) -> bool:
        return self._server is not None

    async def plug(self, listener: Listener) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        if self.is_plugged:
            return
        self._listener = listener
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _TcpHost(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        """The host sees its connection end, and no other is let in."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._host is not None:
            self._host.abort()

    def write(self, data: bytes) -> None:
        if self._host is not None:
            self._host.write(data)

    def came(self, host: _TcpHost) -> bool:
        if self._host is not None or self._server is None:
            return False
        self._host = host
        if self._listener is not None:
            self._listener.opened()
        return True

    def said(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener.received(data)

    def went(self, host: _TcpHost) -> None:
        if self._host is host:
            self._host = None
            if self._listener is not None:
                self._listener.closed()


class _TcpHost(asyncio.Protocol):
    def __init__(self, line: TcpLine) -> None:
        self._line = line
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._line.came(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self._line.said(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._line.went(self)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        if self._transport.get_write_buffer_size() + len(data) <= WAITING_BYTES:
            self._transport.write(data)

    def abort(self) -> None:
        assert self._transport is not None
        self._transport.abort()
