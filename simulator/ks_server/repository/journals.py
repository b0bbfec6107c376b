"""Journals: how far each is acknowledged, and how full it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.bulk import Bulk, Query
from ..db.punch_schema import journals

_mine: Final = (journals.c.d1 == bindparam("id"), journals.c.jid == bindparam("journal"))
_columns: Final = (
    journals.c.ack_seq,
    journals.c.seq_min,
    journals.c.seq_top,
    journals.c.j1,
    journals.c.j2,
    journals.c.level,
    journals.c.behind,
    journals.c.duplicates,
    journals.c.closed_ms,
    journals.c.reference_boot,
    journals.c.reference_up_ms,
    journals.c.recheck_seq,
)
_find: Final = Query(select(*_columns).where(*_mine))
_insert: Final = Bulk(
    insert(journals).inline(), ("d1", "jid", "ack_seq", "first_ms", "last_ms", "seq_top")
)
_update: Final = Bulk(
    update(journals)
    .where(*_mine)
    .values({column: bindparam("its_" + column.name) for column in _columns[:-4]})
    .values(
        last_ms=bindparam("its_last_ms"),
        reference_boot=bindparam("its_reference_boot"),
        reference_up_ms=bindparam("its_reference_up_ms"),
        recheck_seq=bindparam("its_recheck_seq"),
    )
)
_update_told: Final = Bulk(
    update(journals)
    .where(*_mine)
    .values(
        seq_top=bindparam("its_seq_top"),
        j1=bindparam("its_j1"),
        j2=bindparam("its_j2"),
        level=bindparam("its_level"),
        behind=bindparam("its_behind"),
    )
)


class Journal(NamedTuple):
    """A journal as stored; see the table for what each means."""

    ack_seq: int
    seq_min: int | None = None
    seq_top: int | None = None
    j1: int | None = None
    j2: int | None = None
    level: int = 0
    behind: bool = False
    duplicates: int = 0
    closed_ms: int | None = None
    reference_boot: int | None = None
    reference_up_ms: int | None = None
    recheck_seq: int | None = None


async def find(connection: AsyncConnection, d1: str, jid: str) -> Journal | None:
    """The journal, or None."""
    rows = await _find.fetch(connection, id=d1, journal=jid)
    return Journal(*rows[0]) if rows else None


async def create(
    connection: AsyncConnection, d1: str, jid: str, now_ms: int, seq_top: int | None = None
) -> Journal:
    """A new journal, of which nothing is acknowledged."""
    row = {
        "d1": d1,
        "jid": jid,
        "ack_seq": 0,
        "first_ms": now_ms,
        "last_ms": now_ms,
        "seq_top": seq_top,
    }
    await _insert.execute(connection, [row])
    return Journal(0, seq_top=seq_top)


async def save(
    connection: AsyncConnection, d1: str, jid: str, journal: Journal, now_ms: int
) -> None:
    """Store what a batch of punches changed."""
    row: dict[str, Any] = {"its_" + name: value for name, value in journal._asdict().items()}
    row["its_behind"] = bool(journal.behind)
    row["id"], row["journal"], row["its_last_ms"] = d1, jid, now_ms
    await _update.execute(connection, [row])


async def save_told(
    connection: AsyncConnection, changed: Sequence[tuple[str, str, Journal]]
) -> None:
    """Store what heartbeats told: of each (D1, JID, journal) how far and how full it is."""
    rows = [
        {
            "id": d1,
            "journal": jid,
            "its_seq_top": journal.seq_top,
            "its_j1": journal.j1,
            "its_j2": journal.j2,
            "its_level": journal.level,
            "its_behind": bool(journal.behind),
        }
        for d1, jid, journal in changed
    ]
    await _update_told.execute(connection, rows)
