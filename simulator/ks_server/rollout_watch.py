"""What rollouts do without anybody asking: go on to the next phase, end, and count anew.

Acknowledgements do not wait for this: what one of them decides happens with it. This is for what
time decides, and for acknowledgements that never came.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .db.rollout_schema import rollouts
from .repository import rollout_steps
from .repository import rollouts as stored
from .repository.rollout_counts import Moment
from .repository.rollouts import Event
from .rollout_engine import JUDGED, Rollout, is_ready

if TYPE_CHECKING:
    from .context import Context

_watched: Final = select(rollouts).where(rollouts.c.state.in_(JUDGED))


def moment_of(context: Context) -> Moment:
    """Now, with the server's own interval between heartbeats."""
    return Moment(context.now_ms(), context.settings.heartbeat_rto_s)


async def look(context: Context) -> None:
    """Let every running rollout take the steps that are due. Raises Unavailable."""
    for rollout in await _read(context):
        if is_ready(rollout, context.now_ms()) and await _has_step(context, rollout):
            step = partial(_step, rollout.id, moment_of(context))
            _announce(context, await context.writer.run(step))


async def _has_step(context: Context, rollout: Rollout) -> bool:
    async with context.engine.connect() as connection:
        return await rollout_steps.due(connection, rollout, moment_of(context)) is not None


async def _step(rollout_id: int, moment: Moment, connection: AsyncConnection) -> list[Event]:
    """In the transaction, for what may have changed meanwhile."""
    rollout = await stored.find(connection, rollout_id)
    assert rollout is not None
    return await rollout_steps.advance(connection, rollout, moment)


async def count_again(context: Context) -> None:
    """Note which devices have long reported to run a release and have acknowledged nothing, and
    judge. Raises Unavailable."""
    for rollout in await _read(context):
        _announce(context, await context.writer.run(partial(_count, rollout, context.now_ms())))


async def _count(rollout: Rollout, now_ms: int, connection: AsyncConnection) -> list[Event]:
    counted = await stored.count_again(connection, rollout, now_ms)
    return await stored.judge(connection, counted, now_ms)


async def _read(context: Context) -> list[Rollout]:
    async with context.engine.connect() as connection:
        return [stored.rollout_of(row) for row in (await connection.execute(_watched)).all()]


def _announce(context: Context, events: list[Event]) -> None:
    stored.announce(events)
    for name, fields in events:
        context.metrics.event(name)
        context.hooks.emit(name, **fields)
