"""A server for each test, on a database that is migrated only once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ks_server import admin
from tests.server.client import Clock, Device, Server, running_server
from tests.server.rollout_support import CONTENT, FW1, NEW, Desk, open_desk
from tests.server.shared import DATABASE, Apis, empty_database


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database in its newest form, to be copied."""
    path = tmp_path_factory.mktemp("template") / DATABASE
    path.write_bytes(empty_database())
    return path


@pytest.fixture(scope="session", autouse=True)
def admin_apis_are_used_again() -> Iterator[None]:
    """By one server after another in the same process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admin, "create_api", Apis(admin.create_api))
        yield


@pytest.fixture
def data_folder(tmp_path: Path, migrated_database: Path) -> Path:
    """A data folder with an empty database."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(migrated_database, folder / DATABASE)
    return folder


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(data_folder: Path, clock: Clock) -> Callable[..., running_server]:
    """`async with start(registration_mode="open") as server`; again for a restart."""

    def make(**values: Any) -> running_server:
        return running_server(data_folder, clock, **values)

    return make


@pytest.fixture
async def server(start: Callable[..., running_server]) -> AsyncIterator[Server]:
    """A server with the settings that it comes with."""
    async with start() as running:
        yield running


@pytest.fixture
async def device(server: Server) -> Device:
    """A registered device of that server."""
    return await server.registered()


@pytest.fixture
async def desk(data_folder: Path, clock: Clock) -> AsyncIterator[Desk]:
    """A server with a signed release that rollouts may offer."""
    async with open_desk(data_folder, clock) as opened:
        await opened.server.release(FW1, NEW, CONTENT, state="signed")
        yield opened
