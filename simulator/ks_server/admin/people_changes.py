"""What follows when people change: for stored punches, and for the lists of who may punch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, and_, case, false, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..context import Context
from ..db.punch_schema import credentials, employees, punches
from ..db.runner import Work
from ..repository import allow_list, people
from .people_store import pieces

Result = TypeVar("Result")


async def change(server: Context, work: Work[Result]) -> Result:
    """Do work that terminals' allow lists may depend on, in a transaction of its own."""
    result = await server.writer.run(work)
    allow_list.changed(server)
    return result


async def people_changed(
    connection: AsyncConnection, texts: Collection[str], employee_ids: Collection[int]
) -> None:
    """After people were stored: punches that these texts name get their person, and punches of
    these employees, whose periods changed, get their remark anew. A punch that has its person
    keeps it: who a card belongs to today says nothing about the day of the punch."""
    if texts:
        await people.resolve_again(connection, sorted(texts))
    for some in pieces(employee_ids):
        rows = await connection.execute(select(employees).where(employees.c.id.in_(some)))
        for row in rows.all():
            await _remark(connection, row)


async def _remark(connection: AsyncConnection, row: Row[Any]) -> None:
    cards = select(credentials).where(
        credentials.c.employee_id == row.id,
        or_(credentials.c.active_from_ms.is_not(None), credentials.c.active_to_ms.is_not(None)),
    )
    outside = [_outside(row)]
    for card in await connection.execute(cards):
        outside.append(and_(punches.c.e1 == card.credential, _outside(card)))
    remark = case((or_(*outside), people.INACTIVE), else_=None)
    await connection.execute(
        update(punches)
        .where(punches.c.employee_id == row.id, punches.c.state == "accepted")
        .values(remark=remark)
    )


def _outside(row: Row[Any]) -> ColumnElement[bool]:
    """Whether a punch's time is outside the row's period; a punch without time is not."""
    start, end = row.active_from_ms, row.active_to_ms
    return or_(
        punches.c.time_ms < start if start is not None else false(),
        punches.c.time_ms >= end if end is not None else false(),
    )
