"""What servers in tests may have from one another, so that each is quickly there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from fastapi import FastAPI

from ks_server.context import Context
from ks_server.db.engine import open_engine
from ks_server.db.migrate import upgrade

DATABASE = "server.sqlite3"


@cache
def empty_database() -> bytes:
    """A database in its newest form, to be put where a server without one is to begin."""

    async def migrate(path: Path) -> None:
        engine = open_engine(f"sqlite+aiosqlite:///{path}")
        await upgrade(engine)
        await engine.dispose()

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as apart:
        path = Path(folder) / DATABASE
        apart.submit(asyncio.run, migrate(path)).result()  # a loop may be running here
        return path.read_bytes()


def put_empty_database(data: Path) -> None:
    """Into this data folder, where it has none."""
    path = data / DATABASE
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        path.write_bytes(empty_database())


class Apis:
    """Instead of `ks_server.admin.create_api`: gives the API of a server that has stopped to the
    next. Making one, and its routes at the first requests, takes longer than most tests."""

    def __init__(self, make: Callable[[Context | None], FastAPI]) -> None:
        self._make = make
        self._made: list[FastAPI] = []

    def __call__(self, context: Context | None = None) -> FastAPI:
        if context is None:
            return self._make(None)
        for api in self._made:
            if api.state.context.writer._closed:
                api.state.context = context
                return api
        self._made.append(self._make(context))
        return self._made[-1]
