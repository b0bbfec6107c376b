"""Reading a CSV file of employees: rows that are good, and errors by line with stable codes.

UTF-8 with or without a byte order mark, comma or semicolon, a header row. Columns, in any order:

    external_id   required; [A-Za-z0-9._-]{1,64}
    name          up to 200 characters
    cards         what readers read, separated by |; each 1 to 64 bytes of UTF-8
    site          a site's id; empty: all sites
    active_from   first and
    active_to     last day of work, YYYY-MM-DD, both included; empty: no limit

A column that the file lacks leaves what is stored as it is; an empty cell empties it. An error
names line and column and never repeats what stands there: that may be a person's data.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from ks_agent import tokens
from ks_agent.errors import Malformed

COLUMNS: Final = ("external_id", "name", "cards", "site", "active_from", "active_to")
MAX_LINES: Final = 50_000
MAX_ERRORS: Final = 1000
MAX_CARDS: Final = 20
MAX_NAME_CHARACTERS: Final = 200
MAX_CREDENTIAL_BYTES: Final = 64
CARD_SEPARATOR: Final = "|"

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

MESSAGES: Final = {
    "NOT_UTF8": "the file is not UTF-8",
    "BAD_CSV": "not CSV: a quote or a cell that does not end where it should",
    "NO_HEADER": "the first line must name the columns, external_id among them",
    "UNKNOWN_COLUMN": "no column has this name",
    "COLUMN_TWICE": "a column is there twice",
    "WRONG_COLUMNS": "more or fewer cells than columns",
    "TOO_MANY_LINES": f"more than {MAX_LINES} lines",
    "BAD_EXTERNAL_ID": "must be [A-Za-z0-9._-]{1,64}",
    "EXTERNAL_ID_TWICE": "an earlier line has the same",
    "EXTERNAL_ID_IS_CARD": "somebody else's card has this text",
    "BAD_NAME": f"must be 1 to {MAX_NAME_CHARACTERS} characters without control characters",
    "BAD_CARD": f"must be 1 to {MAX_CREDENTIAL_BYTES} bytes without control characters",
    "TOO_MANY_CARDS": f"more than {MAX_CARDS} cards",
    "CARD_TWICE": "an earlier line, or this one, has the same card",
    "CARD_TAKEN": "the card is somebody else's",
    "UNKNOWN_SITE": "there is no such site",
    "BAD_DATE": "must be a day as in 2026-11-20",
    "BAD_PERIOD": "ends before it begins",
}
"""Every code of an error with what it means."""


@dataclass(frozen=True)
class LineError:
    """One mistake. `line` counts from 1; `column` is a name, or empty for the whole line."""

    line: int
    column: str
    code: str

    @property
    def message(self) -> str:
        return MESSAGES[self.code]


@dataclass(frozen=True)
class Person:
    """One good line. What the file has no column for is empty."""

    line: int
    external_id: str = field(repr=False)
    name: str = field(repr=False)
    cards: tuple[str, ...] = field(repr=False)
    site: str | None
    active_from: date | None
    active_to: date | None


@dataclass
class Parsed:
    """What the file holds: its columns, good lines, and the mistakes of the others."""

    columns: frozenset[str] = frozenset()
    people: list[Person] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)
    lines: int = 0


class _Mistake(Exception):
    def __init__(self, column: str, code: str) -> None:
        super().__init__(code)
        self.column = column
        self.code = code


class _BadCsv(Exception):
    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def credential(text: str) -> str:
    """The text of a card, PIN or code. Raises ValueError, which does not repeat it."""
    if not 1 <= len(text.encode("utf-8", "replace")) <= MAX_CREDENTIAL_BYTES or _has_control(text):
        raise ValueError(MESSAGES["BAD_CARD"])
    return text


def person_name(text: str) -> str:
    """A person's name. Raises ValueError, which does not repeat it."""
    if not 1 <= len(text) <= MAX_NAME_CHARACTERS or _has_control(text):
        raise ValueError(MESSAGES["BAD_NAME"])
    return text


def external_id(text: str) -> str:
    """An employee's id. Raises ValueError."""
    try:
        tokens.check_value("D1", text)  # the same alphabet and length
    except Malformed:
        raise ValueError(MESSAGES["BAD_EXTERNAL_ID"]) from None
    return text


