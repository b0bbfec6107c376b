"""Releases: which one waits for a device."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import exists, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ..db.rollout_schema import rollout_devices, rollouts
from ..db.schema import releases
from ..rollout_engine import IMAGE, OFFERING, Asker, Rollout, version_of
from ..writer import Writer
from .rollout_devices import holds_place
from .rollouts import rollout_of

# another process that shares the database may publish, too
_MAX_AGE_S: Final = 5.0
SIGNED: Final = ("signed", "published")

_columns: Final = (
    releases.c.fw1,
    releases.c.fw2,
    releases.c.fw4,
    releases.c.fw5,
    releases.c.types,
    releases.c.counter,
    releases.c.expires_ms,
    releases.c.path,
    releases.c.kind,
    releases.c.image,
    releases.c.image_min,
    releases.c.image_max,
)
_signed: Final = select(*_columns, releases.c.state).where(releases.c.state.in_(SIGNED))
_halted: Final = select(rollout_devices.c.d1).where(
    rollout_devices.c.halted_ms.is_not(None), rollout_devices.c.resumed_ms.is_(None)
)
_offering: Final = select(rollouts.c.id).where(rollouts.c.state.in_(OFFERING))
_refused: Final = select(rollout_devices.c.rollout_id, rollout_devices.c.d1).where(
    rollout_devices.c.state == "penalty", rollout_devices.c.rollout_id.in_(_offering)
)
_begun: Final = (
    select(rollout_devices.c.rollout_id, rollout_devices.c.d1)
    .join(rollouts, rollouts.c.id == rollout_devices.c.rollout_id)
    .where(rollouts.c.state == "paused", rollout_devices.c.state == "downloading")
)
_limited: Final = select(rollout_devices.c.rollout_id, rollout_devices.c.d1).where(
    rollout_devices.c.rollout_id.in_(_offering.where(rollouts.c.downloads_at_once.is_not(None)))
)


@dataclass(frozen=True, slots=True)
class Release:
    """A signed release. `path` is that of the bundle, relative to the data folder."""

    fw1: str
    fw2: str
    fw4: str
    fw5: int
    types: str
    counter: int
    expires_ms: int
    path: str
    kind: str = "application"
    image: str | None = None
    image_min: str | None = None
    image_max: str | None = None

    def signed_fields(self) -> dict[str, str]:
        """What FW_SIG covers."""
        return {"FW1": self.fw1, "FW2": self.fw2, "FW4": self.fw4, "FW5": str(self.fw5)}


class Offer(NamedTuple):
    """What waits for a device. `rollout` is that of it, if it has any; `has_place`: it may begin
    to download; `is_halted`: a rollout has told it to halt, and it must be told to resume first."""

    release: Release
    rollout: Rollout | None
    has_place: bool
    is_halted: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A release that somebody is offered: by `rollout`, or, without any, as it is published.

    `refused` are devices in the penalty box. `begun`, while the rollout is paused, are the only
    ones: they have begun to download. `places` are those that take one of the rollout's
    downloads_at_once, None without such a limit.
    """

    version: Any
    release: Release
    types: frozenset[str]
    rollout: Rollout | None = None
    refused: frozenset[str] = frozenset()
    begun: frozenset[str] | None = None
    places: frozenset[str] | None = None
    image_min: Any = None
    image_max: Any = None

    def admits(self, asker: Asker, image: Any, now_ms: int) -> bool:
        """Whether the device is among those that are offered this."""
        if self.release.expires_ms <= now_ms or asker.d2 not in self.types:
            return False
        if image is not None and not self._runs_on(image):
            return False
        rollout = self.rollout
        return rollout is None or (
            asker.d1 not in self.refused
            and (self.begun is None or asker.d1 in self.begun)
            and rollout.filter.admits(asker)
            and rollout.is_open_to(asker.d1)
        )

    def _runs_on(self, image: Any) -> bool:
        if self.release.kind == IMAGE:
            return True
        return (self.image_min is None or image >= self.image_min) and (
            self.image_max is None or image <= self.image_max
        )

    def has_place(self, d1: str) -> bool:
        """Whether the device may begin to download; who takes a place may go on."""
        if self.rollout is None or self.places is None:
            return True
        return d1 in self.places or len(self.places) < (self.rollout.downloads_at_once or 0)


@dataclass(frozen=True)
class _View:
    """All that is offered, the newest first."""

    applications: Sequence[_Candidate] = ()
    images: Sequence[_Candidate] = ()
    halted: frozenset[str] = frozenset()


