"""The whitelist: device ids that may register, each with the one key it must have."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..context import Context
from ..db.schema import whitelist
from .common import (
    DeviceId,
    DevicePath,
    Form,
    Note,
    Page,
    Paging,
    PublicKey,
    Server,
    fetch_one,
    fetch_page,
    record,
    time_text,
)
from .errors import ApiError

router = APIRouter(tags=["whitelist"])

BULK_MAX = 5000
_LOOK_UP_MAX = 500  # below the number of parameters that SQLite takes in a statement


class EntryView(BaseModel):
    """One device that may register."""

    d1: str
    public_key: str
    note: str | None
    created: str | None


class EntryForm(Form):
    """What stands behind an id."""

    public_key: PublicKey
    note: Note | None = None


class BulkEntry(EntryForm):
    """The same with the id."""

    d1: DeviceId


class BulkForm(Form):
    """Many entries, all of them stored or, when one is wrong, none."""

    entries: Annotated[list[BulkEntry], Field(min_length=1, max_length=BULK_MAX)]


class BulkResult(BaseModel):
    """How many were new, how many got another key or note, how many were there as given."""

    added: int
    changed: int
    unchanged: int


def _view(row: Row[Any]) -> EntryView:
    return EntryView(
        d1=row.d1, public_key=row.public_key, note=row.note, created=time_text(row.created_ms)
    )


@router.get("/whitelist")
async def list_entries(server: Server, paging: Paging) -> Page[EntryView]:
    """All entries by id."""
    return await fetch_page(server, select(whitelist), (whitelist.c.d1,), paging, _view)


@router.get("/whitelist/{d1}")
async def show_entry(server: Server, d1: DevicePath) -> EntryView:
    """One entry."""
    query = select(whitelist).where(whitelist.c.d1 == d1)
    return _view(await fetch_one(server, query, "entry of the whitelist"))


@router.put("/whitelist/{d1}")
async def put_entry(server: Server, d1: DevicePath, form: EntryForm) -> EntryView:
    """Add the entry or replace it."""
    entry = BulkEntry(d1=d1, public_key=form.public_key, note=form.note)

    async def work(connection: AsyncConnection) -> EntryView:
        await _store(connection, server, [entry])
        await record(connection, server, "whitelist", d1, {"public_key": form.public_key})
        query = select(whitelist).where(whitelist.c.d1 == d1)
        return _view((await connection.execute(query)).one())

    return await server.writer.run(work)


@router.delete("/whitelist/{d1}", status_code=204)
async def delete_entry(server: Server, d1: DevicePath) -> None:
    """Remove the entry; a device that has registered stays."""

    async def work(connection: AsyncConnection) -> None:
        result = await connection.execute(delete(whitelist).where(whitelist.c.d1 == d1))
        if result.rowcount == 0:
            raise ApiError("NOT_FOUND", "there is no such entry of the whitelist")
        await record(connection, server, "whitelist-delete", d1)

    await server.writer.run(work)


@router.post("/whitelist/bulk")
async def put_many(server: Server, form: BulkForm) -> BulkResult:
    """Add or replace many entries in one transaction. An id given twice is refused."""
    ids = [entry.d1 for entry in form.entries]
    if len(set(ids)) != len(ids):
        raise ApiError("INVALID", "an id is given twice")

    async def work(connection: AsyncConnection) -> BulkResult:
        result = await _store(connection, server, form.entries)
        await record(connection, server, "whitelist-bulk", "", result.model_dump())
        return result

    return await server.writer.run(work)


async def _store(
    connection: AsyncConnection, server: Context, entries: list[BulkEntry]
) -> BulkResult:
    known: dict[str, Row[Any]] = {}
    for start in range(0, len(entries), _LOOK_UP_MAX):
        ids = [entry.d1 for entry in entries[start : start + _LOOK_UP_MAX]]
        query = select(whitelist).where(whitelist.c.d1.in_(ids))
        known.update({row.d1: row for row in await connection.execute(query)})
    added = [entry for entry in entries if entry.d1 not in known]
    changed = [
        entry
        for entry in entries
        if entry.d1 in known
        and (known[entry.d1].public_key, known[entry.d1].note) != (entry.public_key, entry.note)
    ]
    if added:
        now_ms = server.now_ms()
        rows = [{**entry.model_dump(), "created_ms": now_ms} for entry in added]
        await connection.execute(insert(whitelist), rows)
    for entry in changed:
        await connection.execute(
            update(whitelist)
            .where(whitelist.c.d1 == entry.d1)
            .values(public_key=entry.public_key, note=entry.note)
        )
    unchanged = len(entries) - len(added) - len(changed)
    return BulkResult(added=len(added), changed=len(changed), unchanged=unchanged)
