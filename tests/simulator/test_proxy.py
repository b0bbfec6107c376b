"""The failing network: forwards, cuts, changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from ks_simulator.proxy import FaultProxy, flip_once


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[FaultProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, FaultProxy("127.0.0.1", port).running() as proxy:
        yield proxy


async def say(proxy: FaultProxy, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(text)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.transport.abort()


async def test_bytes_go_through_both_ways() -> None:
    async with echo_behind_proxy() as proxy:
        assert await say(proxy, b"x" * 300_000) == b"x" * 300_000


async def test_an_outage_cuts_open_connections_and_refuses_new_ones() -> None:
    async with echo_behind_proxy() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.outage()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        with suppress(ConnectionError):
            assert await say(proxy, b"b") == b""
        proxy.restore()
        assert await say(proxy, b"c") == b"c"
        assert proxy.refused == 1


async def test_a_tamper_changes_what_the_server_sends() -> None:
    async with echo_behind_proxy() as proxy:
        proxy.tamper = flip_once(b"secret")
        assert await say(proxy, b"a secret here") == b"a recret here"
        proxy.tamper = None
        assert await say(proxy, b"a secret here") == b"a secret here"


async def test_a_server_that_is_away_ends_the_connection() -> None:
    proxy = FaultProxy("127.0.0.1", 1)
    async with proxy.running():
        with suppress(ConnectionError):
            assert await say(proxy, b"hello") == b""
        assert proxy.connections == 1
