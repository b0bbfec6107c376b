"""Findings: what was wrong with a journal, until somebody has seen it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.punch_schema import punch_findings
from .common import (
    MAX_INTEGER,
    DeviceId,
    Page,
    Paging,
    Server,
    fetch_page,
    found,
    record,
    time_text,
)

router = APIRouter(tags=["punches"])

Kind = Literal[
    "gap",
    "lost",
    "broken_chain",
    "fork",
    "rewritten",
    "reordered",
    "behind",
    "journal_warning",
    "journal_full",
]
FindingId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]


class FindingView(BaseModel):
    """Something wrong with a journal. `resolved`: it is no longer so, as when a gap was filled;
    `acknowledged`: somebody has seen it."""

    id: int
    d1: str
    jid: str
    kind: Kind
    first_seq: int | None
    last_seq: int | None
    detail: str | None
    found: str | None
    resolved: str | None
    acknowledged: str | None


def _view(row: Row[Any]) -> FindingView:
    return FindingView(
        id=row.id,
        d1=row.d1,
        jid=row.jid,
        kind=row.kind,
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        detail=row.detail,
        found=time_text(row.found_ms),
        resolved=time_text(row.resolved_ms),
        acknowledged=time_text(row.acknowledged_ms),
    )


@router.get("/findings")
async def list_findings(
    server: Server,
    paging: Paging,
    kind: Kind | None = None,
    d1: Annotated[DeviceId | None, Query()] = None,
    jid: Annotated[str | None, Query(max_length=16)] = None,
    open: Annotated[bool, Query(description="Only what is not acknowledged")] = False,  # noqa: A002
) -> Page[FindingView]:
    """Findings, the newest first."""
    query = select(punch_findings)
    for column, value in (
        (punch_findings.c.kind, kind),
        (punch_findings.c.d1, d1),
        (punch_findings.c.jid, jid),
    ):
        if value is not None:
            query = query.where(column == value.replace("\x00", ""))
    if open:
        query = query.where(punch_findings.c.acknowledged_ms.is_(None))
    return await fetch_page(server, query, (punch_findings.c.id,), paging, _view, newest_first=True)


@router.post("/findings/{finding_id}/acknowledge")
async def acknowledge_finding(server: Server, finding_id: FindingId) -> FindingView:
    """Say that it was seen. Also when it was said before."""

    async def work(connection: AsyncConnection) -> FindingView:
        mine = punch_findings.c.id == finding_id
        result = await connection.execute(
            update(punch_findings)
            .where(mine, punch_findings.c.acknowledged_ms.is_(None))
            .values(acknowledged_ms=server.now_ms())
        )
        query = select(punch_findings).where(mine)
        view = _view(found((await connection.execute(query)).first(), "finding"))
        if result.rowcount:
            await record(connection, server, "finding-acknowledge", str(finding_id))
        return view

    return await server.writer.run(work)
