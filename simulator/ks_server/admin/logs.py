"""What devices have sent of their own doing: logs, update reports; and what administrators did."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from sqlalchemy import Row, Select, select

from ..db.base import storable
from ..db.schema import admin_actions, firmware_acks, log_rows, log_uploads
from .common import MAX_INTEGER, DeviceId, Page, Paging, Server, fetch_one, fetch_page, time_text

router = APIRouter(tags=["logs"])

Token = Annotated[str | None, Query(max_length=64)]
Device = Annotated[DeviceId | None, Query()]
UploadId = Annotated[int, Path(ge=1, le=MAX_INTEGER)]


class UploadView(BaseModel):
    """One upload of a device's log."""

    id: int
    d1: str
    log1: str
    log2: str
    log3: str | None
    log4: str | None
    log5: str | None
    cmd1: str | None
    fw1: str | None
    received: str | None


class LogRow(BaseModel):
    """Level, message and time of a line, as the device wrote them."""

    log2: str | None
    log3: str | None
    log4: str | None


class UploadDetail(UploadView):
    """An upload with its lines, at most as many as one request holds."""

    rows: list[LogRow]


class UpdateReport(BaseModel):
    """How an update went on a device."""

    d1: str
    fw1: str
    fw2: str
    ack1: str
    ack2: str | None
    ack3: str | None
    log1: str | None
    received: str | None


class ActionView(BaseModel):
    """Something an administrator did. `detail` is JSON text."""

    at: str | None
    actor: str
    action: str
    subject: str | None
    detail: str | None


def _upload(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "d1", "log1", "log2", "log3", "log4", "log5", "cmd1", "fw1")
    fields = {name: row._mapping[name] for name in names}
    return {**fields, "received": time_text(row.received_ms)}


def _where(query: Select[Any], table: Any, **values: str | None) -> Select[Any]:
    for name, value in values.items():
        if value is not None:
            query = query.where(table.c[name] == storable(value))
    return query


@router.get("/logs")
async def list_uploads(
    server: Server, paging: Paging, d1: Device = None, cmd1: Token = None, fw1: Token = None
) -> Page[UploadView]:
    """Log uploads, the newest first; of a device, a command or a release when asked."""
    query = _where(select(log_uploads), log_uploads, d1=d1, cmd1=cmd1, fw1=fw1)
    return await fetch_page(
        server,
        query,
        (log_uploads.c.id,),
        paging,
        lambda row: UploadView(**_upload(row)),
        newest_first=True,
    )


@router.get("/logs/{upload_id}")
async def show_upload(server: Server, upload_id: UploadId) -> UploadDetail:
    """One upload with its lines in order."""
    query = select(log_uploads).where(log_uploads.c.id == upload_id)
    upload = await fetch_one(server, query, "log upload")
    lines = select(log_rows).where(log_rows.c.upload_id == upload_id).order_by(log_rows.c.position)
    async with server.engine.connect() as connection:
        rows = (await connection.execute(lines)).all()
    return UploadDetail(
        **_upload(upload),
        rows=[LogRow(log2=row.log2, log3=row.log3, log4=row.log4) for row in rows],
    )


@router.get("/updates")
async def list_update_reports(
    server: Server, paging: Paging, d1: Device = None, fw1: Token = None
) -> Page[UpdateReport]:
    """Reports of updates, the newest first."""

    def view(row: Row[Any]) -> UpdateReport:
        names = ("d1", "fw1", "fw2", "ack1", "ack2", "ack3", "log1")
        fields = {name: row._mapping[name] for name in names}
        return UpdateReport(**fields, received=time_text(row.received_ms))

    query = _where(select(firmware_acks), firmware_acks, d1=d1, fw1=fw1)
    return await fetch_page(server, query, (firmware_acks.c.id,), paging, view, newest_first=True)


@router.get("/actions")
async def list_actions(server: Server, paging: Paging, subject: Token = None) -> Page[ActionView]:
    """What was done over this API, the newest first."""

    def view(row: Row[Any]) -> ActionView:
        return ActionView(
            at=time_text(row.at_ms),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            detail=row.detail,
        )

    query = _where(select(admin_actions), admin_actions, subject=subject)
    return await fetch_page(server, query, (admin_actions.c.id,), paging, view, newest_first=True)
