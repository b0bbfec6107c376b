"""Punches: whose, where, when by the terminal's clock and when in truth."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from .common import Page, Paging, Server, read_cursor, write_cursor
from .punch_query import CURSOR, PunchFilter, PunchView, read_filter

router = APIRouter(tags=["punches"])

Filter = Annotated[PunchFilter, Depends()]


@router.get("/punches")
async def list_punches(server: Server, paging: Paging, wanted: Filter) -> Page[PunchView]:
    """Punches by time, at the end those without one; of a site, a person, a device, a day. Days are
    those of `zone`, without it of the site asked for or of the device's site, else of UTC. A day on
    which clocks change has 23 or 25 hours, and no punch is in two days."""
    after = None if paging.after is None else read_cursor(paging.after, CURSOR)
    async with server.engine.connect() as connection:
        selection = await read_filter(connection, wanted)
        rows, position = await selection.fetch(connection, after, paging.limit)
    following = None if position is None else write_cursor(position)
    return Page(items=[selection.view(row) for row in rows], next=following)
