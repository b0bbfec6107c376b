"""Releases: which one waits for a device."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ks_agent import bundle
from ks_agent.errors import Malformed

from ..db.schema import releases
from ..writer import Writer

# another process that shares the database may publish, too
_MAX_AGE_S: Final = 5.0

_columns: Final = (
    releases.c.fw1,
    releases.c.fw2,
    releases.c.fw4,
    releases.c.fw5,
    releases.c.types,
    releases.c.counter,
    releases.c.expires_ms,
    releases.c.path,
)
_published: Final = select(*_columns).where(releases.c.state == "published")


@dataclass(frozen=True, slots=True)
class Release:
    """A published release. `path` is that of the bundle, relative to the data folder."""

    fw1: str
    fw2: str
    fw4: str
    fw5: int
    types: str
    counter: int
    expires_ms: int
    path: str

    def signed_fields(self) -> dict[str, str]:
        """What FW_SIG covers."""
        return {"FW1": self.fw1, "FW2": self.fw2, "FW4": self.fw4, "FW5": str(self.fw5)}


class Catalogue:
    """The published releases, read again after any change through the writer."""

    def __init__(self, engine: AsyncEngine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._seen_changes = -1
        self._read_s = 0.0
        self._releases: list[tuple[Any, Release]] = []
        self._reading = asyncio.Lock()

    async def newest(self, d2: str, fw2: str | None, now_ms: int) -> Release | None:
        """The release of the highest version above `fw2` that is for devices of type `d2`;
        None also when `fw2` is unknown or no semver version."""
        if self._is_stale():
            async with self._reading:
                if self._is_stale():
                    await self._read()
        if fw2 is None or not self._releases:
            return None
        try:
            installed = bundle.version(fw2)
        except Malformed:
            return None
        for version, release in self._releases:
            if version <= installed:
                return None
            if release.expires_ms > now_ms and d2 in release.types.split(","):
                return release
        return None

    def _is_stale(self) -> bool:
        return (
            self._seen_changes != self._writer.changes
            or time.monotonic() - self._read_s > _MAX_AGE_S
        )

    async def _read(self) -> None:
        changes = self._writer.changes
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_published)).all()
        found = [Release(*row) for row in rows]
        self._releases = sorted(
            ((bundle.version(release.fw2), release) for release in found),
            key=lambda pair: (pair[0], pair[1].counter),
            reverse=True,
        )
        self._seen_changes = changes
        self._read_s = time.monotonic()


async def find_published(connection: AsyncConnection, fw1: str, now_ms: int) -> Release | None:
    """The published, unexpired release of that id."""
    query = _published.where(releases.c.fw1 == fw1, releases.c.expires_ms > now_ms)
    row = (await connection.execute(query)).first()
    return Release(*row) if row is not None else None
