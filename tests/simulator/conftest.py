"""A server in this event loop, and terminals in memory beside it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ks_driver.http import HttpClient
from ks_server.keys import write_pem
from ks_server.run import running
from ks_server.settings import FixedSettings
from ks_simulator.admin import AdminApi
from ks_simulator.application import Release, build, installed_files
from ks_simulator.events import Event
from ks_simulator.keys import RoleKeys, public_text
from ks_simulator.link import FaultLink
from ks_simulator.memory import MemoryFs, MemoryVault
from ks_simulator.provision import factory_files
from ks_simulator.terminal import Terminal

TOKEN = "a-token-for-tests-only"
PACE = 50.0
PATIENCE_S = 30.0
NOTE = "ks_agent/__init__.py"


class Watched:
    """A terminal in memory whose events can be awaited."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.events: list[Event] = []
        self.link = FaultLink(HttpClient())
        self.vault = MemoryVault()
        self._changed = asyncio.Event()
        self.terminal = Terminal(
            MemoryFs(files),
            self.vault,
            self.link,
            self._observe,
            pace=PACE,
            crash_pause_s=0.01,
        )
        self.life = asyncio.create_task(self.terminal.run())

    def _observe(self, name: str, detail: Mapping[str, str]) -> None:
        self.events.append(Event(name, detail))
        self._changed.set()

    def count(self, name: str) -> int:
        return sum(event.name == name for event in self.events)

    async def until(self, name: str, count: int = 1) -> Event:
        """The newest event of that name, once there are `count`."""
        async with asyncio.timeout(PATIENCE_S):
            while self.count(name) < count:
                self._changed.clear()
                await self._changed.wait()
        return next(event for event in reversed(self.events) if event.name == name)


class Site:
    """The server with its keys, and what it takes to make terminals for it."""

    def __init__(self, url: str, keys: RoleKeys, api: AdminApi) -> None:
        self.url = url
        self.keys = keys
        self.api = api
        self.made: list[Watched] = []

    def release(self, version: str, counter: int, **changes: bytes) -> Release:
        """The installed firmware, with text added to files given as `ks_agent__agent`."""
        files = installed_files()
        for name, addition in changes.items():
            files[name.replace("__", "/", 1) + ".py"] += addition
        return build(files, version=version, counter=counter).signed(self.keys.release)

    def terminal(self, d1: str, release: Release | None = None) -> Watched:
        """A new terminal, switched on."""
        first = release or self.release("1.0.0", 1)
        watched = Watched(factory_files(d1, self.url, self.keys.trusted(), first))
        self.made.append(watched)
        return watched


@asynccontextmanager
async def site_in(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    """A site for the length of a block."""
    keys = RoleKeys.make()
    unlimited = {name: "" for name in FixedSettings.model_fields if name.startswith("rate_limit_")}
    chosen = FixedSettings(
        **{
            "data": folder,
            "port": 0,
            "server_private_key": write_pem(keys.server).decode(),
            "release_public_keys": public_text(keys.release),
            "admin_public_keys": ",".join(public_text(seed) for seed in keys.admins),
            "admin_token": TOKEN,
            "registration_mode": "open",
            "heartbeat_rto_s": 10,
            **unlimited,
            **settings,
        }
    )
    async with running(chosen) as listening, AdminApi.connect(listening.url, TOKEN) as api:
        site = Site(listening.url, keys, api)
        try:
            yield site
        finally:
            for watched in site.made:
                watched.life.cancel()
            await asyncio.gather(*(one.life for one in site.made), return_exceptions=True)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Any]:
    """Gives `site(**settings)`, to be used with `async with`."""
    return lambda **settings: site_in(tmp_path / "server", **settings)
