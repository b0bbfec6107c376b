"""The steps that a rollout takes by itself: to the next phase, and to its end."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.rollout_schema import rollout_devices
from ..rollout_engine import Rollout, Step, Survey, is_ready, next_step
from . import rollout_counts
from . import rollouts as stored
from .rollout_counts import Moment

_since: Final = (
    rollout_devices.c.rollout_id == bindparam("rollout"),
    rollout_devices.c.ended_ms > bindparam("since"),
)
_proved: Final = select(exists().where(*_since, rollout_devices.c.state == "updated"))
_failed: Final = select(
    exists().where(*_since, rollout_devices.c.state != "updated", rollout_devices.c.failures > 0)
)


async def advance(
    connection: AsyncConnection, rollout: Rollout, moment: Moment
) -> list[stored.Event]:
    """Take all steps that are due; what there is to announce. In a writing transaction, of the
    rollout as it is there."""
    events: list[stored.Event] = []
    while True:
        step = await due(connection, rollout, moment)
        if step is None:
            return events
        if step == "promote":
            rollout = await stored.open_next_phase(connection, rollout, moment.now_ms)
            fields = {"phase": rollout.phase}
            events.append(stored.event(stored.PROMOTED, rollout, moment.now_ms, **fields))
        else:
            values = {"state": "done", "ended_ms": moment.now_ms}
            rollout = await stored.change(connection, rollout, values)
            events.append(stored.event(stored.DONE, rollout, moment.now_ms))


async def due(connection: AsyncConnection, rollout: Rollout, moment: Moment) -> Step | None:
    """The step that is due now."""
    if not is_ready(rollout, moment.now_ms):
        return None
    return next_step(rollout, await _survey(connection, rollout, moment), moment.now_ms)


async def _survey(connection: AsyncConnection, rollout: Rollout, moment: Moment) -> Survey:
    since = {"rollout": rollout.id, "since": rollout.phase_started_ms}
    return Survey(
        expected=await rollout_counts.is_anybody_expected(connection, rollout, moment),
        proved=bool((await connection.execute(_proved, since)).scalar_one()),
        failed=bool((await connection.execute(_failed, since)).scalar_one()),
    )
