"""Which site a device is of."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.schema import devices, sites
from .common import DevicePath, Form, Server, found, record
from .devices import DeviceView, view_of
from .zones import SiteId

router = APIRouter(tags=["devices"])


class SiteChoice(Form):
    """The site's id, or null for none."""

    site: SiteId | None


@router.put("/devices/{d1}/site")
async def put_device_site(server: Server, d1: DevicePath, form: SiteChoice) -> DeviceView:
    """Say of which site the device is: the zone of its days, and whose people it knows."""

    async def work(connection: AsyncConnection) -> DeviceView:
        if form.site is not None:
            query = select(sites.c.site).where(sites.c.site == form.site)
            found((await connection.execute(query)).first(), "site")
        mine = devices.c.d1 == d1
        await connection.execute(update(devices).where(mine).values(site=form.site))
        row = found((await connection.execute(select(devices).where(mine))).first(), "device")
        await record(connection, server, "device-site", d1, {"site": form.site})
        return view_of(row)

    view = await server.writer.run(work)
    server.devices.forget(d1)  # its next request is to meet the new site
    return view
