"""Rollouts as they are stored, and their changes of state. Rules: ks_server.rollout_engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, exists, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.rollout_schema import rollout_devices, rollouts
from ..db.schema import devices, releases
from ..log import get_logger
from ..rollout_engine import (
    FAILED,
    TRIAL_ENDS_MS,
    UNDER_WAY,
    Filter,
    Rollout,
    stop_reason,
)
from . import rollout_commands, rollout_counts

ABORTED: Final = "rollout_aborted"
PROMOTED: Final = "rollout_promoted"
DONE: Final = "rollout_done"
PENALTY: Final = "rollout_penalty"
HOOKS: Final = (ABORTED, PROMOTED, DONE, PENALTY)
Event = tuple[str, dict[str, Any]]

log = get_logger("ks_server.rollouts")


def rollout_of(row: Row[Any]) -> Rollout:
    """From a row with all columns of `rollouts`."""
    return Rollout(
        id=row.id,
        fw1=row.fw1,
        salt=row.salt,
        phases=tuple(float(share) for share in row.phases.split(",")),
        phase=row.phase,
        filter=Filter.of(json.loads(row.filter)),
        soak_s=row.soak_s,
        automatic=row.automatic,
        abort_share=row.abort_share,
        abort_min=row.abort_min,
        abort_count=row.abort_count,
        penalty=row.penalty,
        downloads_at_once=row.downloads_at_once,
        state=row.state,
        phase_started_ms=row.phase_started_ms,
        succeeded=row.succeeded,
        failing=row.failing,
    )


async def find(connection: AsyncConnection, rollout_id: int) -> Rollout | None:
    """The rollout as the transaction sees it."""
    query = select(rollouts).where(rollouts.c.id == rollout_id)
    row = (await connection.execute(query)).first()
    return None if row is None else rollout_of(row)


def announce(events: Sequence[Event]) -> None:
    """Log what rollouts did by themselves, after the commit."""
    for name, fields in events:
        if name in HOOKS:
            level = log.info if name in (PROMOTED, DONE) else log.warning
            level(name, **fields)


def event(name: str, rollout: Rollout, now_ms: int, **more: Any) -> Event:
    """An event of a rollout, to be announced after the commit."""
    return name, {"rollout": rollout.id, "fw1": rollout.fw1, "at_ms": now_ms, **more}


async def change(
    connection: AsyncConnection, rollout: Rollout, values: Mapping[str, Any]
) -> Rollout:
    """Change a rollout; as it is then."""
    await connection.execute(update(rollouts).where(rollouts.c.id == rollout.id).values(**values))
    changed = await find(connection, rollout.id)
    assert changed is not None
    return changed


async def judge(connection: AsyncConnection, rollout: Rollout, now_ms: int) -> list[Event]:
    """Abort the rollout if its figures say so; what there is to announce."""
    reason = stop_reason(rollout)
    if reason is None:
        return []
    await change(connection, rollout, {"state": "aborted", "reason": reason, "ended_ms": now_ms})
    return [event(ABORTED, rollout, now_ms, reason=reason)]


async def open_next_phase(connection: AsyncConnection, rollout: Rollout, now_ms: int) -> Rollout:
    """Let the devices of the next phase have the release, too."""
    values = {"phase": rollout.phase + 1, "phase_started_ms": now_ms}
    return await change(connection, rollout, values)


async def count_again(connection: AsyncConnection, rollout: Rollout, now_ms: int) -> Rollout:
    """Note who reports to run the release, and make the figures the sums of the devices'."""
    mine = rollout_devices.c.rollout_id == rollout.id
    await _note_reports(connection, rollout, mine, now_ms)
    counted = select(func.count()).where(mine)
    succeeded = counted.where(rollout_devices.c.state == "updated")
    failing = counted.where(rollout_devices.c.state != "updated", rollout_devices.c.failures > 0)
    values = {"succeeded": succeeded.scalar_subquery(), "failing": failing.scalar_subquery()}
    return await change(connection, rollout, values)


async def _note_reports(
    connection: AsyncConnection, rollout: Rollout, mine: Any, now_ms: int
) -> None:
    """Who has reported the release for longer than any trial lasts runs it."""
    query = select(releases).where(releases.c.fw1 == rollout.fw1)
    release = (await connection.execute(query)).one()
    reporting = select(devices.c.d1).where(
        devices.c.d1 == rollout_devices.c.d1,
        rollout_counts.installed(release) == rollout_counts.version_text(release),
    )
    since_ms = rollout_devices.c.reported_ms
    open_ones = update(rollout_devices).where(mine, rollout_devices.c.state != "updated")
    await connection.execute(
        open_ones.where(since_ms.is_not(None), not_(exists(reporting))).values(reported_ms=None)
    )
    # on trial it reported the release, too, before it failed
    newer = or_(
        rollout_devices.c.state.not_in(FAILED),
        devices.c.heartbeat_ms > rollout_devices.c.ended_ms,
    )
    await connection.execute(
        open_ones.where(since_ms.is_(None), exists(reporting.where(newer))).values(
            reported_ms=now_ms
        )
    )
    settled = reporting.where(devices.c.heartbeat_ms >= since_ms + TRIAL_ENDS_MS)
    await connection.execute(
        open_ones.where(exists(settled)).values(
            state="updated", outcome="updated", ended_ms=now_ms, reported_ms=None
        )
    )


async def revoke_release(
    connection: AsyncConnection, commands: rollout_commands.Commands, fw1: str, now_ms: int
) -> int:
    """Revoke a release and every rollout of it, and tell the devices that have been offered it
    and neither ended nor run something newer to halt; how many these are."""
    mine = rollouts.c.fw1 == fw1
    for row in (await connection.execute(select(rollouts).where(mine))).all():
        await count_again(connection, rollout_of(row), now_ms)
    await connection.execute(
        update(releases)
        .where(releases.c.fw1 == fw1, releases.c.state != "revoked")
        .values(state="revoked", revoked_ms=now_ms)
    )
    await connection.execute(
        update(rollouts)
        .where(mine, rollouts.c.state != "revoked")
        .values(state="revoked", ended_ms=now_ms)
    )
    waiting = and_(
        rollout_devices.c.rollout_id.in_(select(rollouts.c.id).where(mine)),
        rollout_devices.c.state.in_(UNDER_WAY),
        not_(await _runs_something_newer(connection, fw1)),
    )
    query = select(rollout_devices.c.d1).where(waiting).distinct()
    halted = list((await connection.execute(query)).scalars())
    await connection.execute(
        update(rollout_devices)
        .where(waiting)
        .values(state="halted", halted_ms=now_ms, resumed_ms=None)
    )
    await commands.halt(connection, halted, now_ms)
    return len(halted)


async def _runs_something_newer(connection: AsyncConnection, fw1: str) -> Any:
    """The condition that a device reports a newer version than the release's."""
    query = select(releases).where(releases.c.fw1 == fw1)
    release = (await connection.execute(query)).one()
    installed = rollout_counts.installed(release)
    versions = select(installed).where(installed.is_not(None)).distinct()
    newer = [
        version
        for version in (await connection.execute(versions)).scalars()
        if rollout_counts.is_newer(release, version)
    ]
    return exists(
        select(devices.c.d1).where(devices.c.d1 == rollout_devices.c.d1, installed.in_(newer))
    )
