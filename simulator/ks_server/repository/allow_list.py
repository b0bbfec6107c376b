"""The allow lists: which credentials a site's terminals know, in pages, by version.

What pages and versions are is ks_agent.allow_pages' word. A list is a function of what is active
now, so the same people give the same version, whoever asks and whenever. Lists are kept in memory
until something changes (`changed`), somebody's active_from or active_to passes, or LIST_AGE_MS is
over, as another process may change the database too.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from ks_agent import signing
from ks_agent.allow_pages import list_digest, page_digest, page_of
from ks_agent.tokens import ANSWER_MAX_BYTES

from ..db.schema import credentials, employees, sites
from ..log import get_logger

if TYPE_CHECKING:
    from ..context import Context

NONE: Final = "none"
LIST_AGE_MS: Final = 60_000
PAGES_MAX: Final = 256
# more rows would be more than the 256 tokens that a terminal reads
PAGE_MAX_ROWS: Final = 120
E1_MAX_BYTES: Final = 64
# binding, signature, S1 AL1 AL2, and links to a newer server key
_PAGE_ROOM_BYTES: Final = ANSWER_MAX_BYTES - 1024

Row = dict[str, str]

log = get_logger("ks_server.allow_list")


@dataclass(frozen=True)
class AllowList:
    """One version. `digests`: AL4 of each page; `pages`: its rows {C1, E1}."""

    version: str
    digests: tuple[str, ...]
    pages: tuple[tuple[Row, ...], ...]


@dataclass(frozen=True)
class _Kept:
    allow_list: AllowList | None
    from_ms: int
    until_ms: int


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
        """The list that terminals of the site are to hold; None when they are to hold none."""
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
        made = await asyncio.to_thread(build, [(row.hash, row.external_id) for row in rows])
        if made is None:
            log.error("allow_list_too_large", site=site, credentials=len(rows))
        elif last is None or last.allow_list is None or last.allow_list.version != made.version:
            log.info(
                "allow_list", site=site, version=made.version, credentials=len(rows),
                pages=len(made.pages),
            )  # fmt: skip
        return _Kept(made, now_ms, until_ms)


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


def build(entries: Iterable[tuple[str, str]]) -> AllowList | None:
    """The list of these (C1, E1), in any order; None when it fits into no PAGES_MAX pages. An E1
    that no terminal can hold (more than E1_MAX_BYTES bytes, or control characters) is left out."""
    rows = [{"C1": c1, "E1": e1} for c1, e1 in sorted(entries) if _can_be_held(e1)]
    count = 1
    while count <= PAGES_MAX:
        pages: list[list[Row]] = [[] for _ in range(count)]
        for row in rows:
            pages[page_of(row["C1"], count)].append(row)
        if all(_fits(page) for page in pages):
            digests = tuple(page_digest(hashlib.sha256, page) for page in pages)
            version = list_digest(hashlib.sha256, digests)
            return AllowList(version, digests, tuple(tuple(page) for page in pages))
        count *= 2
    return None


def _can_be_held(e1: str) -> bool:
    return 0 < len(e1.encode("utf-8")) <= E1_MAX_BYTES and min(e1) >= " " and "\x7f" not in e1


def _fits(page: Sequence[Row]) -> bool:
    """In either syntax."""
    if len(page) > PAGE_MAX_ROWS:
        return False
    return all(
        len(signing.compose({"CRED": list(page)}, syntax)) <= _PAGE_ROOM_BYTES
        for syntax in (signing.TOON, signing.LINES)
    )
