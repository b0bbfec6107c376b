"""What becomes of a rollout at one device: offered, begun, ended. Rules: rollout_engine."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import Row, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.rollout_schema import rollout_devices, rollouts
from ..rollout_engine import (
    NOTHING_HELD,
    Held,
    Rollout,
    after_ack,
    after_first_byte,
    after_offer,
    may_be_offered,
)
from . import rollout_steps
from . import rollouts as stored
from .rollout_counts import Moment

# an offer that nobody follows must not keep others waiting for long
OFFER_HOLDS_MS: Final = 5 * 60_000
DOWNLOAD_HOLDS_MS: Final = 3_600_000
ACK2_MAX_CHARACTERS: Final = 400

_mine: Final = and_(
    rollout_devices.c.rollout_id == bindparam("rollout"), rollout_devices.c.d1 == bindparam("id")
)
_find: Final = (
    select(rollouts, rollout_devices)
    .outerjoin(
        rollout_devices,
        and_(
            rollout_devices.c.rollout_id == rollouts.c.id, rollout_devices.c.d1 == bindparam("id")
        ),
    )
    .where(rollouts.c.id == bindparam("rollout"))
)
_last_of: Final = (
    select(rollouts, rollout_devices)
    .join(rollout_devices, rollout_devices.c.rollout_id == rollouts.c.id)
    .where(rollouts.c.fw1 == bindparam("release"), rollout_devices.c.d1 == bindparam("id"))
    .order_by(rollout_devices.c.touched_ms.desc(), rollout_devices.c.rollout_id.desc())
    .limit(1)
)
_update: Final = update(rollout_devices).where(_mine)
_count: Final = (
    update(rollouts)
    .where(rollouts.c.id == bindparam("rollout"))
    .values(
        succeeded=rollouts.c.succeeded + bindparam("more_succeeded"),
        failing=rollouts.c.failing + bindparam("more_failing"),
    )
)


class _Found(NamedTuple):
    """A rollout, and what it keeps of the device."""

    rollout: Rollout
    held: Held
    has_row: bool
    touched_ms: int


def holds_place(now_ms: int) -> Any:
    """The condition that a device takes one of `downloads_at_once`: until it says how the attempt
    ended, or for a while."""
    state, touched_ms = rollout_devices.c.state, rollout_devices.c.touched_ms
    return or_(
        and_(state == "offered", touched_ms > now_ms - OFFER_HOLDS_MS),
        and_(state == "downloading", touched_ms > now_ms - DOWNLOAD_HOLDS_MS),
    )


async def offer(
    connection: AsyncConnection, rollout_id: int, d1: str, fw2: str | None, now_ms: int
) -> bool:
    """Offer the rollout's release to a device that it is open to; False: not now."""
    found = await _read(connection, _find, rollout=rollout_id, id=d1)
    if found is None or not may_be_offered(found.rollout.state, found.held):
        return False
    after = after_offer(found.held)
    if after is None or not await _has_place(connection, found, d1, now_ms):
        return False
    values = {"state": after.state, "touched_ms": now_ms, "reported_ms": None}
    if found.has_row:
        await connection.execute(_update.values(values), {"rollout": rollout_id, "id": d1})
    else:
        values |= {"rollout_id": rollout_id, "d1": d1, "from_fw2": fw2, "offered_ms": now_ms}
        await connection.execute(insert(rollout_devices).values(values))
    await _counted(connection, found, after)
    return True


async def _has_place(connection: AsyncConnection, found: _Found, d1: str, now_ms: int) -> bool:
    """Whether one more may download. Who has begun may always go on."""
    limit = found.rollout.downloads_at_once
    if limit is None or found.held.state == "downloading":
        return True
    query = select(func.count()).where(
        rollout_devices.c.rollout_id == found.rollout.id,
        rollout_devices.c.d1 != d1,
        holds_place(now_ms),
    )
    return int((await connection.execute(query)).scalar_one()) < limit


async def acknowledge(
    connection: AsyncConnection, d1: str, values: dict[str, str], moment: Moment
) -> list[stored.Event]:
    """Note how an attempt ended; `values` are the acknowledgement's texts by column. What there is
    to announce: this device's penalty, and the steps that the rollout takes with this."""
    now_ms = moment.now_ms
    found = await _read(connection, _last_of, release=values["fw1"], id=d1)
    if found is None:
        return []
    rollout = found.rollout
    after = after_ack(found.held, values["ack1"], values.get("ack2"), rollout.penalty)
    if after is None:
        return []
    await connection.execute(
        _update.values(
            state=after.state,
            outcome=after.outcome,
            failures=after.failures,
            ack2=values.get("ack2", "")[:ACK2_MAX_CHARACTERS] or None,
            log1=values.get("log1") or values.get("ack3"),
            ended_ms=now_ms,
            reported_ms=None,
        ),
        {"rollout": rollout.id, "id": d1},
    )
    events = []
    if after.state == "penalty":
        fields = {"d1": d1, "failures": after.failures}
        events.append(stored.event(stored.PENALTY, rollout, now_ms, **fields))
    if await _counted(connection, found, after):
        changed = await stored.find(connection, rollout.id)
        assert changed is not None
        events += await stored.judge(connection, changed, now_ms) or await rollout_steps.advance(
            connection, changed, moment
        )
    return events


async def _counted(connection: AsyncConnection, found: _Found, after: Held) -> bool:
    """Keep the rollout's figures; whether they changed."""
    before, now = found.held.share, after.share
    if before == now:
        return False
    more = {"more_succeeded": now[0] - before[0], "more_failing": now[1] - before[1]}
    await connection.execute(_count, {"rollout": found.rollout.id, **more})
    return True


async def begin_download(
    connection: AsyncConnection, rollout_id: int, d1: str, now_ms: int
) -> None:
    """The first byte is on its way; also when a download goes on."""
    found = await _read(connection, _find, rollout=rollout_id, id=d1)
    if found is None or not found.has_row:
        return
    values = {"state": after_first_byte(found.held).state, "touched_ms": now_ms}
    await connection.execute(_update.values(values), {"rollout": rollout_id, "id": d1})


async def _read(connection: AsyncConnection, query: Any, **values: Any) -> _Found | None:
    row = (await connection.execute(query, values)).first()
    return None if row is None else _found(row)


def _found(row: Row[Any]) -> _Found:
    columns = row._mapping
    its = {name: columns[rollout_devices.c[name]] for name in ("state", "outcome", "failures")}
    rollout = stored.rollout_of(row)
    if its["state"] is None:
        return _Found(rollout, NOTHING_HELD, False, 0)
    return _Found(rollout, Held(**its), True, columns[rollout_devices.c.touched_ms])
