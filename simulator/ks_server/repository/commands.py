"""Commands: what waits for a device, in the order in which it should get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.schema import FOR_REVOKED
from ks_agent.tokens import ANSWER_MAX_COMMANDS

from ..db.bulk import Among
from ..db.schema import commands

OPEN: Final = ("queued", "delivered")

_rank: Final = case({"HIGH": 0, "NORMAL": 1}, value=commands.c.cmd4, else_=2)
_is_open: Final = (
    commands.c.state.in_(OPEN),
    or_(commands.c.expires_ms.is_(None), commands.c.expires_ms > bindparam("now")),
)
_position: Final = (
    func.row_number()
    .over(partition_by=commands.c.d1, order_by=(_rank, commands.c.created_ms, commands.c.cmd1))
    .label("position")
)
_open_of: Final = (
    select(commands, _position)
    .where(commands.c.d1.in_(bindparam("ids", expanding=True)), *_is_open)
    .subquery()
)
_next: Final = (
    select(_open_of)
    .where(_open_of.c.position <= ANSWER_MAX_COMMANDS)
    .order_by(_open_of.c.d1, _open_of.c.position)
)
_next_ids: Final = Among(
    select(_open_of.c.d1, _open_of.c.cmd1)
    .where(_open_of.c.position <= ANSWER_MAX_COMMANDS)
    .order_by(_open_of.c.d1, _open_of.c.position),
    "ids",
    ("now",),
)
_for_revoked: Final = (
    select(commands)
    .where(commands.c.d1 == bindparam("id"), commands.c.cmd2.in_(FOR_REVOKED), *_is_open)
    .order_by(_rank, commands.c.created_ms, commands.c.cmd1)
    .limit(ANSWER_MAX_COMMANDS)
)
_deliver: Final = (
    update(commands)
    .where(commands.c.cmd1.in_(bindparam("ids", expanding=True)))
    .values(state="delivered", deliveries=commands.c.deliveries + 1, delivered_ms=bindparam("now"))
)


async def next_ids(
    connection: AsyncConnection, d1s: Sequence[str], now_ms: int
) -> dict[str, list[str]]:
    """For each device with open commands the CMD1 of those that a poll would deliver."""
    found: dict[str, list[str]] = {}
    for d1, cmd1 in await _next_ids.fetch(connection, d1s, now_ms):
        found.setdefault(d1, []).append(cmd1)
    return found


async def next_commands(
    connection: AsyncConnection, d1: str, revoked: bool, now_ms: int
) -> Sequence[Row[Any]]:
    """The commands that a poll delivers, most urgent first; few kinds to a revoked device."""
    if revoked:
        result = await connection.execute(_for_revoked, {"id": d1, "now": now_ms})
    else:
        result = await connection.execute(_next, {"ids": [d1], "now": now_ms})
    return result.all()


async def mark_delivered(connection: AsyncConnection, cmd1s: Sequence[str], now_ms: int) -> None:
    """Remember that these have been sent; they are sent again until acknowledged."""
    await connection.execute(_deliver, {"ids": list(cmd1s), "now": now_ms})


async def has_open(connection: AsyncConnection, d1: str, cmd2: str, now_ms: int) -> bool:
    """Whether the device has an unfinished, unexpired command of that name."""
    query = select(commands.c.cmd1).where(commands.c.d1 == d1, commands.c.cmd2 == cmd2, *_is_open)
    return (await connection.execute(query.limit(1), {"now": now_ms})).first() is not None
