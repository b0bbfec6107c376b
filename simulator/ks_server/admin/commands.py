"""Commands to devices. Destructive ones wait as drafts until two administrators have signed.

    WIPE REVOKE DISTRUST_KEY,     draft -> signature A -> signature B -> queued
    TRUST_KEY of role admin
    all others                    queued

Each administrator signs the text in `sign_text` with a key of ADMIN_PUBLIC_KEYS; the device checks
both signatures again with the admin keys that it trusts.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import schema, signing, timetext
from ks_agent.errors import KsError, Malformed

from ..context import Context
from ..db.schema import commands, devices
from ..keys import public_keys
from ..settings import DAY_MS
from .common import (
    DeviceId,
    DevicePath,
    Form,
    Page,
    Paging,
    Server,
    fetch_one,
    fetch_page,
    found,
    record,
    time_text,
)
from .errors import ApiError
from .payloads import compose_payload, needs_two_admins, shown_payload

router = APIRouter(tags=["commands"])

EXPIRY_MAX_DAYS: Final = 365
State = Literal["draft", "queued", "delivered", "done", "cancelled"]
CommandId = Annotated[str, Path(alias="cmd1", pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class CommandForm(Form):
    """A command by name. `payload` holds the fields of CMD3, `expires` is a time in UTC."""

    name: str
    payload: dict[str, str] = Field(default_factory=dict, max_length=32)
    priority: Literal["HIGH", "NORMAL", "LOW"] = "NORMAL"
    expires: Annotated[str | None, Field(max_length=32)] = None


class SignatureForm(Form):
    """An administrator's signature over `sign_text`, base64."""

    signature: Annotated[str, Field(max_length=88)]


class Acknowledgement(BaseModel):
    """What the device answered."""

    ack1: str
    ack2: str | None
    ack3: str | None
    ack4: str | None
    received: str | None


class CommandView(BaseModel):
    """A command. `sign_text` is exactly what each administrator signs, while it is a draft."""

    cmd1: str
    d1: str
    name: str
    payload: dict[str, str]
    priority: str
    state: State
    created: str | None
    expires: str | None
    deliveries: int
    delivered: str | None
    acknowledgement: Acknowledgement | None
    sign_text: str | None
    signed_by: list[str]


def _view(row: Row[Any]) -> CommandView:
    draft = row.state == "draft"
    acknowledgement = None
    if row.ack1 is not None:
        acknowledgement = Acknowledgement(
            ack1=row.ack1,
            ack2=row.ack2,
            ack3=row.ack3,
            ack4=row.ack4,
            received=time_text(row.acked_ms),
        )
    return CommandView(
        cmd1=row.cmd1,
        d1=row.d1,
        name=row.cmd2,
        payload=shown_payload(row.cmd3),
        priority=row.cmd4,
        state=row.state,
        created=time_text(row.created_ms),
        expires=row.cmd5,
        deliveries=row.deliveries,
        delivered=time_text(row.delivered_ms),
        acknowledgement=acknowledgement,
        sign_text=_sign_text(row) if draft else None,
        signed_by=[key for key in (row.admin_key_a, row.admin_key_b) if key is not None],
    )


def _sign_text(row: Row[Any]) -> str:
    fields = {"CMD1": row.cmd1, "CMD2": row.cmd2, "CMD3": row.cmd3, "CMD5": row.cmd5}
    present = {key: value for key, value in fields.items() if value is not None}
    return str(signing.admin_text(present, row.d1))


@router.post("/devices/{d1}/commands", status_code=201)
async def create_command(server: Server, d1: DevicePath, form: CommandForm) -> CommandView:
    """Give a device a command: queued at once, or a draft that two administrators must sign."""
    declared = schema.COMMANDS.get(form.name)
    if declared is None:
        raise ApiError("INVALID", "there is no command of this name")
    cmd3 = compose_payload(server, form.name, form.payload)
    now_ms = server.now_ms()
    expires_ms = _expiry(server, form, declared.max_days, now_ms)
    draft = needs_two_admins(form.name, form.payload)
    cmd1 = f"{signing.command_prefix(server.crypto, d1)}-{secrets.token_hex(8)}"

    async def work(connection: AsyncConnection) -> CommandView:
        device = select(devices.c.state).where(devices.c.d1 == d1)
        found((await connection.execute(device)).first(), "device")
        await connection.execute(
            insert(commands).values(
                cmd1=cmd1,
                d1=d1,
                cmd2=form.name,
                cmd3=cmd3,
                cmd4=form.priority,
                cmd5=time_text(expires_ms),
                ts=time_text(now_ms),
                expires_ms=expires_ms,
                created_ms=now_ms,
                state="draft" if draft else "queued",
            )
        )
        await record(connection, server, "command", d1, {"cmd1": cmd1, "name": form.name})
        return _view(await _read(connection, cmd1))

    return await server.writer.run(work)


