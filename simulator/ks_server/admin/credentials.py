"""Credentials: what readers read, each of one employee. They stand in bodies and answers, never in
a path: paths are logged."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field, model_validator
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .. import people_csv
from ..days import zone as zone_named
from ..db.base import storable
from ..db.punch_schema import credentials, employees
from ..db.schema import sites
from .common import MAX_INTEGER, Form, Page, Paging, Server, fetch_page, found, record, time_text
from .errors import ApiError
from .people_changes import change, people_changed
from .people_store import card_hash
from .zones import UTC_NAME, Day, day_end_ms, day_start_ms, first_day, last_day

router = APIRouter(tags=["employees"])

CredentialText = Annotated[str, Field(max_length=64), AfterValidator(people_csv.credential)]

_query = (
    select(credentials, employees.c.external_id, sites.c.time_zone)
    .join(employees, employees.c.id == credentials.c.employee_id)
    .outerjoin(sites, sites.c.site == employees.c.site)
)


class CredentialView(BaseModel):
    """A card, PIN or code and whose it is. Days as in an employee."""

    credential: str
    employee_id: int
    external_id: str
    active_from: str | None
    active_to: str | None
    created: str | None


class CredentialForm(Form):
    """Whose it is, and from which day to which, both included."""

    credential: CredentialText
    employee_id: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    active_from: Day | None = None
    active_to: Day | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> CredentialForm:
        if self.active_from and self.active_to and self.active_to < self.active_from:
            raise ValueError("active_to is before active_from")
        return self


class CredentialName(Form):
    """Which one."""

    credential: CredentialText


def _view(row: Row[Any]) -> CredentialView:
    zone = zone_named(row.time_zone or UTC_NAME)
    active_from, active_to = first_day(row.active_from_ms, zone), last_day(row.active_to_ms, zone)
    return CredentialView(
        credential=row.credential,
        employee_id=row.employee_id,
        external_id=row.external_id,
        active_from=active_from.isoformat() if active_from else None,
        active_to=active_to.isoformat() if active_to else None,
        created=time_text(row.created_ms),
    )


@router.get("/credentials")
async def list_credentials(
    server: Server,
    paging: Paging,
    employee_id: Annotated[int | None, Query(ge=1, le=MAX_INTEGER)] = None,
    credential: Annotated[str | None, Query(max_length=64)] = None,
) -> Page[CredentialView]:
    """Credentials, of one employee or of this text when asked."""
    query = _query
    if employee_id is not None:
        query = query.where(credentials.c.employee_id == employee_id)
    if credential is not None:
        query = query.where(credentials.c.credential == storable(credential))
    return await fetch_page(server, query, (credentials.c.credential,), paging, _view)


@router.put("/credentials")
async def put_credential(server: Server, form: CredentialForm) -> CredentialView:
    """Give an employee a credential, or change its days. Somebody else's has to be removed
    first."""

    async def work(connection: AsyncConnection) -> CredentialView:
        owner = (
            select(employees, sites.c.time_zone)
            .outerjoin(sites, sites.c.site == employees.c.site)
            .where(employees.c.id == form.employee_id, employees.c.deleted_ms.is_(None))
        )
        person = found((await connection.execute(owner)).first(), "employee")
        await _refuse_taken(connection, form, person.external_id)
        zone = zone_named(person.time_zone or UTC_NAME)
        days = {
            "active_from_ms": day_start_ms(form.active_from, zone),
            "active_to_ms": day_end_ms(form.active_to, zone),
        }
        mine = credentials.c.credential == form.credential
        changed = await connection.execute(update(credentials).where(mine).values(**days))
        if changed.rowcount == 0:
            row = {
                "credential": form.credential,
                "hash": card_hash(form.credential),
                "employee_id": form.employee_id,
                "created_ms": server.now_ms(),
                **days,
            }
            await connection.execute(insert(credentials).values(**row))
        await people_changed(connection, [form.credential], [form.employee_id])
        await record(connection, server, "credential", str(form.employee_id))
        return _view((await connection.execute(_query.where(mine))).one())

    return await change(server, work)


@router.post("/credentials/remove", status_code=204)
async def remove_credential(server: Server, form: CredentialName) -> None:
    """Take a credential away. Punches that it was used for stay its owner's."""

    async def work(connection: AsyncConnection) -> None:
        mine = credentials.c.credential == form.credential
        row = (await connection.execute(select(credentials).where(mine))).first()
        row = found(row, "credential")
        await connection.execute(delete(credentials).where(mine))
        await record(connection, server, "credential-remove", str(row.employee_id))

    await change(server, work)


async def _refuse_taken(
    connection: AsyncConnection, form: CredentialForm, external_id: str
) -> None:
    query = select(credentials.c.employee_id).where(credentials.c.credential == form.credential)
    owner = (await connection.execute(query)).scalar()
    if owner is not None and owner != form.employee_id:
        raise ApiError("ALREADY_EXISTS", "the credential is somebody else's")
    if form.credential != external_id:
        namesake = select(employees.c.id).where(employees.c.external_id == form.credential)
        if (await connection.execute(namesake)).first() is not None:
            raise ApiError("ALREADY_EXISTS", "the credential is somebody else's external_id")
