"""Forgetting who it was: E1 goes, everything else of a punch stays.

The stored hash stays too, so that the chain of a journal and receipts still link (receipts.row_of).
It covers E1: who has a guess at E1 and all other fields could confirm it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .db.punch_schema import punch_conflicts, punches

BATCH_MAX: Final = 5_000

_BLANK: Final[dict[str, Any]] = {"e1": None}
_NOBODY: Final[dict[str, Any]] = {**_BLANK, "employee_id": None, "remark": None}


async def erase_person(
    connection: AsyncConnection, employee_id: int, texts: Sequence[str], now_ms: int
) -> tuple[int, int]:
    """Take the employee, and E1 of these texts that is nobody else's, out of everything stored.

    Returns how many punches and how many conflicts lost their E1.
    """
    mine = punches.c.employee_id == employee_id
    nobodys = punches.c.employee_id.is_(None) & punches.c.e1.in_(texts)
    # the conflicts of a person's punches are the person's, whatever they say
    beside = (
        select(punch_conflicts.c.id)
        .join(
            punches,
            (punches.c.d1 == punch_conflicts.c.d1)
            & (punches.c.jid == punch_conflicts.c.jid)
            & (punches.c.seq == punch_conflicts.c.seq),
        )
        .where(mine)
    )
    conflicts = punch_conflicts.c.e1.in_(texts) | punch_conflicts.c.id.in_(beside)
    erased_conflicts = await _erase(connection, punch_conflicts, conflicts, _BLANK, now_ms)
    erased = await _erase(connection, punches, mine, _NOBODY, now_ms)
    if texts:
        erased += await _erase(connection, punches, nobodys, _NOBODY, now_ms)
    return erased, erased_conflicts


async def erase_texts(
    connection: AsyncConnection, texts: Sequence[str], now_ms: int
) -> tuple[int, int]:
    """The same for E1 that no employee has: visitors, cards of people erased before."""
    nobodys = punches.c.employee_id.is_(None) & punches.c.e1.in_(texts)
    conflicts = await _erase(
        connection, punch_conflicts, punch_conflicts.c.e1.in_(texts), _BLANK, now_ms
    )
    return await _erase(connection, punches, nobodys, _NOBODY, now_ms), conflicts


async def erase_older(
    connection: AsyncConnection, from_ms: int, before_ms: int, now_ms: int
) -> int:
    """Erase what was received in [from_ms, before_ms), at most BATCH_MAX punches of it.

    Returns up to when nothing is left to erase: `before_ms` once all of it is done.
    """
    whole = (
        punches.c.received_ms >= from_ms,
        punches.c.received_ms < before_ms,
        punches.c.erased_ms.is_(None),
    )
    key = (punches.c.d1, punches.c.jid, punches.c.seq)
    query = select(*key, punches.c.received_ms).where(*whole)
    rows = (await connection.execute(query.order_by(punches.c.received_ms).limit(BATCH_MAX))).all()
    if rows:
        some = (
            select(*key).where(*whole).order_by(punches.c.received_ms).limit(BATCH_MAX).subquery()
        )
        mine = tuple_(*key).in_(select(some))
        await _erase(connection, punches, mine, _NOBODY, now_ms)
    done_ms = before_ms if len(rows) < BATCH_MAX else int(rows[-1].received_ms)
    old = (punch_conflicts.c.received_ms >= from_ms) & (punch_conflicts.c.received_ms < before_ms)
    await _erase(connection, punch_conflicts, old, _BLANK, now_ms)
    return done_ms


async def _erase(
    connection: AsyncConnection,
    table: Table,
    where: ColumnElement[bool],
    blank: dict[str, Any],
    now_ms: int,
) -> int:
    result = await connection.execute(
        update(table).where(where, table.c.erased_ms.is_(None)).values(**blank, erased_ms=now_ms)
    )
    return int(result.rowcount)
