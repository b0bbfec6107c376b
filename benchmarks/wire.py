"""Bytes on the wire of what a terminal sends most: the heartbeat."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from ks_agent import signing, tokens
from ks_driver.http import HttpClient
from ks_simulator.application import build, installed_files
from ks_simulator.keys import RoleKeys
from ks_simulator.memory import MemoryFs, MemoryVault
from ks_simulator.provision import factory_files
from ks_simulator.server import ServerFailed, ServerProcess, server_settings
from ks_simulator.terminal import Terminal

from .figure import Figure, Unavailable

# DESIGN.md, budgets
HEARTBEAT_MAX_BYTES = 450
D1 = "terminal-00042"
LONGEST_D1 = "t" * 64
LIMIT_S = 60
PACE = 1000.0
HEARTBEATS = 3


def measure() -> Iterator[Figure]:
    """The longest of a few heartbeat bodies that the real agent sent to a real server."""
    try:
        sizes = uvloop.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    unit = "bytes"
    yield Figure.limited("wire/heartbeat", sizes[D1], unit, HEARTBEAT_MAX_BYTES)
    yield Figure.limited("wire/heartbeat/longest-id", sizes[LONGEST_D1], unit, HEARTBEAT_MAX_BYTES)


class _Tap:
    """Notes the heartbeats on their way to the HTTP client."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.enough = asyncio.Event()
        self._client = HttpClient()

    async def request(self, fetch: Any) -> Any:
        answer = await self._client.request(fetch)
        if fetch.url.endswith("/heartbeat"):
            self.bodies.append(bytes(fetch.body))
            if len(self.bodies) == HEARTBEATS:
                self.enough.set()
        return answer

    async def download(self, download: Any) -> Any:
        return await self._client.download(download)

    def close(self) -> None:
        self._client.close()


async def _measure() -> dict[str, int]:
    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-bench-wire-") as folder:
        settings = server_settings(
            Path(folder), keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10"
        )
        async with ServerProcess(settings).running() as server:
            return {d1: await _largest(d1, server.url, keys) for d1 in (D1, LONGEST_D1)}


async def _largest(d1: str, server: str, keys: RoleKeys) -> int:
    release = build(installed_files(), version="1.0.0", counter=1).signed(keys.release)
    files = factory_files(d1, server, keys.trusted(), release)
    tap = _Tap()
    terminal = Terminal(MemoryFs(files), MemoryVault(), tap, lambda event, detail: None, pace=PACE)
    life = asyncio.create_task(terminal.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            await tap.enough.wait()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
    for body in tap.bodies:
        message = signing.parse(body, signing.TOON, tokens.ANSWER_MAX_BYTES)
        assert message["D1"] == d1
    return max(len(body) for body in tap.bodies)