def _expiry(server: Context, form: CommandForm, max_days: int | None, now_ms: int) -> int:
    """CMD5 in Unix ms. Raises ApiError INVALID for one that is missing, past or too far."""
    if form.expires is None:
        if max_days is not None:
            raise ApiError("INVALID", f"expires: {form.name} needs one")
        return now_ms + server.settings.command_expiry_days * DAY_MS
    try:
        expires_ms = int(timetext.parse_ms(form.expires))
    except Malformed:
        raise ApiError("INVALID", "expires: is no UTC time like 2026-11-20T10:00:00Z") from None
    limit_days = max_days or EXPIRY_MAX_DAYS
    if not now_ms < expires_ms <= now_ms + limit_days * DAY_MS:
        raise ApiError("INVALID", f"expires: must lie within the next {limit_days} days")
    return expires_ms


@router.get("/commands")
async def list_commands(
    server: Server,
    paging: Paging,
    d1: Annotated[DeviceId | None, Query()] = None,
    state: State | None = None,
) -> Page[CommandView]:
    """Commands, the newest first; of one device or in one state when asked."""
    query = select(commands)
    if d1 is not None:
        query = query.where(commands.c.d1 == d1)
    if state is not None:
        query = query.where(commands.c.state == state)
    order = (commands.c.created_ms, commands.c.cmd1)
    return await fetch_page(server, query, order, paging, _view, newest_first=True)


@router.get("/commands/{cmd1}")
async def show_command(server: Server, cmd1: CommandId) -> CommandView:
    """One command."""
    query = select(commands).where(commands.c.cmd1 == cmd1)
    return _view(await fetch_one(server, query, "command"))


@router.post("/commands/{cmd1}/signatures", status_code=201)
async def sign_command(server: Server, cmd1: CommandId, form: SignatureForm) -> CommandView:
    """Add an administrator's signature. The second one, by another key, queues the command."""

    async def work(connection: AsyncConnection) -> CommandView:
        row = await _read(connection, cmd1)
        if row.state != "draft":
            raise ApiError("WRONG_STATE", f"the command is {row.state}, not a draft")
        if row.expires_ms <= server.now_ms():
            raise ApiError("EXPIRED", "the draft has expired: make a new one")
        key = _signer(server, _sign_text(row), form.signature)
        if key == row.admin_key_a:
            raise ApiError("SAME_ADMIN", "this administrator has signed: another one must")
        if row.admin_key_a is None:
            values = {"admin_key_a": key, "sig_admin_a": form.signature}
        else:
            values = {"admin_key_b": key, "sig_admin_b": form.signature, "state": "queued"}
        await connection.execute(update(commands).where(commands.c.cmd1 == cmd1).values(**values))
        await record(connection, server, "command-sign", row.d1, {"cmd1": cmd1, "key": key})
        return _view(await _read(connection, cmd1))

    return await server.writer.run(work)


def _signer(server: Context, text: str, signature: str) -> str:
    """The admin key that made the signature. Raises ApiError SIG_INVALID when none did."""
    for public in public_keys("ADMIN_PUBLIC_KEYS", server.settings.admin_public_keys):
        try:
            signing.verify_text(server.crypto, public, text, signature)
        except KsError:
            continue
        return str(signing.b64(public))
    raise ApiError("SIG_INVALID", "no key of ADMIN_PUBLIC_KEYS has made this signature")


@router.post("/commands/{cmd1}/cancel")
async def cancel_command(server: Server, cmd1: CommandId) -> CommandView:
    """Take back a command that no device has been given yet."""

    async def work(connection: AsyncConnection) -> CommandView:
        result = await connection.execute(
            update(commands)
            .where(commands.c.cmd1 == cmd1, commands.c.state.in_(("draft", "queued")))
            .values(state="cancelled")
        )
        row = await _read(connection, cmd1)
        if result.rowcount == 0 and row.state != "cancelled":
            raise ApiError("WRONG_STATE", f"the command is {row.state}: too late")
        if result.rowcount == 1:
            await record(connection, server, "command-cancel", row.d1, {"cmd1": cmd1})
        return _view(row)

    return await server.writer.run(work)


async def _read(connection: AsyncConnection, cmd1: str) -> Row[Any]:
    row = (await connection.execute(select(commands).where(commands.c.cmd1 == cmd1))).first()
    return found(row, "command")
