"""The devices that a rollout is for, as they are now: counted, and listed.

A device is targeted that its filter and its release's types admit and that runs an older version;
one that does not say what it runs is not. So is a device that has been offered the release, until
it runs something newer without having ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.rollout_schema import rollout_devices
from ..db.schema import devices, releases
from ..rollout_engine import IMAGE, UNDER_WAY, Held, Rollout, bucket, shown_state, version_of

OFFLINE_AFTER_INTERVALS: Final = 3
_CHUNK: Final = 500
_FEW: Final = 50

_held: Final = rollout_devices.c


class Moment(NamedTuple):
    """When devices are looked at, and how often they are heard of unless told otherwise."""

    now_ms: int
    rto_s: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One targeted device. `state` is `last_state`, or "offline"."""

    d1: str
    bucket: int
    in_phase: bool
    state: str
    last_state: str
    row: Row[Any]


class Counted(NamedTuple):
    """Devices by state, and how many of them have tried and are failing."""

    states: Counter[str]
    failing: int

    @property
    def attempts(self) -> int:
        return self.states["updated"] + self.failing


async def targets(connection: AsyncConnection, rollout: Rollout) -> list[str]:
    """D1 of the devices that it is for, before it has been offered to any."""
    release = await _release(connection, rollout)
    query = select(devices.c.d1, installed(release)).where(*_admitted(rollout, release))
    rows = (await connection.execute(query)).all()
    return [d1 for d1, version in rows if _is_older(release, version)]


async def count(connection: AsyncConnection, rollout: Rollout, moment: Moment) -> Counted:
    """How many devices are in each state."""
    release = await _release(connection, rollout)
    shown = (
        _targeted(rollout, release)
        .add_columns(
            _is_offline(moment).label("is_offline"),
            _held.state.label("held_state"),
            _held.outcome,
            case((_held.failures > 0, 1), else_=0).label("has_failed"),
            installed(release).label("installed"),
        )
        .subquery()
    )
    kinds = (
        shown.c.is_offline,
        shown.c.held_state,
        shown.c.outcome,
        shown.c.has_failed,
        shown.c.installed,
    )
    rows = (await connection.execute(select(*kinds, func.count()).group_by(*kinds))).all()
    states: Counter[str] = Counter()
    failing = 0
    for is_offline, held_state, outcome, has_failed, version, number in rows:
        if not _is_concerned(release, held_state, version):
            continue
        held = None if held_state is None else Held(held_state, outcome, has_failed)
        state = shown_state(held, bool(is_offline))
        states[state] += number
        failing += number if has_failed and state != "updated" else 0
    return Counted(states, failing)


async def devices_of(
    connection: AsyncConnection, rollout: Rollout, moment: Moment, after: str = ""
) -> AsyncIterator[Seen]:
    """The devices by D1, from that behind `after` on."""
    release = await _release(connection, rollout)
    query = _targeted(rollout, release).add_columns(
        *(devices.c[name] for name in ("site", "fw2", "last_seen_ms")),
        *(_held[name] for name in ("failures", "outcome", "ack2", "log1", "from_fw2")),
        *(_held[name] for name in ("offered_ms", "touched_ms", "ended_ms")),
        _held.state.label("held_state"),
        _is_offline(moment).label("is_offline"),
        installed(release).label("installed"),
    )
    async for row in _by_id(connection, query, after, _CHUNK):
        if _is_concerned(release, row.held_state, row.installed):
            yield _seen(rollout, row)


async def is_anybody_expected(
    connection: AsyncConnection, rollout: Rollout, moment: Moment
) -> bool:
    """Whether a device of the open phase that is not offline may yet end its first attempt."""
    release = await _release(connection, rollout)
    runs = installed(release)
    first = and_(_held.state.in_(UNDER_WAY), _held.failures == 0)
    asks = and_(_held.state.is_(None), runs != version_text(release))
    query = (
        _targeted(rollout, release)
        .add_columns(_held.state.label("held_state"), runs.label("installed"))
        .where(_is_offline(moment) == 0, or_(first, asks))
    )
    async for row in _by_id(connection, query, "", _FEW):
        if rollout.is_open_to(row.d1) and _is_concerned(release, row.held_state, row.installed):
            return True
    return False


