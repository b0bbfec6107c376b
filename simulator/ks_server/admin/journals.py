"""Reconciliation: of every punch that a terminal has numbered, where it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.punch_schema import journals, punch_conflicts, punch_findings, punch_gaps, punches
from ..db.schema import devices
from .common import DevicePath, Page, Paging, Server, fetch_one, fetch_page, time_text

router = APIRouter(tags=["punches"])

RANGES_MAX: Final = 1000
JOURNALS_MAX: Final = 20

Verdict = Literal["complete", "waiting", "gap"]
Reason = Literal["gap", "lost"]


class Range(BaseModel):
    """Numbers of punches, both ends included."""

    first_seq: int
    last_seq: int


class Gap(Range):
    """What will never come: `gap`, the terminal no longer held it; `lost`, a WIPE erased it."""

    reason: Reason
    recorded: str | None


class JournalView(BaseModel):
    """A journal against what is stored of it. `verdict`: `complete`, every punch up to `seq_top` is
    stored; `waiting`, the terminal still has some to send; `gap`, some will never come. `unsent`
    counts those that may still come; `oldest_unsent` is the first of them, `waiting_since` when a
    later one was here first (null while none is). At most 1000 ranges are listed, then `truncated`
    is true, and the numbers count only up to there."""

    jid: str
    verdict: Verdict
    seq_top: int
    ack_seq: int
    seq_min: int | None
    stored: int
    quarantine: int
    duplicates: int
    conflicts: int
    open_findings: int
    received: list[Range]
    gaps: list[Gap]
    missing: int
    unsent: int
    oldest_unsent: int | None
    waiting_since: str | None
    truncated: bool
    fill_percent: int | None
    room: int | None
    first: str | None
    last: str | None
    closed: str | None
    closed_by: str | None


@router.get("/devices/{d1}/journals")
async def list_journals(server: Server, paging: Paging, d1: DevicePath) -> Page[JournalView]:
    """The device's journals with every number accounted for; at most 20 a page."""
    await fetch_one(server, select(devices.c.d1).where(devices.c.d1 == d1), "device")
    paging.limit = min(paging.limit, JOURNALS_MAX)
    query = select(journals).where(journals.c.d1 == d1)
    page = await fetch_page(server, query, (journals.c.jid,), paging, lambda row: row)
    async with server.engine.connect() as connection:
        views = [await _view(connection, row) for row in page.items]
    return Page(items=views, next=page.next)


async def _view(connection: AsyncConnection, journal: Row[Any]) -> JournalView:
    received = await _received(connection, journal)
    truncated = len(received) > RANGES_MAX
    received = received[:RANGES_MAX]
    stored = sum(last - first + 1 for first, last in received)
    top = max(journal.seq_top or 0, received[-1][1] if received else 0)
    gaps = await _gaps(connection, journal)
    truncated = truncated or len(gaps) > RANGES_MAX
    gaps = gaps[:RANGES_MAX]
    settled = sorted([*received, *((gap.first_seq, gap.last_seq) for gap in gaps)])
    end = received[-1][1] if truncated else top
    waiting = list(_holes(settled, end))
    lost = sum(gap.last_seq - gap.first_seq + 1 for gap in gaps)
    counts = await _counts(connection, journal)
    return JournalView(
        jid=journal.jid,
        verdict="gap" if gaps else "waiting" if waiting else "complete",
        seq_top=top,
        ack_seq=journal.ack_seq,
        seq_min=journal.seq_min,
        stored=stored,
        duplicates=journal.duplicates,
        received=[Range(first_seq=first, last_seq=last) for first, last in received],
        gaps=gaps,
        missing=lost,
        unsent=sum(last - first + 1 for first, last in waiting),
        oldest_unsent=waiting[0][0] if waiting else None,
        waiting_since=await _since(connection, journal, waiting[0][0]) if waiting else None,
        truncated=truncated,
        fill_percent=journal.j1,
        room=journal.j2,
        first=time_text(journal.first_ms),
        last=time_text(journal.last_ms),
        closed=time_text(journal.closed_ms),
        closed_by=journal.closed_by,
        **counts,
    )


async def _since(connection: AsyncConnection, journal: Row[Any], seq: int) -> str | None:
    query = select(func.min(punches.c.received_ms)).where(
        punches.c.d1 == journal.d1, punches.c.jid == journal.jid, punches.c.seq > seq
    )
    return time_text((await connection.execute(query)).scalar())


async def _received(connection: AsyncConnection, journal: Row[Any]) -> list[tuple[int, int]]:
    """Runs of stored numbers: within one, SEQ less its position stays the same."""
    numbered = (
        select(
            punches.c.seq,
            (punches.c.seq - func.row_number().over(order_by=punches.c.seq)).label("island"),
        )
        .where(punches.c.d1 == journal.d1, punches.c.jid == journal.jid)
        .subquery()
    )
    first = func.min(numbered.c.seq)
    query = (
        select(first, func.max(numbered.c.seq))
        .group_by(numbered.c.island)
        .order_by(first)
        .limit(RANGES_MAX + 1)
    )
    return [(row[0], row[1]) for row in await connection.execute(query)]


async def _gaps(connection: AsyncConnection, journal: Row[Any]) -> list[Gap]:
    lost = (
        select(punch_findings.c.id)
        .where(
            punch_findings.c.d1 == punch_gaps.c.d1,
            punch_findings.c.jid == punch_gaps.c.jid,
            punch_findings.c.kind == "lost",
            punch_findings.c.first_seq <= punch_gaps.c.last_seq,
            punch_findings.c.last_seq >= punch_gaps.c.first_seq,
        )
        .exists()
        .label("is_lost")
    )
    query = (
        select(punch_gaps, lost)
        .where(punch_gaps.c.d1 == journal.d1, punch_gaps.c.jid == journal.jid)
        .order_by(punch_gaps.c.first_seq)
        .limit(RANGES_MAX + 1)
    )
    return [
        Gap(
            first_seq=row.first_seq,
            last_seq=row.last_seq,
            reason="lost" if row.is_lost else "gap",
            recorded=time_text(row.recorded_ms),
        )
        for row in await connection.execute(query)
    ]


async def _counts(connection: AsyncConnection, journal: Row[Any]) -> dict[str, int]:
    tables = {
        "quarantine": (punches, punches.c.state == "quarantine"),
        "conflicts": (punch_conflicts, punch_conflicts.c.seq > 0),
        "open_findings": (punch_findings, punch_findings.c.acknowledged_ms.is_(None)),
    }
    counts = {}
    for name, (table, where) in tables.items():
        query = select(func.count()).where(
            table.c.d1 == journal.d1, table.c.jid == journal.jid, where
        )
        counts[name] = int((await connection.execute(query)).scalar_one())
    return counts


def _holes(settled: Iterable[tuple[int, int]], end: int) -> Iterable[tuple[int, int]]:
    """The ranges up to `end` that no settled range covers."""
    following = 1
    for first, last in settled:
        if first > end:
            break
        if first > following:
            yield following, first - 1
        following = max(following, last + 1)
    if following <= end:
        yield following, end
