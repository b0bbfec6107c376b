"""The record of a batch: units, and every attempt at a step, in units.sqlite3.

One connection with a write-ahead log; each step is on disk before the next begins. A unit is known
by its MAC and chip. A serial number is given once and never again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from ..console import ToolError
from .errors import FactoryError, Interrupted, StationFailed
from .steps import DONE, NAMES, OPEN, REWORK, TRANSITIONS

FILE: Final = "units.sqlite3"
VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE unit (
    mac TEXT NOT NULL, chip TEXT NOT NULL, board TEXT NOT NULL,
    state TEXT NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    generation INTEGER NOT NULL DEFAULT 0,
    serial TEXT UNIQUE, d1 TEXT UNIQUE, public_key TEXT, setup_password TEXT, otrt_hash TEXT,
    otrt_expires_ms INTEGER,
    image_sha256 TEXT, efuse TEXT, station TEXT NOT NULL, operator TEXT NOT NULL,
    created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, done_ms INTEGER,
    PRIMARY KEY (mac, chip)
) STRICT;
CREATE TABLE serial (
    number INTEGER NOT NULL, serial TEXT NOT NULL PRIMARY KEY,
    mac TEXT NOT NULL, chip TEXT NOT NULL, given_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE attempt (
    mac TEXT NOT NULL, chip TEXT NOT NULL, generation INTEGER NOT NULL, step TEXT NOT NULL,
    outcome TEXT NOT NULL, station TEXT NOT NULL, operator TEXT NOT NULL, port TEXT NOT NULL,
    begun_ms INTEGER NOT NULL, ended_ms INTEGER, detail TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (mac, chip, step, begun_ms, station)
) STRICT;
"""


@dataclass(frozen=True)
class Unit:
    """A row of `unit`. `step` is the last one done; times in Unix ms."""

    mac: str
    chip: str
    board: str
    state: str
    step: str
    reason: str
    generation: int
    serial: str | None
    d1: str | None
    public_key: str | None
    setup_password: str | None
    otrt_hash: str | None
    otrt_expires_ms: int | None
    image_sha256: str | None
    efuse: str | None
    station: str
    operator: str
    created_ms: int
    changed_ms: int
    done_ms: int | None

    @property
    def name(self) -> str:
        """What a person calls it: the serial number once it has one."""
        return self.serial or self.mac


UNIT_COLUMNS: Final = tuple(field.name for field in fields(Unit))
ATTEMPT_COLUMNS: Final = (
    "mac", "chip", "generation", "step", "outcome", "station", "operator", "port",
    "begun_ms", "ended_ms", "detail",
)  # fmt: skip


@dataclass(frozen=True)
class Serials:
    """The range of a station: both ends belong to it."""

    prefix: str
    first: int
    last: int
    digits: int

    def text(self, number: int) -> str:
        return f"{self.prefix}{number:0{self.digits}d}"


@dataclass(frozen=True)
class Desk:
    """Who works where."""

    station: str
    operator: str
    port: str = ""


def now_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