async def _by_id(
    connection: AsyncConnection, query: Any, after: str, chunk: int
) -> AsyncIterator[Row[Any]]:
    """The rows of a query about devices, so many at a time."""
    query = query.order_by(devices.c.d1).limit(chunk)
    while True:
        rows = (await connection.execute(query.where(devices.c.d1 > after))).all()
        for row in rows:
            yield row
        if len(rows) < chunk:
            return
        after = rows[-1].d1


def _seen(rollout: Rollout, row: Row[Any]) -> Seen:
    held = None if row.held_state is None else Held(row.held_state, row.outcome, row.failures)
    return Seen(
        d1=row.d1,
        bucket=bucket(rollout.salt, row.d1),
        in_phase=rollout.is_open_to(row.d1),
        state=shown_state(held, bool(row.is_offline)),
        last_state=shown_state(held, False),
        row=row,
    )


async def _release(connection: AsyncConnection, rollout: Rollout) -> Row[Any]:
    query = select(releases).where(releases.c.fw1 == rollout.fw1)
    return (await connection.execute(query)).one()


def installed(release: Row[Any]) -> ColumnElement[Any]:
    """The version that a device reports of what the release is."""
    return devices.c.img1 if release.kind == IMAGE else devices.c.fw2


def _is_concerned(release: Row[Any], held_state: str | None, version: str | None) -> bool:
    """Whether a device that was read is targeted."""
    if held_state is None:
        return _is_older(release, version)
    return held_state not in UNDER_WAY or not is_newer(release, version)


def _is_older(release: Row[Any], reported: str | None) -> bool:
    version, offered = version_of(reported), _offered(release)
    return version is not None and offered is not None and bool(version < offered)


def is_newer(release: Row[Any], reported: str | None) -> bool:
    """Whether a device that reports this version runs something newer than the release."""
    version, offered = version_of(reported), _offered(release)
    return version is not None and offered is not None and bool(version > offered)


def _offered(release: Row[Any]) -> Any:
    return version_of(version_text(release))


def version_text(release: Row[Any]) -> str:
    """The version that a device reports which runs the release."""
    return str(release.image) if release.kind == IMAGE else str(release.fw2)


def _is_offline(moment: Moment) -> ColumnElement[Any]:
    interval_ms = func.coalesce(devices.c.rto_s, moment.rto_s) * (1000 * OFFLINE_AFTER_INTERVALS)
    return case((devices.c.last_seen_ms + interval_ms < moment.now_ms, 1), else_=0)


def _targeted(rollout: Rollout, release: Row[Any]) -> Any:
    mine = and_(_held.rollout_id == rollout.id, _held.d1 == devices.c.d1)
    return (
        select(devices.c.d1)
        .select_from(devices.outerjoin(rollout_devices, mine))
        .where(
            devices.c.state == "active",
            or_(_held.d1.is_not(None), and_(*_admitted(rollout, release))),
        )
    )


def _admitted(rollout: Rollout, release: Row[Any]) -> list[ColumnElement[bool]]:
    """What Filter.admits says, for the database."""
    chosen = rollout.filter
    pairs: Sequence[tuple[ColumnElement[Any], frozenset[str] | None]] = (
        (devices.c.d2, frozenset(release.types.split(","))),
        (devices.c.d2, chosen.types),
        (devices.c.d5, chosen.models),
        (devices.c.site, chosen.sites),
        (devices.c.fw2, chosen.versions),
        (devices.c.d1, chosen.devices),
    )
    lists = [column.in_(sorted(values)) for column, values in pairs if values is not None]
    return [devices.c.state == "active", *lists]
