"""The records of several stations in one: `ks factory merge`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..console import ToolError
from .batch import FILE as BATCH
from .store import ATTEMPT_COLUMNS, FILE, UNIT_COLUMNS, VERSION, Store, Unit


@dataclass
class Merged:
    """How many units were new, and how many went on elsewhere."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


def merge(store: Store, other: Path) -> Merged:
    """Take the units of another batch folder over; all of them or, on a conflict, none.

    Of a unit that both know, the later record counts. Again is harmless. Raises ToolError where
    one serial number or device id stands for two boards.
    """
    path = other / FILE if other.is_dir() else other
    if not path.exists() and (other / BATCH).exists():
        return Merged()  # a station that has not begun yet
    if not path.is_file():
        raise ToolError(f"{path} is not there")
    if path.resolve() == store.path.resolve():
        raise ToolError(f"{path} cannot be merged into itself")
    merged = Merged()
    with closing(_open(path)) as theirs, store.transaction() as ours:
        units = [Unit(*row) for row in theirs.execute("SELECT * FROM unit")]
        for unit in units:
            _check(ours, unit, path)
            _take(ours, unit, merged)
        for row in theirs.execute("SELECT number, serial, mac, chip, given_ms FROM serial"):
            _take_serial(ours, row, path)
        names = ", ".join(ATTEMPT_COLUMNS)
        marks = ", ".join("?" * len(ATTEMPT_COLUMNS))
        ours.executemany(
            f"INSERT OR IGNORE INTO attempt ({names}) VALUES ({marks})",  # noqa: S608 -- own names
            theirs.execute(f"SELECT {names} FROM attempt WHERE outcome <> 'begun'"),  # noqa: S608
        )
    return merged


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return database
    except sqlite3.DatabaseError:
        pass
    database.close()
    raise ToolError(f"{path} is no record of a batch")


def _check(ours: sqlite3.Connection, unit: Unit, path: Path) -> None:
    rows = ours.execute(
        "SELECT mac, chip, serial, d1 FROM unit WHERE (serial = ? OR d1 = ?) "
        "AND NOT (mac = ? AND chip = ?)",
        (unit.serial, unit.d1, unit.mac, unit.chip),
    ).fetchall()
    for mac, _, serial, d1 in rows:
        same = f"serial number {serial}" if serial == unit.serial else f"device id {d1}"
        raise ToolError(f"{path}: {same} is that of {mac} here, and of {unit.mac} there")
    row = ours.execute(
        "SELECT serial FROM unit WHERE mac = ? AND chip = ?", (unit.mac, unit.chip)
    ).fetchone()
    if row is not None and row[0] and unit.serial and row[0] != unit.serial:
        raise ToolError(f"{path}: {unit.mac} is {row[0]} here, and {unit.serial} there")


def _take(ours: sqlite3.Connection, unit: Unit, merged: Merged) -> None:
    row = ours.execute(
        "SELECT generation, changed_ms, serial FROM unit WHERE mac = ? AND chip = ?",
        (unit.mac, unit.chip),
    ).fetchone()
    if row is not None and (row[0], row[1]) >= (unit.generation, unit.changed_ms):
        merged.unchanged += 1
        return
    values = [getattr(unit, name) for name in UNIT_COLUMNS]
    marks = ", ".join("?" * len(values))
    ours.execute(
        f"INSERT OR REPLACE INTO unit ({', '.join(UNIT_COLUMNS)}) VALUES ({marks})",  # noqa: S608
        values,
    )
    if row is not None and row[2] and not unit.serial:
        raise ToolError(f"{unit.mac} has the serial number {row[2]} here, and none there")
    merged.added += row is None
    merged.changed += row is not None


def _take_serial(ours: sqlite3.Connection, row: sqlite3.Row, path: Path) -> None:
    known = ours.execute("SELECT mac FROM serial WHERE serial = ?", (row[1],)).fetchone()
    if known is not None and known[0] != row[2]:
        raise ToolError(f"{path}: serial number {row[1]} is that of {known[0]} here")
    ours.execute("INSERT OR IGNORE INTO serial VALUES (?, ?, ?, ?, ?)", tuple(row))