def parse(data: bytes) -> Parsed:
    """Read the file. Everything wrong in it is an error of a line; nothing is raised."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Parsed(errors=[LineError(line, "", "NOT_UTF8")])
    parsed = Parsed()
    records = _records(text)
    try:
        line, header = next(records, (1, []))
        try:
            columns = _columns(header)
        except _Mistake as mistake:
            parsed.errors.append(LineError(line, mistake.column, mistake.code))
            return parsed
        parsed.columns = frozenset(columns)
        _read(records, columns, parsed)
    except _BadCsv as bad:
        parsed.errors.append(LineError(bad.line, "", "BAD_CSV"))
    return parsed


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins in; empty lines are left out."""
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise _BadCsv(line) from None
        if any(cell.strip() for cell in record):
            yield line, record
        line = reader.line_num + 1


def _columns(header: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in header]
    if "external_id" not in names:
        raise _Mistake("", "NO_HEADER")
    for name in names:
        if name not in COLUMNS:
            raise _Mistake("", "UNKNOWN_COLUMN")
        if names.count(name) > 1:
            raise _Mistake(name, "COLUMN_TWICE")
    return names


def _read(records: Iterator[tuple[int, list[str]]], columns: list[str], parsed: Parsed) -> None:
    seen: set[str] = set()
    seen_cards: set[str] = set()
    for line, record in records:
        parsed.lines += 1
        if parsed.lines > MAX_LINES:
            parsed.errors.append(LineError(line, "", "TOO_MANY_LINES"))
            return
        try:
            person = _person(line, record, columns)
            if person.external_id in seen:
                raise _Mistake("external_id", "EXTERNAL_ID_TWICE")
            cards = person.cards
            if len(set(cards)) < len(cards) or not seen_cards.isdisjoint(cards):
                raise _Mistake("cards", "CARD_TWICE")
        except _Mistake as mistake:
            parsed.errors.append(LineError(line, mistake.column, mistake.code))
            continue
        seen.add(person.external_id)
        seen_cards.update(cards)
        parsed.people.append(person)


def _person(line: int, record: list[str], columns: list[str]) -> Person:
    if len(record) != len(columns):
        raise _Mistake("", "WRONG_COLUMNS")
    cells = {name: cell.strip() for name, cell in zip(columns, record, strict=True)}
    try:
        number = external_id(cells["external_id"])
    except ValueError:
        raise _Mistake("external_id", "BAD_EXTERNAL_ID") from None
    if "name" in cells:
        try:
            person_name(cells["name"])
        except ValueError:
            raise _Mistake("name", "BAD_NAME") from None
    active_from = _day("active_from", cells)
    active_to = _day("active_to", cells)
    if active_from is not None and active_to is not None and active_to < active_from:
        raise _Mistake("active_to", "BAD_PERIOD")
    return Person(
        line=line,
        external_id=number,
        name=cells.get("name", ""),
        cards=_cards(cells),
        site=cells.get("site") or None,
        active_from=active_from,
        active_to=active_to,
    )


def _cards(cells: dict[str, str]) -> tuple[str, ...]:
    parts = [part.strip() for part in cells.get("cards", "").split(CARD_SEPARATOR)]
    cards = tuple(part for part in parts if part)
    if len(cards) > MAX_CARDS:
        raise _Mistake("cards", "TOO_MANY_CARDS")
    try:
        return tuple(credential(card) for card in cards)
    except ValueError:
        raise _Mistake("cards", "BAD_CARD") from None


def _day(column: str, cells: dict[str, str]) -> date | None:
    text = cells.get(column, "")
    if not text:
        return None
    if _DATE.fullmatch(text) is None:
        raise _Mistake(column, "BAD_DATE")
    try:
        return checked_day(date.fromisoformat(text))
    except ValueError:
        raise _Mistake(column, "BAD_DATE") from None


def checked_day(day: date) -> date:
    """A day that has a beginning and an end in every time zone's reckoning. Raises ValueError."""
    if not 1971 <= day.year <= 9998:
        raise ValueError("must be a day of the years 1971 to 9998")
    return day


def _has_control(text: str) -> bool:
    return any(character < " " or "\x7f" <= character < "\xa0" for character in text)
