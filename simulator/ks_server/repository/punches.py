"""Punches as they are stored: few statements for a batch, none for a single punch.

Numbers may be sparse; whatever a batch makes the server look at is bounded (WALK_MAX punches), and
what is left over is done with the next batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.base import storable
from ..db.bulk import Among, Bulk, Query
from ..db.punch_schema import punch_conflicts, punch_gaps, punches
from ..punch_chain import Punch, Stored, missing
from ..punch_time import Moment

FIELDS: Final = ("A1", "E1", "A2", "A3", "PREV", "BOOT", "UP", "CLK", "METHOD")
WALK_MAX: Final = 2_048
GAPS_MAX: Final = 500
_SPAN_MAX: Final = 512
_COLUMNS: Final = tuple(name.lower() for name in FIELDS)
_fields: Final = itemgetter(*FIELDS)
_NO_MOMENT: Final = (None, None, None)

Attribution = tuple[int | None, str | None]
"""`employee_id` and `remark`."""

_mine: Final = (punches.c.d1 == bindparam("id"), punches.c.jid == bindparam("journal"))
_beside: Final = (
    punches.c.seq,
    punches.c.hash,
    punches.c.prev,
    punches.c.boot_number,
    punches.c.up_ms,
    punches.c.clk,
    punches.c.time_ms,
    punches.c.uncertainty_ms,
)
_span: Final = Query(
    select(*_beside).where(*_mine, punches.c.seq.between(bindparam("first"), bindparam("last")))
)
_single: Final = Among(
    select(*_beside).where(*_mine, punches.c.seq.in_(bindparam("numbers", expanding=True))),
    "numbers",
    ("id", "journal"),
)
_above: Final = Query(
    select(punches.c.seq)
    .where(*_mine, punches.c.seq > bindparam("ack"))
    .order_by(punches.c.seq)
    .limit(WALK_MAX)
)
_inserted: Final = (
    "d1",
    "jid",
    "seq",
    *_COLUMNS,
    "state",
    "err1",
    "received_ms",
    "hash",
    "raw_ms",
    "boot_number",
    "up_ms",
    "time_ms",
    "uncertainty_ms",
    "time_source",
    "employee_id",
    "remark",
)
_insert: Final = Bulk(insert(punches).inline(), _inserted)
_my_gaps: Final = (punch_gaps.c.d1 == bindparam("id"), punch_gaps.c.jid == bindparam("journal"))
_gaps_at: Final = Query(
    select(punch_gaps.c.first_seq, punch_gaps.c.last_seq).where(
        *_my_gaps,
        punch_gaps.c.first_seq <= bindparam("last"),
        punch_gaps.c.last_seq >= bindparam("first"),
    )
)


async def beside(
    connection: AsyncConnection, d1: str, jid: str, numbers: Sequence[int]
) -> dict[int, Stored]:
    """What is stored under these numbers, and directly before and after each of them."""
    if not numbers:
        return {}
    first, last = min(numbers) - 1, max(numbers) + 1
    if last - first <= _SPAN_MAX:
        rows = await _span.fetch(connection, id=d1, journal=jid, first=first, last=last)
    else:
        asked = {number + step for number in numbers for step in (-1, 0, 1)}
        rows = await _single.fetch(connection, sorted(asked), d1, jid)
    return {row[0]: Stored(*row) for row in rows}


async def store(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert punches; `rows` as `row` makes them."""
    await _insert.execute(connection, rows)


def row(
    batch: tuple[str, str, int], punch: Punch, moment: Moment | None, person: Attribution
) -> dict[str, Any]:
    """A punch to be stored; `batch`: its D1, its JID, and when it was received."""
    values: dict[str, Any] = _texts(punch)
    values["d1"], values["jid"], values["received_ms"] = batch
    values["seq"] = punch.seq
    values["state"] = "accepted" if punch.err1 is None else "quarantine"
    values["err1"] = punch.err1
    values["hash"] = punch.hash
    values["raw_ms"] = punch.raw_ms
    values["boot_number"] = punch.boot_number
    values["up_ms"] = punch.up_ms
    values["time_ms"], values["uncertainty_ms"], values["time_source"] = moment or _NO_MOMENT
    values["employee_id"], values["remark"] = person
    return values


