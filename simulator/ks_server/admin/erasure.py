"""Forgetting people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .. import erasure
from ..context import Context
from ..db.punch_schema import credentials, employees
from .common import Form, Server, found, record
from .credentials import CredentialText
from .people_changes import change

router = APIRouter(tags=["employees"])

ERASED_ID = "~{}"
"""What stands in place of an external id: outside the alphabet of those, so nobody can have it."""


class Erased(BaseModel):
    """How much was forgotten."""

    punches: int
    conflicts: int
    cards: int


class ErasureForm(Form):
    """What readers read, or ids: E1 as it stands in punches."""

    e1: Annotated[list[CredentialText], Field(min_length=1, max_length=100)]


@router.post("/punches/erase")
async def erase_punches(server: Server, form: ErasureForm) -> Erased:
    """Forget E1 in punches that no employee is known for: of visitors, of lost cards, and what
    terminals still sent after a person was erased."""

    async def work(connection: AsyncConnection) -> Erased:
        gone, conflicts = await erasure.erase_texts(connection, form.e1, server.now_ms())
        result = Erased(punches=gone, conflicts=conflicts, cards=0)
        if gone or conflicts:
            await record(connection, server, "punches-erase", "", result.model_dump())
        return result

    return await change(server, work)


async def erase_person(connection: AsyncConnection, server: Context, employee_id: int) -> Erased:
    """Erase an employee in this transaction. Raises ApiError NOT_FOUND."""
    query = select(employees).where(employees.c.id == employee_id)
    row = found((await connection.execute(query)).first(), "employee")
    if row.deleted_ms is not None:
        return Erased(punches=0, conflicts=0, cards=0)
    now_ms = server.now_ms()
    mine = credentials.c.employee_id == employee_id
    cards = list((await connection.execute(select(credentials.c.credential).where(mine))).scalars())
    await connection.execute(delete(credentials).where(mine))
    await connection.execute(
        update(employees)
        .where(employees.c.id == employee_id)
        .values(
            external_id=ERASED_ID.format(employee_id),
            name="",
            site=None,
            active_from_ms=None,
            active_to_ms=None,
            deleted_ms=now_ms,
        )
    )
    gone, conflicts = await erasure.erase_person(
        connection, employee_id, [row.external_id, *cards], now_ms
    )
    result = Erased(punches=gone, conflicts=conflicts, cards=len(cards))
    await record(connection, server, "employee-erase", str(employee_id), result.model_dump())
    return result
