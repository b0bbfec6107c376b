"""Devices: who they are, how they are, and ending or renewing their right to speak."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..context import Context
from ..db.base import storable
from ..db.schema import commands, devices, heartbeats
from .common import (
    MAX_INTEGER,
    DevicePath,
    Form,
    Note,
    Page,
    Paging,
    PublicKey,
    Server,
    fetch_one,
    fetch_page,
    found,
    record,
    time_text,
)
from .errors import ApiError

router = APIRouter(tags=["devices"])

State = Literal["active", "revoked"]
HEARTBEAT_FIELDS = tuple(f"hb{number}" for number in range(1, 8))


class DeviceView(BaseModel):
    """A registered device. Times are UTC; `heartbeat` holds the tokens of the last one."""

    d1: str
    d2: str
    d4: str | None
    d5: str | None
    state: State
    public_key: str
    reenrol_public_key: str | None
    server_key_seq: int
    kid: str | None
    fw2: str | None
    o1: str
    rto_s: int | None
    site: str | None
    registered: str | None
    revoked: str | None
    last_seen: str | None
    last_heartbeat: str | None
    heartbeat: dict[str, str]


class DeviceDetail(DeviceView):
    """The same with what only one device's page needs."""

    m1: str | None
    open_commands: int


class Heartbeat(BaseModel):
    """One heartbeat as received."""

    received: str | None
    fw2: str | None
    tokens: dict[str, str]


class Revocation(Form):
    """Why; noted with the action."""

    reason: Note | None = None


class ReEnrolment(Form):
    """The key of the repaired device: the only one that may register under the old id."""

    public_key: PublicKey


def view_of(row: Row[Any]) -> DeviceView:
    """A row of the table."""
    return DeviceView(**_fields(row))


def _fields(row: Row[Any]) -> dict[str, Any]:
    return {
        "d1": row.d1,
        "d2": row.d2,
        "d4": row.d4,
        "d5": row.d5,
        "state": row.state,
        "public_key": row.public_key,
        "reenrol_public_key": row.reenrol_public_key,
        "server_key_seq": row.server_seq,
        "kid": row.kid,
        "fw2": row.fw2,
        "o1": row.o1,
        "rto_s": row.rto_s,
        "site": row.site,
        "registered": time_text(row.registered_ms),
        "revoked": time_text(row.revoked_ms),
        "last_seen": time_text(row.last_seen_ms),
        "last_heartbeat": time_text(row.heartbeat_ms),
        "heartbeat": _tokens(row),
    }


def _tokens(row: Row[Any]) -> dict[str, str]:
    values = row._mapping
    return {name.upper(): values[name] for name in HEARTBEAT_FIELDS if values[name] is not None}


@router.get("/devices")
async def list_devices(
    server: Server,
    paging: Paging,
    state: State | None = None,
    d2: Annotated[str | None, Query(max_length=64)] = None,
    search: Annotated[str | None, Query(max_length=64)] = None,
    site: Annotated[str | None, Query(max_length=64)] = None,
    seen_before: Annotated[int | None, Query(ge=0, le=MAX_INTEGER, description="Unix ms")] = None,
) -> Page[DeviceView]:
    """Devices by id. `search` looks into D1, D4 and D5; `seen_before` finds the silent ones."""
    query = select(devices)
    if state is not None:
        query = query.where(devices.c.state == state)
    if d2 is not None:
        query = query.where(devices.c.d2 == storable(d2))
    if site is not None:
        query = query.where(devices.c.site == storable(site))
    if seen_before is not None:
        query = query.where(devices.c.last_seen_ms < seen_before)
    if search is not None:
        text = storable(search)
        columns = (devices.c.d1, devices.c.d4, devices.c.d5)
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return await fetch_page(server, query, (devices.c.d1,), paging, view_of)


