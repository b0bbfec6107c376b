"""Punches as tables for office programs: CSV and XLSX, written piece by piece.

Text that a spreadsheet would take for a formula is made harmless (OWASP, CSV injection): in CSV by
an apostrophe before it, in XLSX by the cell's quote prefix, which leaves the text as it is. Times
stand there twice, local with the offset and in UTC, so that the hour that a day has twice in autumn
is told apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import xlsxwriter

COLUMNS: Final = (
    *("external_id", "name", "e1", "a2", "local_time", "utc_offset", "utc_time"),
    *("uncertainty_ms", "time_source", "raw_time", "zone", "site", "d1", "jid", "seq", "method"),
    *("clk", "boot", "up", "chain", "findings", "remark", "state", "err1", "received", "erased"),
)
SHEET_MAX_ROWS: Final = 1_000_000  # a sheet ends at 1,048,576
BYTE_ORDER_MARK: Final = "\ufeff"  # without it office programs do not see that it is UTF-8

_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
_LOCAL_CHARACTERS: Final = len("2026-11-20T10:00:00.000")
_TIMES: Final = ("local_time", "utc_time")
_WIDTHS: Final = {"local_time": 20, "utc_time": 20, "raw_time": 25, "jid": 18, "name": 24}
_DEFAULT_WIDTH: Final = 13

Cell = str | int | None


def cells_of(punch: Mapping[str, Any]) -> dict[str, Cell]:
    """The columns of a punch; `punch` as the admin API shows it."""
    local = punch["local_time"]
    return {
        **{name: punch.get(name) for name in COLUMNS},
        # a bare +01:00 would begin as a formula does
        "utc_offset": None if local is None else "UTC" + local[_LOCAL_CHARACTERS:],
        "utc_time": punch["time"],
        "findings": " ".join(punch["findings"]),
    }


def is_formula(text: str) -> bool:
    """Whether an office program might take the text for more than text."""
    return text.lstrip(" ").startswith(_FORMULA)


def csv_header() -> bytes:
    """What a CSV file begins with."""
    return (BYTE_ORDER_MARK + _csv_lines([COLUMNS])).encode("utf-8")


def csv_rows(punches: Iterable[Mapping[str, Any]]) -> bytes:
    """Lines of a CSV file."""
    lines = []
    for punch in punches:
        cells = cells_of(punch)
        lines.append([_csv_cell(cells[name]) for name in COLUMNS])
    return _csv_lines(lines).encode("utf-8")


def _csv_cell(value: Cell) -> Cell:
    return "'" + value if isinstance(value, str) and is_formula(value) else value


def _csv_lines(rows: Iterable[Iterable[Cell]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


class Workbook:
    """An XLSX file in the making, one row in memory at a time; `folder` is for it alone."""

    def __init__(self, folder: Path, sheet_max_rows: int = SHEET_MAX_ROWS) -> None:
        self.path = folder / "punches.xlsx"
        options = {
            "constant_memory": True,
            "tmpdir": str(folder),
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
        }
        self._book = xlsxwriter.Workbook(str(self.path), options)
        self._bold = self._book.add_format({"bold": True})
        self._quoted = self._book.add_format({"quote_prefix": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._sheet_max_rows = sheet_max_rows
        self._sheets = 0
        self._begin_sheet()

    def __enter__(self) -> Workbook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._book.close()

    def write(self, punches: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; a sheet that is full is followed by another."""
        for punch in punches:
            if self._row > self._sheet_max_rows:
                self._begin_sheet()
            cells = cells_of(punch)
            for column, name in enumerate(COLUMNS):
                self._write_cell(column, name, cells[name])
            self._row += 1

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet(f"punches {self._sheets}")
        self._sheet.freeze_panes(1, 0)
        for column, name in enumerate(COLUMNS):
            self._sheet.set_column(column, column, _WIDTHS.get(name, _DEFAULT_WIDTH))
            self._sheet.write_string(0, column, name, self._bold)
        self._row = 1

    def _write_cell(self, column: int, name: str, value: Cell) -> None:
        if value is None:
            return
        if isinstance(value, int):
            self._sheet.write_number(self._row, column, value)
        elif name in _TIMES:
            # Excel knows no offsets; they stand in the column beside
            moment = datetime.fromisoformat(value).replace(tzinfo=None)
            self._sheet.write_datetime(self._row, column, moment, self._time)
        elif is_formula(value):
            self._sheet.write_string(self._row, column, value, self._quoted)
        else:
            self._sheet.write_string(self._row, column, value)
