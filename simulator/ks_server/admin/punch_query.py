"""Which punches are asked for, and what is told of each: for lists and for exports alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import Row, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ..days import day_range
from ..days import zone as zone_named
from ..db.base import storable
from ..db.punch_schema import employees, punch_findings, punches
from ..db.schema import devices, sites
from .common import DeviceId, time_text
from .errors import ApiError
from .zones import (
    MOMENT_MAX_CHARACTERS,
    UTC_NAME,
    Day,
    ZoneName,
    local_text,
    moment_ms,
    zone_of,
)

State = Literal["accepted", "quarantine"]
Chain = Literal["linked", "open", "broken"]

_before = punches.alias("before")
_kinds = (
    select(func.aggregate_strings(punch_findings.c.kind, ","))
    .where(
        punch_findings.c.d1 == punches.c.d1,
        punch_findings.c.jid == punches.c.jid,
        punch_findings.c.first_seq <= punches.c.seq,
        punch_findings.c.last_seq >= punches.c.seq,
    )
    .scalar_subquery()
    .label("finding_kinds")
)
_KEY: Final = (punches.c.d1, punches.c.jid, punches.c.seq)
# Two walks, each along an index: those that have a time, then those that have none, as they came.
_WALKS: Final = (
    (punches.c.time_ms, punches.c.time_ms.is_not(None)),
    (punches.c.received_ms, punches.c.time_ms.is_(None)),
)
CURSOR: Final = (int, int, str, str, int)


class PunchView(BaseModel):
    """A punch. `raw_time` is A3, what the terminal's clock said; `time` is what the server makes of
    it, right within `uncertainty_ms` (null: nobody knows), `local_time` the same on the clocks of
    the place. `chain`: `linked` to the one before, `open` where that is not stored, `broken`."""

    d1: str
    jid: str
    seq: int
    site: str | None
    external_id: str | None
    name: str | None
    e1: str | None
    a1: str | None
    a2: str | None
    method: str | None
    raw_time: str | None
    time: str | None
    local_time: str | None
    zone: str
    uncertainty_ms: int | None
    time_source: str | None
    boot: str | None
    up: str | None
    clk: str | None
    chain: Chain
    findings: list[str]
    remark: str | None
    state: State
    err1: str | None
    received: str | None
    erased: str | None


class PunchFilter:
    """What a list or an export of punches is narrowed down to."""

    def __init__(
        self,
        site: Annotated[str | None, Query(max_length=64)] = None,
        person: Annotated[str | None, Query(max_length=64, description="external_id")] = None,
        d1: Annotated[DeviceId | None, Query()] = None,
        jid: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
        day: Annotated[Day | None, Query(description="2026-11-20")] = None,
        first: Annotated[
            str | None,
            Query(
                alias="from",
                max_length=MOMENT_MAX_CHARACTERS,
                description="A day, or a time with its offset; included",
            ),
        ] = None,
        last: Annotated[
            str | None,
            Query(
                alias="to",
                max_length=MOMENT_MAX_CHARACTERS,
                description="A day, which is included, or a time with its offset, which is not",
            ),
        ] = None,
        zone: Annotated[
            ZoneName | None,
            Query(description="Whose days; else those of `site`, of the site of `d1`, or UTC"),
        ] = None,
        state: State | None = None,
    ) -> None:
        self.site = site
        self.person = person
        self.d1 = d1
        self.jid = jid
        self.day = day
        self.first = first
        self.last = last
        self.zone = zone
        self.state = state


@dataclass(frozen=True)
class Selection:
    """A filter, read: the statement, [start, end) of the time, and the zone that each punch's time
    is shown in (None: that of its site)."""

    query: Select[Any]
    start_ms: int | None
    end_ms: int | None
    zone: ZoneInfo | None
    zones: Mapping[str, ZoneInfo]

    async def fetch(
        self, connection: AsyncConnection, after: list[Any] | None, limit: int
    ) -> tuple[list[Row[Any]], list[Any] | None]:
        """The punches that follow a position, and the position after them; None at the end."""
        rows: list[Row[Any]] = []
        position = after
        for number, (time, where) in enumerate(_WALKS):
            if position is not None and position[0] > number:
                continue
            query = self.query.where(where)
            if self.start_ms is not None:
                query = query.where(time >= self.start_ms)
            if self.end_ms is not None:
                query = query.where(time < self.end_ms)
            if position is not None and position[0] == number:
                query = query.where(tuple_(time, *_KEY) > tuple_(*position[1:]))
            query = query.order_by(time, *_KEY).limit(limit + 1 - len(rows))
            found = (await connection.execute(query)).all()
            if len(rows) + len(found) > limit:
                rows += found[:-1]
                break
            rows += found
        else:
            return rows, None
        if rows:
            last = rows[-1]
            has_time = last.time_ms is not None
            moment = last.time_ms if has_time else last.received_ms
            position = [0 if has_time else 1, moment, last.d1, last.jid, last.seq]
        return rows, position

    def view(self, row: Row[Any]) -> PunchView:
        """One punch."""
        zone = self.zone or self.zones.get(row.site or "") or zone_named(UTC_NAME)
        kinds = sorted(set(row.finding_kinds.split(","))) if row.finding_kinds else []
        return PunchView(
            d1=row.d1,
            jid=row.jid,
            seq=row.seq,
            site=row.site,
            external_id=row.external_id,
            name=row.name,
            e1=row.e1,
            a1=row.a1,
            a2=row.a2,
            method=row.method,
            raw_time=row.a3,
            time=time_text(row.time_ms),
            local_time=None if row.time_ms is None else local_text(row.time_ms, zone),
            zone=zone.key,
            uncertainty_ms=row.uncertainty_ms,
            time_source=row.time_source,
            boot=row.boot,
            up=row.up,
            clk=row.clk,
            chain=_chain(row),
            findings=kinds,
            remark=row.remark,
            state=row.state,
            err1=row.err1,
            received=time_text(row.received_ms),
            erased=time_text(row.erased_ms),
        )


async def read_filter(connection: AsyncConnection, wanted: PunchFilter) -> Selection:
    """The statement for a filter. Raises ApiError INVALID."""
    days_of = await zone_of(connection, zone=wanted.zone, site=wanted.site, d1=wanted.d1)
    query = (
        select(
            *punches.c,
            devices.c.site,
            employees.c.external_id,
            employees.c.name,
            _before.c.hash.label("hash_before"),
            _kinds,
        )
        .outerjoin(devices, devices.c.d1 == punches.c.d1)
        .outerjoin(employees, employees.c.id == punches.c.employee_id)
        .outerjoin(
            _before,
            (_before.c.d1 == punches.c.d1)
            & (_before.c.jid == punches.c.jid)
            & (_before.c.seq == punches.c.seq - 1),
        )
    )
    if wanted.site is not None:
        mine = select(devices.c.d1).where(devices.c.site == storable(wanted.site))
        query = query.where(punches.c.d1.in_(mine))
    if wanted.person is not None:
        theirs = select(employees.c.id).where(employees.c.external_id == storable(wanted.person))
        query = query.where(punches.c.employee_id == theirs.scalar_subquery())
    for column, value in (
        (punches.c.d1, wanted.d1),
        (punches.c.jid, wanted.jid),
        (punches.c.state, wanted.state),
    ):
        if value is not None:
            query = query.where(column == value)
    shown_in = None if wanted.zone is None else zone_named(wanted.zone)
    zones = {
        row.site: zone_named(row.time_zone)
        for row in await connection.execute(select(sites.c.site, sites.c.time_zone))
    }
    return Selection(query, *_range(wanted, days_of), shown_in, zones)


def _range(wanted: PunchFilter, zone: ZoneInfo) -> tuple[int | None, int | None]:
    first, last = wanted.first, wanted.last
    if wanted.day is None:
        return (
            None if first is None else moment_ms(first, zone, is_end=False, name="from"),
            None if last is None else moment_ms(last, zone, is_end=True, name="to"),
        )
    if first is not None or last is not None:
        raise ApiError("INVALID", "day goes with neither from nor to")
    return day_range(wanted.day, zone)


def _chain(row: Row[Any]) -> Chain:
    """Whether PREV is the hash of the punch before, as far as that can be told."""
    if row.seq == 1:
        return "linked" if row.prev == "" else "broken"
    if row.hash_before is None or row.prev is None:
        return "open"
    return "linked" if row.prev == row.hash_before else "broken"