def _texts(punch: Punch) -> dict[str, str | None]:
    sent = punch.row
    if punch.is_plain:
        return dict(zip(_COLUMNS, _fields(sent), strict=True))
    return {name.lower(): storable(sent[name]) if name in sent else None for name in FIELDS}


async def unsettled(connection: AsyncConnection, d1: str, jid: str, ack_seq: int) -> Sequence[int]:
    """The lowest stored numbers above `ack_seq`, ascending, at most WALK_MAX."""
    found = await _above.fetch(connection, id=d1, journal=jid, ack=ack_seq)
    return [one[0] for one in found]


def settle(numbers: Sequence[int], ack_seq: int, seq_min: int) -> tuple[int, list[tuple[int, int]]]:
    """ACK_SEQ when `numbers` (of `unsettled`) are stored and nothing below `seq_min` will come any
    more, and the ranges that are missing below it."""
    end = seq_min
    if len(numbers) == WALK_MAX:
        end = min(end, numbers[-1] + 1)
    gaps: list[tuple[int, int]] = []
    for gap in missing(numbers, ack_seq + 1, end):
        gaps.append(gap)
        if len(gaps) == GAPS_MAX:
            end = gap[1] + 1
            break
    ack_seq = max(ack_seq, end - 1)
    for number in numbers:
        if number == ack_seq + 1:
            ack_seq = number
        elif number > ack_seq:
            break
    return ack_seq, gaps


async def record_gaps(
    connection: AsyncConnection, d1: str, jid: str, gaps: Sequence[tuple[int, int]], now_ms: int
) -> None:
    """Store ranges (inclusive) of numbers that are missing for good."""
    if not gaps:
        return
    await _forget_gaps(connection, d1, jid, gaps[0][0], gaps[-1][1])
    await _insert_gaps(connection, d1, jid, gaps, now_ms)


async def fill_gaps(
    connection: AsyncConnection, d1: str, jid: str, numbers: Sequence[int], now_ms: int
) -> tuple[int, int] | None:
    """Punches that were thought missing have come: shrink their gaps. The range of the gaps that
    changed, or None."""
    found = await _gaps_at.fetch(
        connection, id=d1, journal=jid, first=min(numbers), last=max(numbers)
    )
    if not found:
        return None
    ordered = sorted(numbers)
    left: list[tuple[int, int]] = []
    for first, last in found:
        inside = [number for number in ordered if first <= number <= last]
        left += missing(inside, first, last + 1)
    low, high = min(gap[0] for gap in found), max(gap[1] for gap in found)
    await _forget_gaps(connection, d1, jid, low, high)
    if left:
        await _insert_gaps(connection, d1, jid, left, now_ms)
    return low, high


async def _forget_gaps(
    connection: AsyncConnection, d1: str, jid: str, first: int, last: int
) -> None:
    await connection.execute(
        delete(punch_gaps).where(*_my_gaps, punch_gaps.c.first_seq.between(first, last)),
        {"id": d1, "journal": jid},
    )


async def _insert_gaps(
    connection: AsyncConnection, d1: str, jid: str, gaps: Sequence[tuple[int, int]], now_ms: int
) -> None:
    rows = [
        {"d1": d1, "jid": jid, "first_seq": first, "last_seq": last, "recorded_ms": now_ms}
        for first, last in gaps
    ]
    await connection.execute(insert(punch_gaps), rows)


async def kept_conflicts(
    connection: AsyncConnection, d1: str, jid: str, numbers: Sequence[int]
) -> set[tuple[int, str]]:
    """(SEQ, hash) of the conflicts known under these numbers."""
    query = select(punch_conflicts.c.seq, punch_conflicts.c.hash).where(
        punch_conflicts.c.d1 == d1,
        punch_conflicts.c.jid == jid,
        punch_conflicts.c.seq.in_(numbers),
    )
    return {(seq, digest) for seq, digest in (await connection.execute(query)).all()}


async def keep_conflicts(
    connection: AsyncConnection, d1: str, jid: str, found: Sequence[Punch], received_ms: int
) -> None:
    """Store other contents of numbers that are taken."""
    rows = [
        {
            **_texts(punch),
            "d1": d1,
            "jid": jid,
            "seq": punch.seq,
            "hash": punch.hash,
            "received_ms": received_ms,
        }
        for punch in found
    ]
    await connection.execute(insert(punch_conflicts), rows)
