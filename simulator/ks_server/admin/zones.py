"""What the admin API takes and gives as days and times of a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import tokens
from ks_agent.errors import Malformed

from .. import days
from ..db.schema import devices, sites
from ..people_csv import checked_day
from .errors import ApiError

UTC_NAME: Final = "UTC"
MOMENT_MAX_CHARACTERS: Final = 40
_DAY_CHARACTERS: Final = len("2026-11-20")


def _zone_name(text: str) -> str:
    try:
        days.zone(text)
    except days.UnknownZone:
        raise ValueError("is no time zone such as Europe/Berlin") from None
    return text


def _site_id(text: str) -> str:
    try:
        tokens.check_value("D1", text)  # the same alphabet and length
    except Malformed:
        raise ValueError("is no site: [A-Za-z0-9._-]{1,64}") from None
    return text


ZoneName = Annotated[str, Field(max_length=64), AfterValidator(_zone_name)]
"""An IANA name that this server knows."""

SiteId = Annotated[str, AfterValidator(_site_id)]
Day = Annotated[date, AfterValidator(checked_day)]
"""A day as in 2026-11-20."""


async def zone_of(
    connection: AsyncConnection,
    *,
    zone: str | None = None,
    site: str | None = None,
    d1: str | None = None,
) -> ZoneInfo:
    """The zone by its name, else the site's, else that of the device's site, else UTC."""
    if zone is None and site is not None:
        query = select(sites.c.time_zone).where(sites.c.site == site)
        zone = (await connection.execute(query)).scalar()
    if zone is None and d1 is not None:
        query = (
            select(sites.c.time_zone)
            .join(devices, devices.c.site == sites.c.site)
            .where(devices.c.d1 == d1)
        )
        zone = (await connection.execute(query)).scalar()
    return days.zone(zone or UTC_NAME)


async def zones_of_sites(connection: AsyncConnection) -> Mapping[str, ZoneInfo]:
    """Every site's zone."""
    rows = await connection.execute(select(sites.c.site, sites.c.time_zone))
    return {row.site: days.zone(row.time_zone) for row in rows}


def day_start_ms(day: date | None, zone: ZoneInfo) -> int | None:
    """When the day begins there."""
    return None if day is None else days.day_range(day, zone)[0]


def day_end_ms(day: date | None, zone: ZoneInfo) -> int | None:
    """When the next day begins there."""
    return None if day is None else days.day_range(day, zone)[1]


def first_day(start_ms: int | None, zone: ZoneInfo) -> date | None:
    """The day that `day_start_ms` was given."""
    return None if start_ms is None else days.local_day(start_ms, zone)


def last_day(end_ms: int | None, zone: ZoneInfo) -> date | None:
    """The day that `day_end_ms` was given."""
    return None if end_ms is None else days.local_day(end_ms - 1, zone)


def moment_ms(text: str, zone: ZoneInfo, *, is_end: bool, name: str) -> int:
    """A bound of a range: a local day, of which an end takes in the whole, or a time with its
    offset, as in 2026-11-20T08:00:00+01:00. Raises ApiError INVALID naming the field."""
    try:
        if len(text) == _DAY_CHARACTERS:
            day = checked_day(date.fromisoformat(text))
            return days.day_range(day, zone)[1 if is_end else 0]
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("a time without its offset")
        checked_day(moment.date())
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise ApiError(
            "INVALID", f"{name} is neither a day such as 2026-11-20 nor a time with its offset"
        ) from None


def local_text(unix_ms: int, zone: ZoneInfo) -> str:
    """The instant as clocks there show it, with its offset: no two moments look alike."""
    return days.local_time(unix_ms, zone).isoformat(timespec="milliseconds")
