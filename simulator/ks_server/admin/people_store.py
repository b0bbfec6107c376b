"""Storing employees and their cards, one or fifty thousand, with few statements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..days import zone as zone_named
from ..db.punch_schema import credentials, employees
from ..people_csv import LineError, Person
from .zones import UTC_NAME, day_end_ms, day_start_ms, zones_of_sites

LOOK_UP_MAX: Final = 500  # below the number of parameters that SQLite takes in a statement

T = TypeVar("T")


@dataclass
class Changes:
    """What storing would do, or did. `texts`: ids and cards that now name somebody, `periods`: the
    employees whose days of work are other ones now."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    cards_added: int = 0
    cards_removed: int = 0
    errors: list[LineError] = field(default_factory=list)
    texts: set[str] = field(default_factory=set, repr=False)
    periods: set[int] = field(default_factory=set)

    @property
    def any(self) -> bool:
        return bool(self.created or self.changed)


@dataclass
class _Known:
    """What is stored of the people and cards in question."""

    people: dict[str, Row[Any]]
    cards: dict[str, Row[Any]]  # by credential: the cards of those people, and those asked for
    ids_taken: set[str]  # cards asked for that are somebody's external id
    zones: dict[str, ZoneInfo]

    def cards_of(self, employee_id: int) -> set[str]:
        return self._by_owner.get(employee_id, set())

    def __post_init__(self) -> None:
        self._by_owner: dict[int, set[str]] = {}
        for text, row in self.cards.items():
            self._by_owner.setdefault(row.employee_id, set()).add(text)


def card_hash(credential: str) -> str:
    """C1 of the allow list."""
    return hashlib.sha256(credential.encode("utf-8")).hexdigest()[:16]


def pieces(items: Iterable[T]) -> Iterable[list[T]]:
    """The items in lists that fit into one statement."""
    listed = list(items)
    for start in range(0, len(listed), LOOK_UP_MAX):
        yield listed[start : start + LOOK_UP_MAX]


async def plan(
    connection: AsyncConnection, people: Sequence[Person], columns: frozenset[str]
) -> tuple[Changes, list[_Step]]:
    """What storing these people means. `columns`: what is said of them; the rest stays as it is.

    People with an error have no step.
    """
    known = await _look_up(connection, people)
    changes = Changes()
    good, bad = list(people), list(people)
    while bad:  # who is refused keeps the cards that somebody else counted on
        given_up = _given_up(good, columns, known)
        found = [(person, _mistake(person, columns, known, given_up)) for person in good]
        bad = [person for person, mistake in found if mistake is not None]
        good = [person for person, mistake in found if mistake is None]
        changes.errors += [LineError(who.line, *wrong) for who, wrong in found if wrong is not None]
    steps = [_step(person, columns, known) for person in good]
    for step in steps:
        if step.row is None:
            changes.created += 1
        elif step.is_change:
            changes.changed += 1
        else:
            changes.unchanged += 1
        changes.cards_added += len(step.cards_added)
        changes.cards_removed += len(step.cards_removed)
        changes.texts |= step.cards_added
        if step.row is None:
            changes.texts.add(step.external_id)
        elif step.is_other_period:
            changes.periods.add(step.row.id)
    return changes, steps


@dataclass(frozen=True)
class _Step:
    """One person's change. `row` is what is stored, None for somebody new."""

    external_id: str
    row: Row[Any] | None
    values: dict[str, Any] = field(repr=False)
    cards_added: frozenset[str] = field(repr=False)
    cards_removed: frozenset[str] = field(repr=False)

    @property
    def is_new_or_other(self) -> bool:
        row = self.row
        return row is None or any(row._mapping[name] != self.values[name] for name in self.values)

    @property
    def is_other_period(self) -> bool:
        names = ("active_from_ms", "active_to_ms")
        row = self.row
        return row is not None and any(row._mapping[name] != self.values[name] for name in names)

    @property
    def is_change(self) -> bool:
        return self.is_new_or_other or bool(self.cards_added or self.cards_removed)


async def carry_out(connection: AsyncConnection, steps: Iterable[_Step], now_ms: int) -> None:
    """Store what was planned, in the same transaction."""
    steps = [step for step in steps if step.is_change]
    new = [step for step in steps if step.row is None]
    if new:
        rows = [
            {"external_id": step.external_id, "created_ms": now_ms, **step.values} for step in new
        ]
        await connection.execute(insert(employees), rows)
    other = [step for step in steps if step.row is not None and step.is_new_or_other]
    if other:
        names = tuple(other[0].values)
        statement = (
            update(employees)
            .where(employees.c.id == bindparam("its_id"))
            .values({name: bindparam(f"new_{name}") for name in names})
        )
        await connection.execute(
            statement,
            [
                {"its_id": step.row.id, **{f"new_{name}": step.values[name] for name in names}}
                for step in other
                if step.row is not None
            ],
        )
    removed = [text for step in steps for text in step.cards_removed]
    for some in pieces(removed):
        await connection.execute(delete(credentials).where(credentials.c.credential.in_(some)))
    await _add_cards(connection, [step for step in steps if step.cards_added], now_ms)