@router.get("/devices/{d1}")
async def show_device(server: Server, d1: DevicePath) -> DeviceDetail:
    """One device."""
    waiting = (
        select(func.count())
        .select_from(commands)
        .where(commands.c.d1 == d1, commands.c.state.in_(("queued", "delivered")))
        .scalar_subquery()
        .label("open_commands")
    )
    row = await fetch_one(server, select(devices, waiting).where(devices.c.d1 == d1), "device")
    return DeviceDetail(**_fields(row), m1=row.m1, open_commands=row.open_commands)


@router.get("/devices/{d1}/heartbeats")
async def list_heartbeats(server: Server, paging: Paging, d1: DevicePath) -> Page[Heartbeat]:
    """What the device has reported, the newest first."""
    query = select(heartbeats).where(heartbeats.c.d1 == d1)

    def view(row: Row[Any]) -> Heartbeat:
        return Heartbeat(received=time_text(row.received_ms), fw2=row.fw2, tokens=_tokens(row))

    return await fetch_page(server, query, (heartbeats.c.id,), paging, view, newest_first=True)


@router.post("/devices/{d1}/revoke")
async def revoke(server: Server, d1: DevicePath, form: Revocation) -> DeviceView:
    """Answer the device REVOKED from now on; it is still given WIPE and REVOKE. Also when it is
    revoked already."""

    async def work(connection: AsyncConnection) -> tuple[DeviceView, bool]:
        result = await connection.execute(
            update(devices)
            .where(devices.c.d1 == d1, devices.c.state == "active")
            .values(state="revoked", revoked_ms=server.now_ms(), reenrol_public_key=None)
        )
        changed = result.rowcount == 1
        view = await _read(connection, d1)
        if changed:
            await record(connection, server, "revoke", d1, {"reason": form.reason})
        return view, changed

    view, changed = await server.writer.run(work)
    if changed:
        server.metrics.event("device_revoked")
        server.hooks.emit("device_revoked", d1=d1, reason=form.reason)
    return view


@router.post("/devices/{d1}/reinstate")
async def reinstate(server: Server, d1: DevicePath) -> DeviceView:
    """Take a revocation back. Also when the device is active already."""

    async def work(connection: AsyncConnection) -> DeviceView:
        await connection.execute(
            update(devices)
            .where(devices.c.d1 == d1, devices.c.state == "revoked")
            .values(state="active", revoked_ms=None)
        )
        view = await _read(connection, d1)
        await record(connection, server, "reinstate", d1)
        return view

    return await server.writer.run(work)


@router.post("/devices/{d1}/re-enrol")
async def re_enrol(server: Server, d1: DevicePath, form: ReEnrolment) -> DeviceView:
    """Let one new key register under this id, once: for a device whose key was lost in a repair.
    Until it does, the old key stays good."""

    async def work(connection: AsyncConnection) -> DeviceView:
        view = await _read(connection, d1)
        if view.state != "active":
            raise ApiError("WRONG_STATE", "the device is revoked: reinstate it first")
        if view.public_key == form.public_key:
            raise ApiError("ALREADY_EXISTS", "the device has this key already")
        return await _set_key(connection, server, d1, form.public_key)

    return await server.writer.run(work)


@router.delete("/devices/{d1}/re-enrol")
async def cancel_re_enrolment(server: Server, d1: DevicePath) -> DeviceView:
    """Forget the new key that has not registered yet."""

    async def work(connection: AsyncConnection) -> DeviceView:
        return await _set_key(connection, server, d1, None)

    return await server.writer.run(work)


async def _set_key(
    connection: AsyncConnection, server: Context, d1: str, key: str | None
) -> DeviceView:
    await connection.execute(
        update(devices).where(devices.c.d1 == d1).values(reenrol_public_key=key)
    )
    view = await _read(connection, d1)
    await record(connection, server, "re-enrol", d1, {"public_key": key})
    return view


async def _read(connection: AsyncConnection, d1: str) -> DeviceView:
    row = (await connection.execute(select(devices).where(devices.c.d1 == d1))).first()
    return view_of(found(row, "device"))
