"""The devices that a rollout is for, as they are now: counted, listed, and surveyed.

A device is targeted that the rollout has been offered to, or that its filter and its release's
types admit and that runs an older version. One that does not say what it runs is not targeted.
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
from ..rollout_engine import ENDED, IMAGE, Held, Rollout, Survey, bucket, shown_state, version_of
from .rollouts import reports, since_it_failed

OFFLINE_AFTER_INTERVALS: Final = 3
_CHUNK: Final = 500

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
    installed = _installed(release)
    query = select(devices.c.d1, installed).where(*_admitted(rollout, release))
    rows = (await connection.execute(query)).all()
    return [d1 for d1, version in rows if _is_older(release, version)]


async def count(connection: AsyncConnection, rollout: Rollout, moment: Moment) -> Counted:
    """How many devices are in each state."""
    release = await _release(connection, rollout)
    shown = (
        _targeted(rollout, release)
        .add_columns(
            _runs_it(release).label("runs_it"),
            _is_offline(moment).label("is_offline"),
            _held.state.label("held_state"),
            _held.outcome,
            case((_held.failures > 0, 1), else_=0).label("has_failed"),
            _installed(release).label("installed"),
        )
        .subquery()
    )
    kinds = (
        shown.c.runs_it,
        shown.c.is_offline,
        shown.c.held_state,
        shown.c.outcome,
        shown.c.has_failed,
        shown.c.installed,
    )
    rows = (await connection.execute(select(*kinds, func.count()).group_by(*kinds))).all()
    states: Counter[str] = Counter()
    failing = 0
    for runs_it, is_offline, held_state, outcome, has_failed, version, number in rows:
        if held_state is None and not _is_older(release, version):
            continue
        held = None if held_state is None else Held(held_state, outcome, has_failed)
        state = shown_state(held, bool(runs_it), bool(is_offline))
        states[state] += number
        failing += number if has_failed and state != "updated" else 0
    return Counted(states, failing)


async def devices_of(
    connection: AsyncConnection, rollout: Rollout, moment: Moment, after: str = ""
) -> AsyncIterator[Seen]:
    """The devices by D1, from that behind `after` on."""
    release = await _release(connection, rollout)
    query = (
        _targeted(rollout, release)
        .add_columns(
            *(devices.c[name] for name in ("site", "fw2", "last_seen_ms")),
            *(_held[name] for name in ("failures", "outcome", "ack2", "log1", "from_fw2")),
            *(_held[name] for name in ("offered_ms", "touched_ms", "ended_ms")),
            _held.state.label("held_state"),
            _runs_it(release).label("runs_it"),
            _is_offline(moment).label("is_offline"),
            _installed(release).label("installed"),
        )
        .order_by(devices.c.d1)
        .limit(_CHUNK)
    )
    while True:
        rows = (await connection.execute(query.where(devices.c.d1 > after))).all()
        for row in rows:
            if row.held_state is not None or _is_older(release, row.installed):
                yield _seen(rollout, row)
        if len(rows) < _CHUNK:
            return
        after = rows[-1].d1


async def survey(connection: AsyncConnection, rollout: Rollout, moment: Moment) -> Survey:
    """What rollout_engine.next_step asks about."""
    expected = unended = proved = succeeded = failing = 0
    since_ms = rollout.phase_started_ms or 0
    async for one in devices_of(connection, rollout, moment):
        if one.state == "updated":
            succeeded += 1
            is_new = one.row.held_state != "updated" or (one.row.ended_ms or 0) >= since_ms
            proved += is_new
        elif one.row.failures:
            failing += 1
        if one.in_phase and one.last_state not in ENDED:
            unended += 1
            expected += one.state != "offline"
    return Survey(expected, unended, proved, succeeded, failing)


def _seen(rollout: Rollout, row: Row[Any]) -> Seen:
    held = None if row.held_state is None else Held(row.held_state, row.outcome, row.failures)
    return Seen(
        d1=row.d1,
        bucket=bucket(rollout.salt, row.d1),
        in_phase=rollout.is_open_to(row.d1),
        state=shown_state(held, bool(row.runs_it), bool(row.is_offline)),
        last_state=shown_state(held, bool(row.runs_it), False),
        row=row,
    )


async def _release(connection: AsyncConnection, rollout: Rollout) -> Row[Any]:
    query = select(releases).where(releases.c.fw1 == rollout.fw1)
    return (await connection.execute(query)).one()


def _installed(release: Row[Any]) -> ColumnElement[Any]:
    return devices.c.img1 if release.kind == IMAGE else devices.c.fw2


def _is_older(release: Row[Any], installed: str | None) -> bool:
    version = version_of(installed)
    offered = version_of(release.image if release.kind == IMAGE else release.fw2)
    return version is not None and offered is not None and bool(version < offered)


def _runs_it(release: Row[Any]) -> ColumnElement[Any]:
    return case((and_(reports(release), since_it_failed()), 1), else_=0)


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