async def _add_cards(connection: AsyncConnection, steps: list[_Step], now_ms: int) -> None:
    found = await _rows(
        connection, employees, employees.c.external_id, [step.external_id for step in steps]
    )
    ids = {row.external_id: row.id for row in found}
    rows = [
        {
            "credential": text,
            "hash": card_hash(text),
            "employee_id": ids[step.external_id],
            "created_ms": now_ms,
        }
        for step in steps
        for text in sorted(step.cards_added)
    ]
    if rows:
        await connection.execute(insert(credentials), rows)


async def _look_up(connection: AsyncConnection, people: Sequence[Person]) -> _Known:
    found = await _rows(
        connection, employees, employees.c.external_id, [one.external_id for one in people]
    )
    by_id = {row.external_id: row for row in found}
    asked = [card for one in people for card in one.cards]
    cards = await _rows(connection, credentials, credentials.c.credential, asked)
    ids = [row.id for row in by_id.values()]
    cards += await _rows(connection, credentials, credentials.c.employee_id, ids)
    # what a card is called must not be what somebody else is called: E1 may be either
    names = [one.external_id for one in people]
    cards += await _rows(connection, credentials, credentials.c.credential, names)
    namesakes = await _rows(connection, employees, employees.c.external_id, asked)
    zones = dict(await zones_of_sites(connection))
    return _Known(
        by_id,
        {row.credential: row for row in cards},
        {row.external_id for row in namesakes} | {one.external_id for one in people},
        zones,
    )


async def _rows(
    connection: AsyncConnection, table: Table, column: ColumnElement[Any], values: Iterable[Any]
) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for some in pieces(values):
        rows += (await connection.execute(select(table).where(column.in_(some)))).all()
    return rows


def _given_up(people: Sequence[Person], columns: frozenset[str], known: _Known) -> set[str]:
    """Cards that their owners no longer have once this is stored."""
    free: set[str] = set()
    if "cards" in columns:
        for person in people:
            row = known.people.get(person.external_id)
            if row is not None:
                free |= known.cards_of(row.id) - set(person.cards)
    return free


def _mistake(
    person: Person, columns: frozenset[str], known: _Known, given_up: set[str]
) -> tuple[str, str] | None:
    """Column and code of what is wrong with it, beside what is stored."""
    if person.site is not None and person.site not in known.zones:
        return "site", "UNKNOWN_SITE"
    row = known.people.get(person.external_id)
    if row is None and "name" not in columns:
        return "name", "BAD_NAME"
    mine = None if row is None else row.id
    for card in person.cards:
        owner = known.cards.get(card)
        if owner is not None and owner.employee_id != mine and card not in given_up:
            return "cards", "CARD_TAKEN"
        if card in known.ids_taken and card != person.external_id:
            return "cards", "CARD_TAKEN"
    namesake = known.cards.get(person.external_id)
    if namesake is not None and namesake.employee_id != mine:
        return "external_id", "EXTERNAL_ID_IS_CARD"
    start, end = _period(person, columns, row, known)
    if start is not None and end is not None and end <= start:
        return "active_to", "BAD_PERIOD"
    return None


def _step(person: Person, columns: frozenset[str], known: _Known) -> _Step:
    row = known.people.get(person.external_id)
    start, end = _period(person, columns, row, known)
    values = {
        "name": person.name if row is None or "name" in columns else row.name,
        "site": _site(person, columns, row),
        "active_from_ms": start,
        "active_to_ms": end,
    }
    has = set() if row is None else known.cards_of(row.id)
    wants = set(person.cards) if "cards" in columns else has
    return _Step(person.external_id, row, values, frozenset(wants - has), frozenset(has - wants))


def _site(person: Person, columns: frozenset[str], row: Row[Any] | None) -> str | None:
    if row is None or "site" in columns:
        return person.site
    site: str | None = row.site
    return site


def _period(
    person: Person, columns: frozenset[str], row: Row[Any] | None, known: _Known
) -> tuple[int | None, int | None]:
    """[from, to) in ms; days are those of the site, of UTC for somebody of all sites."""
    zone = known.zones.get(_site(person, columns, row) or "") or zone_named(UTC_NAME)
    start = day_start_ms(person.active_from, zone)
    end = day_end_ms(person.active_to, zone)
    if row is not None and "active_from" not in columns:
        start = row.active_from_ms
    if row is not None and "active_to" not in columns:
        end = row.active_to_ms
    return start, end
