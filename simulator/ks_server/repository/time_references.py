"""Moments known both by a terminal's time base and by UTC, and the times that follow from them.

Kept are one request an hour (of UP), the first punch of a boot when it is synchronised, and every
synchronised punch beside one that is not: what any other punch would say, one of these says, and
what an upload costs does not grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .. import punch_time
from ..db.bulk import Bulk, Query
from ..db.punch_schema import punches, time_references
from ..punch_chain import SYNCED, Punch, Stored
from ..punch_time import Around, Moment, Reference
from . import people

APART_MS: Final = 3_600_000
RECHECK_MAX: Final = 500
_EACH_SIDE: Final = 64

_columns: Final = (
    time_references.c.boot,
    time_references.c.up_ms,
    time_references.c.unix_ms,
    time_references.c.uncertainty_ms,
    time_references.c.source,
)
_mine: Final = (
    time_references.c.d1 == bindparam("id"),
    time_references.c.jid == bindparam("journal"),
)
_in_boot: Final = (*_mine, time_references.c.boot == bindparam("its_boot"))
_up_to: Final = Query(
    select(*_columns)
    .where(*_in_boot, time_references.c.up_ms <= bindparam("up"))
    .order_by(time_references.c.up_ms.desc())
    .limit(_EACH_SIDE)
)
_from: Final = Query(
    select(*_columns)
    .where(*_in_boot, time_references.c.up_ms >= bindparam("up"))
    .order_by(time_references.c.up_ms)
    .limit(_EACH_SIDE)
)
_earlier: Final = Query(
    select(*_columns)
    .where(*_mine, time_references.c.boot < bindparam("its_boot"))
    .order_by(time_references.c.boot.desc(), time_references.c.up_ms.desc())
    .limit(1)
)
_later: Final = Query(
    select(*_columns)
    .where(*_mine, time_references.c.boot > bindparam("its_boot"))
    .order_by(time_references.c.boot, time_references.c.up_ms)
    .limit(1)
)
_uncertain: Final = Query(
    select(
        punches.c.seq,
        punches.c.boot_number,
        punches.c.up_ms,
        punches.c.raw_ms,
        punches.c.received_ms,
        punches.c.e1,
        punches.c.time_ms,
        punches.c.uncertainty_ms,
        punches.c.time_source,
    )
    .where(
        punches.c.d1 == bindparam("id"),
        punches.c.jid == bindparam("journal"),
        punches.c.seq >= bindparam("first"),
        punches.c.erased_ms.is_(None),  # nobody's any more
        text("time_source IN ('between', 'raw')"),  # literally, as in the index
    )
    .order_by(punches.c.seq)
    .limit(RECHECK_MAX)
)
_correct: Final = Bulk(
    update(punches)
    .where(
        punches.c.d1 == bindparam("id"),
        punches.c.jid == bindparam("journal"),
        punches.c.seq == bindparam("its_seq"),
    )
    .values(
        time_ms=bindparam("its_time_ms"),
        uncertainty_ms=bindparam("its_uncertainty_ms"),
        time_source=bindparam("its_time_source"),
        employee_id=bindparam("its_employee_id"),
        remark=bindparam("its_remark"),
    )
)


def of_punches(
    new: Sequence[Punch], stored: Mapping[int, Stored], moments: Mapping[int, Moment]
) -> list[Reference]:
    """Which of the synchronised punches, new or beside new ones, are to be references. `moments`
    are those of the new ones by SEQ."""
    if _is_one_run(new, stored, moments):
        return []
    known: dict[int, _Point] = {one.seq: _stored_point(one) for one in stored.values()}
    known.update((one.seq, _new_point(one, moments.get(one.seq))) for one in new)
    kept: dict[int, Reference] = {}
    for punch in new:
        here, before = known[punch.seq], known.get(punch.seq - 1)
        if here.reference and (before is None or before.boot != here.boot or not before.reference):
            kept[punch.seq] = here.reference
        for beside in (punch.seq - 1, punch.seq + 1):
            other = known.get(beside)
            if other is not None and other.reference and not here.reference:
                kept[beside] = other.reference
    return list(kept.values())


def _is_one_run(
    new: Sequence[Punch], stored: Mapping[int, Stored], moments: Mapping[int, Moment]
) -> bool:
    """Whether these punches go on where a synchronised one of the same boot was: mostly so."""
    if not new:
        return True
    before = stored.get(new[0].seq - 1)
    boot = new[0].boot_number
    if before is None or before.boot_number != boot or before.clk != SYNCED:
        return False
    if new[-1].seq - new[0].seq != len(new) - 1 or new[-1].seq + 1 in stored:
        return False
    return all(
        punch.boot_number == boot and punch.row.get("CLK") == SYNCED and punch.seq in moments
        for punch in new
    )


class _Point(NamedTuple):
    boot: int | None
    reference: Reference | None


def _stored_point(one: Stored) -> _Point:
    if one.clk != SYNCED or one.time_ms is None or one.uncertainty_ms is None:
        return _Point(one.boot_number, None)
    return _point(one.boot_number, one.up_ms, one.time_ms, one.uncertainty_ms)


def _new_point(one: Punch, moment: Moment | None) -> _Point:
    if moment is None or moment.source != punch_time.CLOCK or moment.uncertainty_ms is None:
        return _Point(one.boot_number, None)
    return _point(one.boot_number, one.up_ms, moment.time_ms, moment.uncertainty_ms)


def _point(boot: int | None, up_ms: int | None, time_ms: int, uncertainty_ms: int) -> _Point:
    if boot is None or up_ms is None:
        return _Point(boot, None)
    reference = Reference(boot, up_ms, time_ms, uncertainty_ms, punch_time.RECORD)
    return _Point(boot, reference)


async def keep(
    connection: AsyncConnection, d1: str, jid: str, references: Iterable[Reference]
) -> bool:
    """Store references; whether there is one of a boot that had none."""
    is_first = False
    for one in references:
        near = await _around_boot(connection, d1, jid, one.boot, one.up_ms, one.up_ms)
        if any(known.up_ms == one.up_ms for known in near):
            continue
        is_first = is_first or not near
        await connection.execute(insert(time_references), {"d1": d1, "jid": jid, **one._asdict()})
    return is_first


async def around(
    connection: AsyncConnection, d1: str, jid: str, spans: Mapping[int, tuple[int, int]]
) -> dict[int, Around]:
    """What is known around the punches of some boots; of each boot the range of UP asked about."""
    found = {}
    for boot, (low, high) in spans.items():
        same = await _around_boot(connection, d1, jid, boot, low, high)
        earlier = later = None
        if not same:
            earlier = _first(await _earlier.fetch(connection, id=d1, journal=jid, its_boot=boot))
            later = _first(await _later.fetch(connection, id=d1, journal=jid, its_boot=boot))
        found[boot] = Around(tuple(same), earlier, later)
    return found


def spans_of(points: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The range of UP for each boot of some (BOOT, UP)."""
    spans: dict[int, tuple[int, int]] = {}
    for boot, up_ms in points:
        low, high = spans.get(boot, (up_ms, up_ms))
        spans[boot] = (min(low, up_ms), max(high, up_ms))
    return spans


