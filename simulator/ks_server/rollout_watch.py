"""What rollouts do without anybody asking: go on to the next phase, end, and count anew.

Aborting does not wait for this: it is decided with the acknowledgement that is one too many.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .db.rollout_schema import rollouts
from .repository import rollout_counts
from .repository import rollouts as stored
from .repository.rollout_counts import Moment
from .repository.rollouts import Event
from .rollout_engine import Rollout, Survey, is_surveyed, next_step

if TYPE_CHECKING:
    from .context import Context

_watched: Final = select(rollouts).where(rollouts.c.state.in_(("running", "paused")))


def moment_of(context: Context) -> Moment:
    """Now, with the server's own interval between heartbeats."""
    return Moment(context.now_ms(), context.settings.heartbeat_rto_s)


async def look(context: Context) -> None:
    """Let every running rollout take the step that is due. Raises Unavailable."""
    for rollout in await _read(context):
        if is_surveyed(rollout, context.now_ms()):
            _announce(context, await _look_at(context, rollout))


async def _look_at(context: Context, rollout: Rollout) -> list[Event]:
    now_ms = context.now_ms()
    async with context.engine.connect() as connection:
        survey = await rollout_counts.survey(connection, rollout, moment_of(context))
    counted = replace(rollout, succeeded=survey.succeeded, failing=survey.failing)
    if next_step(counted, survey, now_ms) is None:
        return []
    return await context.writer.run(
        lambda connection: _take_step(connection, rollout, survey, now_ms)
    )


async def count_again(context: Context) -> None:
    """Note which devices report to run a release and have acknowledged nothing, and judge.
    Raises Unavailable."""
    for rollout in await _read(context):
        _announce(context, await context.writer.run(partial(_count, rollout, context.now_ms())))


async def _count(rollout: Rollout, now_ms: int, connection: AsyncConnection) -> list[Event]:
    counted = await stored.count_again(connection, rollout, now_ms)
    return await stored.judge(connection, counted, now_ms)


async def _read(context: Context) -> list[Rollout]:
    async with context.engine.connect() as connection:
        return [stored.rollout_of(row) for row in (await connection.execute(_watched)).all()]


async def _take_step(
    connection: AsyncConnection, before: Rollout, survey: Survey, now_ms: int
) -> list[Event]:
    """In the transaction, for what may have changed since the survey."""
    rollout = await stored.count_again(connection, before, now_ms)
    if (rollout.state, rollout.phase) != (before.state, before.phase):
        return []
    step = next_step(rollout, survey, now_ms)
    if step == "promote":
        rollout = await stored.open_next_phase(connection, rollout, now_ms)
        return [stored.event(stored.PROMOTED, rollout, now_ms, phase=rollout.phase)]
    if step == "finish":
        await stored.change(connection, rollout, {"state": "done", "ended_ms": now_ms})
        return [stored.event(stored.DONE, rollout, now_ms)]
    return await stored.judge(connection, rollout, now_ms)


def _announce(context: Context, events: list[Event]) -> None:
    stored.announce(events)
    for name, fields in events:
        context.metrics.event(name)
        context.hooks.emit(name, **fields)
