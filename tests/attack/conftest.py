"""The real server application and a real terminal for each test, the wire in the attacker's hands.

All tests here run in one event loop, so that those which need no server of their own share one.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.attack.requests import NEWER, READER
from tests.attack.world import World, opened
from tests.server.client import Clock, Device
from tests.server.conftest import admin_apis_are_used_again, data_folder, migrated_database

Start = Callable[..., opened]

__all__ = ("admin_apis_are_used_again", "data_folder", "migrated_database")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(data_folder: Path, clock: Clock) -> Start:
    """`async with start(registration_mode="token") as world`; again for a restart."""

    def make(**values: object) -> opened:
        return opened(data_folder, clock, **values)

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def world(start: Start) -> AsyncIterator[World]:
    """A server of the test's own, with an administrator's access to it."""
    async with start() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path
) -> AsyncIterator[World]:
    """One server for many tests, each with devices of its own; readers have an update waiting."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(migrated_database, folder / "server.sqlite3")
    async with opened(folder, Clock()) as running:
        await running.publish(NEWER)
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def device(shared: World) -> Device:
    """A new registered device of the shared server, as far as that can tell."""
    return await shared.registered(d2=READER, **shared.names())
