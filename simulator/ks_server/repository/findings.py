"""What was found wrong with journals, for a person to see and acknowledge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.punch_schema import punch_findings, punch_gaps
from ..log import get_logger
from ..metrics import Metrics
from ..punch_chain import Finding

HOOK: Final = "punch_finding"
Event = tuple[str, dict[str, Any]]

log = get_logger("ks_server.punches")


async def record(
    connection: AsyncConnection, d1: str, jid: str, now_ms: int, found: Sequence[Finding]
) -> list[Event]:
    """Store findings; the events to announce once that is committed."""
    if not found:
        return []
    rows = [{"d1": d1, "jid": jid, "found_ms": now_ms, **finding._asdict()} for finding in found]
    await connection.execute(insert(punch_findings), rows)
    return [(HOOK, _event(row)) for row in rows]


def announce(metrics: Metrics, events: Sequence[Event]) -> None:
    """Count and log findings, after the commit."""
    for name, fields in events:
        if name == HOOK:
            metrics.finding(fields["kind"])
            log.warning("punch_finding", **fields)


def _event(row: dict[str, Any]) -> dict[str, Any]:
    names = ("d1", "jid", "kind", "first_seq", "last_seq", "detail")
    return {name: row[name] for name in names} | {"at_ms": row["found_ms"]}


async def resolve(
    connection: AsyncConnection, d1: str, jid: str, kinds: Sequence[str], now_ms: int
) -> None:
    """The open findings of these kinds are no longer so."""
    await connection.execute(
        update(punch_findings)
        .where(
            punch_findings.c.d1 == d1,
            punch_findings.c.jid == jid,
            punch_findings.c.kind.in_(kinds),
            punch_findings.c.resolved_ms.is_(None),
        )
        .values(resolved_ms=now_ms)
    )


async def resolve_filled(
    connection: AsyncConnection, d1: str, jid: str, first: int, last: int, now_ms: int
) -> None:
    """Of the findings about missing punches in this range, those with none missing any more."""
    mine = (punch_gaps.c.d1 == d1, punch_gaps.c.jid == jid)
    still_missing = (
        select(punch_gaps.c.first_seq)
        .where(
            *mine,
            punch_gaps.c.first_seq <= punch_findings.c.last_seq,
            punch_gaps.c.last_seq >= punch_findings.c.first_seq,
        )
        .exists()
    )
    await connection.execute(
        update(punch_findings)
        .where(
            punch_findings.c.d1 == d1,
            punch_findings.c.jid == jid,
            punch_findings.c.kind.in_(("gap", "lost")),
            punch_findings.c.resolved_ms.is_(None),
            punch_findings.c.first_seq <= last,
            punch_findings.c.last_seq >= first,
            ~still_missing,
        )
        .values(resolved_ms=now_ms)
    )
