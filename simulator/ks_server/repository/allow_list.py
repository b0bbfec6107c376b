"""The allow lists: which credentials a site's terminals know, in pages, by version.

What pages and versions are is ks_agent.allow_pages' word. A list is a function of what is active
now, so the same people give the same version, whoever asks and whenever. Lists are kept in memory
until something changes (`changed`), somebody's active_from or active_to passes, or LIST_AGE_MS is
over, as another process may change the database too.

Logged as errors: `allow_list_too_large`, when a site's credentials do not fit, and its terminals
keep the list that they have; `allow_list_left_out`, when recorded ids are none that the admin API
takes, and their credentials stay out of the list.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from ks_agent import tokens
from ks_agent.allow_pages import PAGES_MAX, page_of, page_text, text_digest
from ks_agent.errors import Malformed

from ..db.punch_schema import credentials, employees
from ..db.schema import sites
from ..log import get_logger

if TYPE_CHECKING:
    from ..context import Context

NONE: Final = "none"
LIST_AGE_MS: Final = 60_000
# a terminal has room for little more while it reads an answer
TEXT_GOAL_BYTES: Final = 2500
# of 4096 bytes are 215 rows at most: a terminal counts them in one byte
TEXT_MAX_BYTES: Final = tokens.VALUE_MAX_BYTES

Entry = tuple[str, str]
"""C1 and E1."""

log = get_logger("ks_server.allow_list")


@dataclass(frozen=True)
class AllowList:
    """One version: `index` is AL4, `pages` are the AL5."""

    version: str
    index: str
    pages: tuple[str, ...]

    @property
    def longest(self) -> int:
        """Bytes of the longest text that a terminal has to read."""
        return max(len(self.index), *(len(page) for page in self.pages))


class TooLarge(Exception):
    """The site's list does not fit into PAGES_MAX pages: its terminals keep the one they have."""


@dataclass(frozen=True)
class _Kept:
    allow_list: AllowList | None
    from_ms: int
    until_ms: int
    is_too_large: bool = False


class AllowLists:
    """The current list of each site."""

    def __init__(self, engine: AsyncEngine, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._kept: dict[str, _Kept] = {}
        self._changes = 0
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Something that the lists are made of has changed."""
        self._changes += 1
        self._kept.clear()

    async def current(self, site: str | None) -> AllowList | None:
        """The list that terminals of the site are to hold; None when they are to hold none.

        Raises TooLarge.
        """
        if site is None:
            return None
        kept = self._valid(site)
        if kept is None:
            async with self._reading:
                kept = self._valid(site)
                if kept is None:
                    changes = self._changes
                    kept = await self._read(site)
                    if changes == self._changes:
                        self._kept[site] = kept
        if kept.is_too_large:
            raise TooLarge
        return kept.allow_list

    def _valid(self, site: str) -> _Kept | None:
        kept = self._kept.get(site)
        # a clock that went back makes other people active, too
        if kept is None or not kept.from_ms <= self._now_ms() < kept.until_ms:
            return None
        return kept

    async def _read(self, site: str) -> _Kept:
        now_ms = self._now_ms()
        async with self._engine.connect() as connection:
            query = select(sites.c.allow_list).where(sites.c.site == site)
            if not (await connection.execute(query)).scalar():
                return _Kept(None, now_ms, now_ms + LIST_AGE_MS)
            rows = (await connection.execute(_active(site, now_ms))).all()
            ends = [
                (await connection.execute(_next_change(column, now_ms))).scalar()
                for column in _BOUNDS
            ]
        until_ms = min([now_ms + LIST_AGE_MS, *(end for end in ends if end is not None)])
        last = self._kept.get(site)
        left_out = sum(not _is_id(row.external_id) for row in rows)
        if left_out:
            log.error("allow_list_left_out", site=site, credentials=left_out)
        made = await asyncio.to_thread(build, [(row.hash, row.external_id) for row in rows])
        if made is None:
            log.error("allow_list_too_large", site=site, credentials=len(rows))
        elif last is None or last.allow_list is None or last.allow_list.version != made.version:
            log.info(
                "allow_list", site=site, version=made.version, credentials=len(rows),
                pages=len(made.pages),
            )  # fmt: skip
        return _Kept(made, now_ms, until_ms, is_too_large=made is None)


_BOUNDS: Final = (
    employees.c.active_from_ms,
    employees.c.active_to_ms,
    employees.c.deleted_ms,
    credentials.c.active_from_ms,
    credentials.c.active_to_ms,
)


def changed(context: Context) -> None:
    """Employees, credentials or sites have changed: call it after the commit."""
    context.allow_lists.forget()


def _active(site: str, now_ms: int) -> Any:
    periods = [
        bound
        for table in (employees, credentials)
        for bound in (
            or_(table.c.active_from_ms.is_(None), table.c.active_from_ms <= now_ms),
            or_(table.c.active_to_ms.is_(None), table.c.active_to_ms > now_ms),
        )
    ]
    return (
        select(credentials.c.hash, employees.c.external_id)
        .join(employees, employees.c.id == credentials.c.employee_id)
        .where(
            *periods,
            or_(employees.c.deleted_ms.is_(None), employees.c.deleted_ms > now_ms),
            or_(employees.c.site.is_(None), employees.c.site == site),
        )
    )


def _next_change(column: Any, now_ms: int) -> Any:
    return select(func.min(column)).where(column > now_ms)


def build(entries: Iterable[Entry]) -> AllowList | None:
    """The list of these, in any order; None when it is too large. An E1 that is no id is left out:
    no terminal takes a page that holds one.

    Of as few pages as have no text above TEXT_GOAL_BYTES, or else of those whose longest text is
    the shortest: more pages have a longer index.
    """
    rows = sorted(entry for entry in entries if _is_id(entry[1]))
    best = _paged(rows, 1)
    count = 2
    while best.longest > TEXT_GOAL_BYTES and count <= PAGES_MAX:
        made = _paged(rows, count)
        if made.longest < best.longest:
            best = made
        count *= 2
    return best if best.longest <= TEXT_MAX_BYTES else None


def _paged(rows: Iterable[Entry], count: int) -> AllowList:
    parts: list[list[Entry]] = [[] for _ in range(count)]
    for row in rows:
        parts[page_of(row[0], count)].append(row)
    pages = tuple(page_text(part) for part in parts)
    index = "".join(text_digest(hashlib.sha256, page) for page in pages)
    return AllowList(text_digest(hashlib.sha256, index), index, pages)


def _is_id(e1: str) -> bool:
    try:
        tokens.check_value("D1", e1)  # an id as any other
    except Malformed:
        return False
    return True