async def correct_again(
    connection: AsyncConnection, d1: str, jid: str, first_seq: int
) -> int | None:
    """Look again at the uncertain times from that number on, RECHECK_MAX of them at most; the
    number to go on from, or None when that was all."""
    rows = await _uncertain.fetch(connection, id=d1, journal=jid, first=first_seq)
    known = [row for row in rows if row[1] is not None and row[2] is not None]
    if known:
        await _correct_all(connection, d1, jid, known)
    return rows[-1][0] + 1 if len(rows) == RECHECK_MAX else None


async def _correct_all(connection: AsyncConnection, d1: str, jid: str, rows: Sequence[Any]) -> None:
    found = await around(connection, d1, jid, spans_of((row[1], row[2]) for row in rows))
    better = []
    for row in rows:
        seq, boot, up_ms, raw_ms, received_ms, e1 = row[:6]
        moment = punch_time.unsynced(up_ms, raw_ms, found[boot], received_ms)
        if moment != tuple(row[6:]):
            better.append((seq, e1, moment))
    persons = await people.find(connection, sorted({e1 for _, e1, _ in better if e1}))
    changes = [_change(d1, jid, seq, moment, persons.get(e1)) for seq, e1, moment in better]
    if changes:
        await _correct.execute(connection, changes)


def _change(
    d1: str, jid: str, seq: int, moment: Moment, person: people.Person | None
) -> dict[str, Any]:
    employee_id, remark = people.attribute(person, moment.time_ms)
    return {
        "id": d1,
        "journal": jid,
        "its_seq": seq,
        "its_time_ms": moment.time_ms,
        "its_uncertainty_ms": moment.uncertainty_ms,
        "its_time_source": moment.source,
        "its_employee_id": employee_id,
        "its_remark": remark,
    }


async def _around_boot(
    connection: AsyncConnection, d1: str, jid: str, boot: int, low: int, high: int
) -> list[Reference]:
    below = await _up_to.fetch(connection, id=d1, journal=jid, its_boot=boot, up=high)
    above = await _from.fetch(connection, id=d1, journal=jid, its_boot=boot, up=low)
    return [Reference(*row) for row in sorted({tuple(row) for row in (*below, *above)})]


def _first(rows: Sequence[Any]) -> Reference | None:
    return Reference(*rows[0]) if rows else None
