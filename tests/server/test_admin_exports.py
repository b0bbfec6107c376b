"""Exports: the same punches in three forms, harmless in a spreadsheet, bounded in memory."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from ks_server.punch_tables import COLUMNS, Workbook, is_formula

from .admin_support import Admin, open_admin
from .punch_support import chain, store

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1")
NS = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        await opened.add_device("dev_1")
        yield opened


async def fetch(admin: Admin, kind: str, **query: str) -> httpx.Response:
    answer = await admin.client.get("/api/admin/punches/export", params={"format": kind, **query})
    assert answer.status_code == 200, answer.text
    assert f'filename="punches.{kind}"' in answer.headers["content-disposition"]
    return answer


def read_csv(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def sheets(data: bytes) -> list[list[list[str]]]:
    """The cells of each sheet as texts; formulas are not among what this reads."""
    book = zipfile.ZipFile(io.BytesIO(data))
    names = sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet"))
    found = []
    for name in names:
        root = ElementTree.fromstring(book.read(name))
        assert root.findall(".//x:f", NS) == []
        rows = []
        for row in root.iterfind(".//x:row", NS):
            cells = {}
            for cell in row.iterfind("x:c", NS):
                column = str(cell.get("r")).rstrip("0123456789")
                cells[column] = "".join(cell.itertext())
            rows.append([cells.get(chr(ord("A") + number), "") for number in range(len(COLUMNS))])
        found.append(rows)
    return found


async def test_each_form_holds_what_the_list_holds(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("ks_server.admin.exports"), "PAGE_ROWS", 3)
    await store(admin, chain(8, time_ms=lambda seq: None if seq == 4 else 1_800_000_000_000 + seq))
    listed = await admin.all_items("/punches", 200)
    assert json.loads((await fetch(admin, "json")).content) == {"items": listed}
    rows = read_csv((await fetch(admin, "csv")).content)
    assert [row["seq"] for row in rows] == [str(item["seq"]) for item in listed]
    for row, item in zip(rows, listed, strict=True):
        assert (row["utc_time"] or None, row["local_time"] or None, row["e1"]) == (
            item["time"],
            item["local_time"],
            item["e1"],
        )
    [cells] = sheets((await fetch(admin, "xlsx")).content)
    assert cells[0] == list(COLUMNS)
    place = COLUMNS.index("seq")
    assert [row[place] for row in cells[1:]] == [str(item["seq"]) for item in listed]


@pytest.mark.parametrize("kind", ["csv", "json", "xlsx"])
async def test_nothing_is_exported_as_a_whole_file(admin: Admin, kind: str) -> None:
    data = (await fetch(admin, kind)).content
    if kind == "csv":
        assert read_csv(data) == []
    elif kind == "json":
        assert json.loads(data) == {"items": []}
    else:
        assert sheets(data) == [[list(COLUMNS)]]


async def test_a_filter_narrows_an_export_as_it_narrows_the_list(admin: Admin) -> None:
    await store(admin, chain(3))
    await store(admin, chain(2, d1="dev_2", jid="0" * 16))
    assert len(read_csv((await fetch(admin, "csv", d1="dev_2")).content)) == 2
    form = {"format": "ods"}
    await admin.refused("GET", "/punches/export", status=422, code="INVALID", params=form)


async def test_no_cell_is_a_formula(admin: Admin) -> None:
    await store(admin, chain(len(FORMULAS), e1=lambda seq: FORMULAS[seq - 1]))
    rows = read_csv((await fetch(admin, "csv")).content)
    assert [row["e1"] for row in rows] == ["'" + text for text in FORMULAS]
    [cells] = sheets((await fetch(admin, "xlsx")).content)
    shown = [row[COLUMNS.index("e1")] for row in cells[1:]]
    assert shown[0] == "=1+1" and shown[3] == "@SUM(A1)"
    listed = json.loads((await fetch(admin, "json")).content)["items"]
    assert [item["e1"] for item in listed] == list(FORMULAS)


@pytest.mark.parametrize("text", ["Ann", "0001", "12E45678", "a=b", "ü-1", "", " x"])
def test_plain_text_stays_plain(text: str) -> None:
    assert not is_formula(text)


async def test_times_are_local_with_offset_and_utc_in_every_form(admin: Admin) -> None:
    times = [1792888200000, 1792891800000]  # 02:30 in Berlin, and 02:30 an hour later
    await store(admin, chain(2, time_ms=lambda seq: times[seq - 1]))
    rows = read_csv((await fetch(admin, "csv", zone="Europe/Berlin")).content)
    assert [(row["local_time"], row["utc_offset"], row["utc_time"]) for row in rows] == [
        ("2026-10-25T02:30:00.000+02:00", "UTC+02:00", "2026-10-25T00:30:00.000Z"),
        ("2026-10-25T02:30:00.000+01:00", "UTC+01:00", "2026-10-25T01:30:00.000Z"),
    ]
    [cells] = sheets((await fetch(admin, "xlsx", zone="Europe/Berlin")).content)
    place = [COLUMNS.index(name) for name in ("local_time", "utc_offset", "utc_time")]
    assert [[row[column] for column in place] for row in cells[1:]] == [
        ["46320.10416666666", "UTC+02:00", "46320.02083333334"],
        ["46320.10416666666", "UTC+01:00", "46320.0625"],
    ]


def test_a_full_sheet_is_followed_by_another(tmp_path: Path) -> None:
    punch: dict[str, Any] = {**dict.fromkeys(COLUMNS), "time": None, "findings": [], "seq": 1}
    with Workbook(tmp_path, sheet_max_rows=2) as book:
        book.write([punch] * 3)
        book.write([punch] * 2)
    found = sheets(book.path.read_bytes())
    assert [len(rows) for rows in found] == [3, 3, 2]
    assert all(rows[0] == list(COLUMNS) for rows in found)


async def test_no_file_stays_behind(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    await store(admin, chain(3))
    await fetch(admin, "xlsx")
    assert list(folder.iterdir()) == []