@dataclass
class Catalogue:
    """What is offered to whom, in memory, and read again after any change through the writer."""

    engine: AsyncEngine
    writer: Writer
    _view: _View = field(default_factory=_View, init=False)
    _seen: tuple[int, int] = field(default=(-1, 0), init=False)
    _forgotten: int = field(default=0, init=False)
    _read_s: float = field(default=0.0, init=False)
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def offer(self, asker: Asker, now_ms: int) -> Offer | None:
        """The release of the highest version above what the device runs that it is offered.

        Applications are judged by FW2, then images by IMG1; a device that does not say which it
        runs, or no semver version, is offered none. An application for other images is passed
        over, if the device says which it has. Of a rollout this is the view of some seconds ago:
        `rollout_devices.offer` has the last word.
        """
        if self._is_stale():
            async with self._reading:
                if self._is_stale():
                    await self._read(now_ms)
        view = self._view
        if not view.applications and not view.images:
            return None
        image = version_of(asker.img1)
        found = _newest(view.applications, asker, version_of(asker.fw2), image, now_ms)
        if found is None:
            found = _newest(view.images, asker, image, image, now_ms)
        if found is None:
            return None
        has_place = found.has_place(asker.d1)
        return Offer(found.release, found.rollout, has_place, asker.d1 in view.halted)

    def forget(self) -> None:
        """What is offered has changed by a device's request."""
        self._forgotten += 1

    def _is_stale(self) -> bool:
        return (
            self._seen != (self.writer.changes, self._forgotten)
            or time.monotonic() - self._read_s > _MAX_AGE_S
        )

    async def _read(self, now_ms: int) -> None:
        seen, read_s = (self.writer.changes, self._forgotten), time.monotonic()
        async with self.engine.connect() as connection:
            self._view = await _read_view(connection, now_ms)
        self._seen, self._read_s = seen, read_s


def _newest(
    candidates: Sequence[_Candidate], asker: Asker, installed: Any, image: Any, now_ms: int
) -> _Candidate | None:
    if installed is None:
        return None
    for candidate in candidates:
        if candidate.version <= installed:
            return None
        if candidate.admits(asker, image, now_ms):
            return candidate
    return None


async def _read_view(connection: AsyncConnection, now_ms: int) -> _View:
    signed = (await connection.execute(_signed)).all()
    of_release: dict[str, list[Rollout]] = {}
    for row in (await connection.execute(select(rollouts).order_by(rollouts.c.id))).all():
        of_release.setdefault(row.fw1, []).append(rollout_of(row))
    found = [
        _candidate(_release_of(row))
        for row in signed
        if row.state == "published" and row.fw1 not in of_release
    ]
    halted: frozenset[str] = frozenset()
    if of_release:
        releases_of = {row.fw1: _release_of(row) for row in signed}
        found += await _rolled_out(connection, releases_of, of_release, now_ms)
        halted = frozenset((await connection.execute(_halted)).scalars())
    found = [one for one in found if one.version is not None]
    found.sort(key=lambda one: (one.version, one.release.counter), reverse=True)
    return _View(
        applications=[one for one in found if one.release.kind != IMAGE],
        images=[one for one in found if one.release.kind == IMAGE],
        halted=halted,
    )


async def _rolled_out(
    connection: AsyncConnection,
    signed: Mapping[str, Release],
    of_release: Mapping[str, Sequence[Rollout]],
    now_ms: int,
) -> list[_Candidate]:
    refused = await _devices(connection, _refused)
    begun = await _devices(connection, _begun)
    places = await _devices(connection, _limited.where(holds_place(now_ms)))
    found = []
    for fw1 in sorted(signed.keys() & of_release.keys()):
        for rollout in of_release[fw1]:
            if rollout.state not in (*OFFERING, "paused"):
                continue
            is_limited = rollout.downloads_at_once is not None
            candidate = _candidate(
                signed[fw1],
                rollout=rollout,
                refused=frozenset(refused[rollout.id]),
                begun=frozenset(begun[rollout.id]) if rollout.state == "paused" else None,
                places=frozenset(places[rollout.id]) if is_limited else None,
            )
            found.append(candidate)
    return found


_Devices = partial(defaultdict[int, list[str]], list)


async def _devices(connection: AsyncConnection, query: Any) -> defaultdict[int, list[str]]:
    """D1s by rollout."""
    found = _Devices()
    for rollout_id, d1 in (await connection.execute(query)).all():
        found[rollout_id].append(d1)
    return found


def _candidate(release: Release, **rollout: Any) -> _Candidate:
    return _Candidate(
        version=version_of(release.image if release.kind == IMAGE else release.fw2),
        release=release,
        types=frozenset(release.types.split(",")),
        image_min=version_of(release.image_min),
        image_max=version_of(release.image_max),
        **rollout,
    )


def _release_of(row: Any) -> Release:
    return Release(*row[: len(_columns)])


async def is_for_everybody(connection: AsyncConnection, fw1: str) -> bool:
    """Whether a release is published and has no rollout."""
    has_rollout = exists().where(rollouts.c.fw1 == fw1)
    query = select(releases.c.fw1).where(
        releases.c.fw1 == fw1, releases.c.state == "published", not_(has_rollout)
    )
    return (await connection.execute(query)).first() is not None


async def find_published(connection: AsyncConnection, fw1: str, now_ms: int) -> Release | None:
    """The published, unexpired release of that id."""
    query = _signed.where(releases.c.fw1 == fw1, releases.c.state == "published")
    return await _unexpired(connection, query, now_ms)


async def find_signed(connection: AsyncConnection, fw1: str, now_ms: int) -> Release | None:
    """The unexpired release of that id that a rollout may offer: signed or published."""
    return await _unexpired(connection, _signed.where(releases.c.fw1 == fw1), now_ms)


async def _unexpired(connection: AsyncConnection, query: Any, now_ms: int) -> Release | None:
    row = (await connection.execute(query.where(releases.c.expires_ms > now_ms))).first()
    return None if row is None else _release_of(row)
