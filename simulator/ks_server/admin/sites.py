"""Sites: where terminals hang, and by which clock people there live."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.base import storable
from ..db.schema import devices, sites
from .common import Form, Page, Paging, Server, fetch_one, fetch_page, record, time_text
from .errors import ApiError
from .people_changes import change
from .zones import SiteId, ZoneName

router = APIRouter(tags=["sites"])

SitePath = Annotated[SiteId, Path(alias="site")]

_terminals = (
    select(func.count())
    .select_from(devices)
    .where(devices.c.site == sites.c.site)
    .scalar_subquery()
    .label("devices")
)


class SiteView(BaseModel):
    """A site. `allow_list`: its terminals hold a list of who may record punches."""

    site: str
    name: str
    time_zone: str
    allow_list: bool
    devices: int
    created: str | None


class SiteForm(Form):
    """What a site is. The time zone is an IANA name."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]
    time_zone: ZoneName
    allow_list: bool = False


def _view(row: Row[Any]) -> SiteView:
    return SiteView(
        site=row.site,
        name=row.name,
        time_zone=row.time_zone,
        allow_list=row.allow_list,
        devices=row.devices,
        created=time_text(row.created_ms),
    )


@router.get("/sites")
async def list_sites(server: Server, paging: Paging) -> Page[SiteView]:
    """All sites by id, each with the number of its devices."""
    return await fetch_page(server, select(sites, _terminals), (sites.c.site,), paging, _view)


@router.get("/sites/{site}")
async def show_site(server: Server, site: SitePath) -> SiteView:
    """One site."""
    query = select(sites, _terminals).where(sites.c.site == site)
    return _view(await fetch_one(server, query, "site"))


@router.put("/sites/{site}")
async def put_site(server: Server, site: SitePath, form: SiteForm) -> SiteView:
    """Add the site or change it. A changed time zone changes how times are shown, and days that
    are asked for; active days of employees that are stored stay the moments that they were."""

    async def work(connection: AsyncConnection) -> SiteView:
        mine = sites.c.site == site
        changed = await connection.execute(update(sites).where(mine).values(**form.model_dump()))
        if changed.rowcount == 0:
            row = {"site": site, "created_ms": server.now_ms(), **form.model_dump()}
            await connection.execute(insert(sites).values(**row))
        detail = {"time_zone": form.time_zone, "allow_list": form.allow_list}
        await record(connection, server, "site", site, detail)
        return _view((await connection.execute(select(sites, _terminals).where(mine))).one())

    return await change(server, work)


@router.delete("/sites/{site}", status_code=204)
async def delete_site(server: Server, site: SitePath) -> None:
    """Remove a site that no device and no employee is of."""

    async def work(connection: AsyncConnection) -> None:
        try:
            async with connection.begin_nested():
                result = await connection.execute(delete(sites).where(sites.c.site == site))
        except IntegrityError:
            raise ApiError("WRONG_STATE", "devices or employees are of this site") from None
        if result.rowcount == 0:
            raise ApiError("NOT_FOUND", "there is no such site")
        await record(connection, server, "site-delete", site)

    await change(server, work)
