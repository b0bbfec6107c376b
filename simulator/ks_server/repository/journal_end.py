"""The end of a device's journals: what a WIPE erased before it was sent is lost, and named."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.punch_schema import journals, punches
from ..punch_chain import Finding
from . import findings
from .punches import record_gaps

LOST_MAX: Final = 100


async def close_all(
    connection: AsyncConnection, d1: str, cmd1: str, now_ms: int
) -> list[findings.Event]:
    """The device has erased its journals by this command: close those that are open, and name
    what it had not sent as lost (at most LOST_MAX ranges a journal, the last of which then holds
    the rest). The events to announce after the commit."""
    query = select(journals.c.jid, journals.c.ack_seq, journals.c.seq_top).where(
        journals.c.d1 == d1, journals.c.closed_ms.is_(None)
    )
    events: list[findings.Event] = []
    for jid, ack_seq, seq_top in (await connection.execute(query)).all():
        lost = await _never_sent(connection, d1, jid, ack_seq, seq_top or 0)
        await record_gaps(connection, d1, jid, lost, now_ms)
        named = [Finding("lost", *gap, "erased before it was sent") for gap in lost]
        events += await findings.record(connection, d1, jid, now_ms, named)
    await connection.execute(
        update(journals)
        .where(journals.c.d1 == d1, journals.c.closed_ms.is_(None))
        .values(closed_ms=now_ms, closed_by=cmd1)
    )
    return events


async def _never_sent(
    connection: AsyncConnection, d1: str, jid: str, ack_seq: int, seq_top: int
) -> list[tuple[int, int]]:
    """The ranges (inclusive) above `ack_seq` up to `seq_top` that are not stored."""
    lost: list[tuple[int, int]] = []
    last = ack_seq
    mine = (punches.c.d1 == d1, punches.c.jid == jid)
    while last < seq_top:
        if len(lost) == LOST_MAX:
            lost[-1] = (lost[-1][0], seq_top)
            break
        query = select(punches.c.seq).where(*mine, punches.c.seq > last)
        following = (await connection.execute(query.order_by(punches.c.seq).limit(1))).scalar()
        if following is None or following > seq_top:
            lost.append((last + 1, seq_top))
            break
        if following > last + 1:
            lost.append((last + 1, following - 1))
        last = await _end_of_run(connection, d1, jid, following)
    return lost


async def _end_of_run(connection: AsyncConnection, d1: str, jid: str, first: int) -> int:
    """The last number of the run of stored punches that begins with `first`."""
    following = punches.alias()
    has_next = (
        select(following.c.seq)
        .where(following.c.d1 == d1, following.c.jid == jid, following.c.seq == punches.c.seq + 1)
        .exists()
    )
    query = select(punches.c.seq).where(
        punches.c.d1 == d1, punches.c.jid == jid, punches.c.seq >= first, ~has_next
    )
    return int((await connection.execute(query.order_by(punches.c.seq).limit(1))).scalar_one())
