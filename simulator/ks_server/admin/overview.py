"""The fleet at a glance."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.punch_schema import punch_gaps, punches
from ..db.schema import commands, devices, firmware_acks, releases, whitelist
from ..settings import DAY_MS
from .common import Server, time_text

router = APIRouter(tags=["overview"])

MISSED_HEARTBEATS: Final = 3
"""A device counts as online until this many of its heartbeats are missing."""


class ServerKeyView(BaseModel):
    """One key of the chain."""

    seq: int
    kid: str
    public_key: str
    since: str | None


class Overview(BaseModel):
    """Numbers of the moment; states as their tables name them."""

    time: str | None
    registration_mode: str
    server_keys: list[ServerKeyView]
    devices: dict[str, int]
    devices_online: int
    whitelisted: int
    commands: dict[str, int]
    releases: dict[str, int]
    versions: dict[str, int]
    updates_failed_last_day: int
    punches: dict[str, int]
    punch_gaps: int


@router.get("/overview")
async def show_overview(server: Server) -> Overview:
    """Counts of everything."""
    now_ms = server.now_ms()
    interval_s = func.coalesce(devices.c.rto_s, server.settings.heartbeat_rto_s)
    async with server.engine.connect() as connection:
        return Overview(
            time=time_text(now_ms),
            registration_mode=server.settings.registration_mode,
            server_keys=[
                ServerKeyView(
                    seq=link.seq,
                    kid=server.keys.kid_of(link.seq),
                    public_key=link.key,
                    since=time_text(link.created_ms),
                )
                for link in server.keys.chain
            ],
            devices=await _by(connection, devices, devices.c.state),
            devices_online=await _count(
                connection,
                devices,
                devices.c.state == "active",
                devices.c.heartbeat_ms > now_ms - interval_s * (MISSED_HEARTBEATS * 1000),
            ),
            whitelisted=await _count(connection, whitelist),
            commands=await _by(connection, commands, commands.c.state),
            releases=await _by(connection, releases, releases.c.state),
            versions=await _by(connection, devices, devices.c.fw2),
            updates_failed_last_day=await _count(
                connection,
                firmware_acks,
                firmware_acks.c.ack1 != "OK",
                firmware_acks.c.received_ms > now_ms - DAY_MS,
            ),
            punches=await _by(connection, punches, punches.c.state),
            punch_gaps=await _count(connection, punch_gaps),
        )


async def _count(
    connection: AsyncConnection, table: Table, *conditions: ColumnElement[bool]
) -> int:
    query = select(func.count()).select_from(table).where(*conditions)
    return int((await connection.execute(query)).scalar_one())


async def _by(
    connection: AsyncConnection, table: Table, column: ColumnElement[Any]
) -> dict[str, int]:
    # a device may say anything as its version, so the number of groups is bounded
    count = func.count()
    query = (
        select(column, count)
        .select_from(table)
        .where(column.is_not(None))
        .group_by(column)
        .order_by(count.desc(), column)
        .limit(100)
    )
    return {str(value): int(number) for value, number in await connection.execute(query)}