class Store:
    """All methods may be called from any thread; each is one transaction."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        self.path.touch(mode=0o600)  # it holds the passwords of the labels
        self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise ToolError(f"{self.path}: written by another version of this program")
            if version == 0:
                for statement in SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- reading ---------------------------------------------------------------------------------

    def units(self) -> list[Unit]:
        """All units, by serial number, those without one last."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM unit ORDER BY serial IS NULL, serial, mac")
            return [Unit(*row) for row in rows]

    def unit(self, mac: str, chip: str) -> Unit | None:
        with self._lock:
            found = self._db.execute("SELECT * FROM unit WHERE mac = ? AND chip = ?", (mac, chip))
            row = found.fetchone()
            return Unit(*row) if row else None

    def find(self, name: str) -> Unit:
        """By serial number, device id or MAC. Raises ToolError."""
        with self._lock:
            rows = self._db.execute(
                "SELECT * FROM unit WHERE ? IN (serial, d1, mac)", (name,)
            ).fetchall()
        if len(rows) != 1:
            raise ToolError(f"no unit {name} in {self.path}: neither serial number, id nor MAC")
        return Unit(*rows[0])

    def attempts(self) -> list[dict[str, Any]]:
        """Every attempt at a step, oldest first; `detail` as an object."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM attempt ORDER BY begun_ms, rowid").fetchall()
        return [{**dict(row), "detail": json.loads(row["detail"])} for row in rows]

    def serials_left(self, serials: Serials) -> int:
        """How many numbers of the range are not given out yet."""
        with self._lock:
            return serials.last - self._next_number(serials) + 1

    def failures(self, unit: Unit, step: str) -> int:
        """How often a step has failed since the unit was begun, or reworked."""
        with self._lock:
            row = self._db.execute(
                "SELECT count(*) FROM attempt WHERE mac = ? AND chip = ? AND generation = ?"
                " AND step = ? AND outcome = 'failed'",
                (unit.mac, unit.chip, unit.generation, step),
            ).fetchone()
            return int(row[0])

    # -- one unit --------------------------------------------------------------------------------

    def claim(self, mac: str, chip: str, board: str, desk: Desk) -> Unit:
        """The unit, made when it is new. What an earlier run has begun and not ended, is over."""
        with self.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO unit (mac, chip, board, state, step, station, operator,"
                " created_ms, changed_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (mac, chip, board, OPEN, "", desk.station, desk.operator, now_ms(), now_ms()),
            )
            self._db.execute(
                "UPDATE attempt SET outcome = 'interrupted', ended_ms = ?"
                " WHERE mac = ? AND chip = ? AND outcome = 'begun'",
                (now_ms(), mac, chip),
            )
            return self._unit(mac, chip)

    @contextmanager
    def attempt(self, unit: Unit, step: str, desk: Desk) -> Iterator[dict[str, Any]]:
        """A block that does a step; what it puts into the given dict is kept as its detail.

        At the end of the block the step is done. A FactoryError, or any other, is noted.
        """
        key = (unit.mac, unit.chip, step, now_ms(), desk.station)
        with self.transaction():
            # two within one millisecond are one: the clock has been put back, or a test is quick
            self._db.execute(
                "INSERT OR REPLACE INTO attempt (mac, chip, step, begun_ms, station, generation,"
                " outcome, operator, port) VALUES (?, ?, ?, ?, ?, ?, 'begun', ?, ?)",
                (*key, unit.generation, desk.operator, desk.port),
            )
        detail: dict[str, Any] = {}
        try:
            yield detail
        except BaseException as error:
            outcome = "failed" if isinstance(error, FactoryError) else "interrupted"
            if isinstance(error, Interrupted):
                outcome = "interrupted"
            text = str(error) if isinstance(error, ToolError) else type(error).__name__
            with self.transaction():
                self._end(key, outcome, {**detail, "reason": text})
            raise
        with self.transaction():
            self._end(key, "done", detail)
            self._change(unit, step=step, station=desk.station, operator=desk.operator)
            if step == NAMES[-1]:
                self._step(unit, "finished")
                self._change(unit, done_ms=now_ms(), reason="")

    def give_serial(self, unit: Unit, serials: Serials, device_id: str) -> Unit:
        """The unit with its serial number and device id: always the same ones.

        `device_id` is a pattern with {serial} and {mac}. Raises StationFailed when none is left.
        """
        with self.transaction():
            current = self._unit(unit.mac, unit.chip)
            if current.serial is not None:
                return current
            number = self._next_number(serials)
            if number > serials.last:
                raise StationFailed(
                    f"serial numbers {serials.text(serials.first)} to {serials.text(serials.last)} "
                    "are used up: give this station a new range in batch.toml"
                )
            serial = serials.text(number)
            d1 = device_id.format(serial=serial, mac=unit.mac.replace(":", ""))
            self._db.execute(
                "INSERT INTO serial (number, serial, mac, chip, given_ms) VALUES (?, ?, ?, ?, ?)",
                (number, serial, unit.mac, unit.chip, now_ms()),
            )
            try:
                self._change(unit, serial=serial, d1=d1)
            except sqlite3.IntegrityError:
                raise StationFailed(f"the device id {d1} is another unit's") from None
            return self._unit(unit.mac, unit.chip)

    def note(self, unit: Unit, **values: Any) -> Unit:
        """Keep facts of a unit, by the names of its columns."""
        with self.transaction():
            self._change(unit, **values)
            return self._unit(unit.mac, unit.chip)

    def go_back(self, unit: Unit, step: str, **values: Any) -> Unit:
        """What is on the flash is less than what the record says: on from this step."""
        return self.note(unit, step=step, **values)

    def fail(self, unit: Unit, reason: str) -> Unit:
        """It is a reject from now on."""
        with self.transaction():
            self._step(unit, "failed")
            self._change(unit, reason=reason)
            return self._unit(unit.mac, unit.chip)

    def rework(self, unit: Unit) -> Unit:
        """Begin anew with the same serial number and id: a new key, everything again."""
        with self.transaction():
            self._step(unit, "rework")
            self._change(unit, step="", reason="", generation=unit.generation + 1, public_key=None)
            return self._unit(unit.mac, unit.chip)

    # -- the inside ------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A block that happens whole, or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _unit(self, mac: str, chip: str) -> Unit:
        row = self._db.execute("SELECT * FROM unit WHERE mac = ? AND chip = ?", (mac, chip))
        return Unit(*row.fetchone())

    def _change(self, unit: Unit, **values: Any) -> None:
        assert set(values) <= set(UNIT_COLUMNS)
        setting = ", ".join(f"{name} = ?" for name in [*values, "changed_ms"])
        self._db.execute(
            f"UPDATE unit SET {setting} WHERE mac = ? AND chip = ?",  # noqa: S608 -- own names
            (*values.values(), now_ms(), unit.mac, unit.chip),
        )

    def _step(self, unit: Unit, event: str) -> None:
        state = self._unit(unit.mac, unit.chip).state
        after = TRANSITIONS.get((state, event))
        if after is None:
            raise ToolError(f"{unit.name} is {state}: it cannot be {event}")
        self._change(unit, state=after)

    def _end(self, key: tuple[Any, ...], outcome: str, detail: Mapping[str, Any]) -> None:
        self._db.execute(
            "UPDATE attempt SET outcome = ?, ended_ms = ?, detail = ? WHERE mac = ? AND chip = ?"
            " AND step = ? AND begun_ms = ? AND station = ?",
            (outcome, now_ms(), json.dumps(detail, ensure_ascii=False), *key),
        )

    def _next_number(self, serials: Serials) -> int:
        """After the highest that was given: one that was taken back by hand stays unused."""
        row = self._db.execute(
            "SELECT max(number) FROM serial"
            " WHERE number BETWEEN ? AND ? AND substr(serial, 1, length(?)) = ?",
            (serials.first, serials.last, serials.prefix, serials.prefix),
        ).fetchone()
        return serials.first if row[0] is None else int(row[0]) + 1


def is_in_work(unit: Unit) -> bool:
    """Whether there is something to be done to it."""
    return unit.state in (OPEN, REWORK)


def is_done(unit: Unit) -> bool:
    return unit.state == DONE
