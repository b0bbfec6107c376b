"""Employees: who records punches, at which site, from which day to which."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, Field, model_validator
from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .. import people_csv
from ..days import zone as zone_named
from ..db.base import storable
from ..db.punch_schema import credentials, employees
from ..db.schema import sites
from ..people_csv import Person, external_id, person_name
from . import people_store
from .common import (
    MAX_INTEGER,
    Form,
    Page,
    Paging,
    Server,
    fetch_one,
    fetch_page,
    record,
    time_text,
)
from .credentials import CredentialText
from .erasure import Erased, erase_person
from .errors import ApiError
from .people_changes import change, people_changed
from .zones import UTC_NAME, Day, SiteId, first_day, last_day

router = APIRouter(tags=["employees"])

EmployeeId = Annotated[int, Path(alias="employee_id", ge=1, le=MAX_INTEGER)]
ExternalId = Annotated[str, Field(max_length=64), AfterValidator(external_id)]
Name = Annotated[str, Field(max_length=200), AfterValidator(person_name)]

_cards = (
    select(func.count())
    .select_from(credentials)
    .where(credentials.c.employee_id == employees.c.id)
    .scalar_subquery()
    .label("cards")
)
_query = select(employees, sites.c.time_zone, _cards).outerjoin(
    sites, sites.c.site == employees.c.site
)


class EmployeeView(BaseModel):
    """An employee. The days are those of the site's time zone, of UTC for somebody of all sites,
    both included. Who was erased has nothing left but the number."""

    id: int
    external_id: str | None
    name: str | None
    site: str | None
    active_from: str | None
    active_to: str | None
    cards: int
    created: str | None
    erased: str | None


class EmployeeForm(Form):
    """What is known of a person. `site` null: all sites. Without `cards` they stay as they are."""

    name: Name
    site: SiteId | None = None
    active_from: Day | None = None
    active_to: Day | None = None
    cards: Annotated[list[CredentialText], Field(max_length=people_csv.MAX_CARDS)] | None = None

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> EmployeeForm:
        if self.active_from and self.active_to and self.active_to < self.active_from:
            raise ValueError("active_to is before active_from")
        return self


class NewEmployee(EmployeeForm):
    """The same with the id that other systems know the person by."""

    external_id: ExternalId


def _view(row: Row[Any]) -> EmployeeView:
    zone = zone_named(row.time_zone or UTC_NAME)
    gone = row.deleted_ms is not None
    active_from, active_to = first_day(row.active_from_ms, zone), last_day(row.active_to_ms, zone)
    return EmployeeView(
        id=row.id,
        external_id=None if gone else row.external_id,
        name=None if gone else row.name,
        site=row.site,
        active_from=active_from.isoformat() if active_from else None,
        active_to=active_to.isoformat() if active_to else None,
        cards=row.cards,
        created=time_text(row.created_ms),
        erased=time_text(row.deleted_ms),
    )


@router.get("/employees")
async def list_employees(
    server: Server,
    paging: Paging,
    external_id: Annotated[str | None, Query(max_length=64)] = None,
    site: Annotated[str | None, Query(max_length=64)] = None,
    search: Annotated[str | None, Query(max_length=64)] = None,
    erased: bool = False,
) -> Page[EmployeeView]:
    """Employees by number; `search` looks into ids and names. `erased`: those that were."""
    gone = employees.c.deleted_ms
    query = _query.where(gone.is_not(None) if erased else gone.is_(None))
    if external_id is not None:
        query = query.where(employees.c.external_id == storable(external_id))
    if site is not None:
        query = query.where(employees.c.site == storable(site))
    if search is not None:
        text = storable(search)
        columns = (employees.c.external_id, employees.c.name)
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
    return await fetch_page(server, query, (employees.c.id,), paging, _view)


@router.post("/employees", status_code=201)
async def create_employee(server: Server, form: NewEmployee) -> EmployeeView:
    """Add a person."""

    async def work(connection: AsyncConnection) -> EmployeeView:
        there = select(employees.c.id).where(employees.c.external_id == form.external_id)
        if (await connection.execute(there)).first() is not None:
            raise ApiError("ALREADY_EXISTS", "there is an employee of this external_id")
        await _store(connection, server, form.external_id, form)
        row = (await connection.execute(_query.where(_is(form.external_id)))).one()
        await record(connection, server, "employee", str(row.id), {"cards": row.cards})
        return _view(row)

    return await change(server, work)


@router.get("/employees/{employee_id}")
async def show_employee(server: Server, employee_id: EmployeeId) -> EmployeeView:
    """One employee."""
    return _view(await fetch_one(server, _query.where(employees.c.id == employee_id), "employee"))


@router.put("/employees/{employee_id}")
async def put_employee(server: Server, employee_id: EmployeeId, form: EmployeeForm) -> EmployeeView:
    """Say anew what is known of a person; only external_id stays as it is."""

    async def work(connection: AsyncConnection) -> EmployeeView:
        mine = _query.where(employees.c.id == employee_id, employees.c.deleted_ms.is_(None))
        row = (await connection.execute(mine)).first()
        if row is None:
            raise ApiError("NOT_FOUND", "there is no such employee")
        await _store(connection, server, row.external_id, form)
        row = (await connection.execute(mine)).one()
        await record(connection, server, "employee", str(row.id), {"cards": row.cards})
        return _view(row)

    return await change(server, work)


@router.post("/employees/{employee_id}/erase")
async def erase_employee(server: Server, employee_id: EmployeeId) -> Erased:
    """Forget a person: name, ids and cards go, and every punch loses who it was. The punches' times
    stay, and their hashes, so that chains and receipts still link. Cannot be taken back. Also
    when it was done already."""

    async def work(connection: AsyncConnection) -> Erased:
        return await erase_person(connection, server, employee_id)

    return await change(server, work)


def _is(external_id: str) -> Any:
    return employees.c.external_id == external_id


async def _store(
    connection: AsyncConnection, server: Server, external_id: str, form: EmployeeForm
) -> None:
    columns = set(people_csv.COLUMNS)
    if form.cards is None:
        columns.discard("cards")
    elif len(set(form.cards)) < len(form.cards):
        raise ApiError("INVALID", "a card is given twice")
    person = Person(
        line=0,
        external_id=external_id,
        name=form.name,
        cards=tuple(form.cards or ()),
        site=form.site,
        active_from=form.active_from,
        active_to=form.active_to,
    )
    changes, steps = await people_store.plan(connection, [person], frozenset(columns))
    for error in changes.errors:
        code = "ALREADY_EXISTS" if error.code == "CARD_TAKEN" else "INVALID"
        raise ApiError(code, f"{error.column}: {error.message}")
    await people_store.carry_out(connection, steps, server.now_ms())
    await people_changed(connection, changes.texts, changes.periods)
