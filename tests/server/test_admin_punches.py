"""Lists of punches: filters, days of a place, pages, chains; findings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ks_server.db.punch_schema import punch_findings, punches

from .admin_support import NOW_MS, Admin, after, open_admin
from .punch_support import JID, add, chain, store

OTHER = "ffeeddccbbaa9988"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        for d1, zone in (("dev_1", "Europe/Berlin"), ("dev_2", "Asia/Kathmandu")):
            await opened.add_device(d1)
            await opened.call("PUT", f"/sites/of-{d1}", {"name": d1, "time_zone": zone})
            await opened.call("PUT", f"/devices/{d1}/site", {"site": f"of-{d1}"})
        yield opened


async def numbers(admin: Admin, **query: Any) -> list[int]:
    page = await admin.call("GET", "/punches", params=query)
    return [item["seq"] for item in page["items"]]


async def test_a_punch_is_shown_with_every_time_it_has(admin: Admin) -> None:
    [row] = chain(1)
    row |= {"time_ms": ms("2026-10-25T00:30:00.250+00:00"), "a3": "2000-01-01T00:00:00.000Z"}
    await store(admin, [row | {"uncertainty_ms": 1200, "time_source": "between"}])
    await admin.call(
        "POST", "/employees", {"external_id": "p-1", "name": "Ann", "cards": ["card-1"]}, status=201
    )
    assert (await admin.call("GET", "/punches"))["items"] == [
        {
            **{"d1": "dev_1", "jid": JID, "seq": 1, "site": "of-dev_1"},
            **{"external_id": "p-1", "name": "Ann", "e1": "card-1", "a1": f"{JID}-1", "a2": "IN"},
            **{"method": "RFID", "raw_time": "2000-01-01T00:00:00.000Z"},
            **{"time": "2026-10-25T00:30:00.250Z", "zone": "Europe/Berlin"},
            **{"local_time": "2026-10-25T02:30:00.250+02:00"},
            **{"uncertainty_ms": 1200, "time_source": "between"},
            **{"boot": "1", "up": "60000", "clk": "SYNCED", "chain": "linked", "findings": []},
            **{"remark": None, "state": "accepted", "err1": None},
            **{"received": after(), "erased": None},
        }
    ]


async def test_the_hour_that_comes_twice_is_told_apart(admin: Admin) -> None:
    rows = chain(2, time_ms=lambda seq: ms(f"2026-10-25T0{seq - 1}:30:00+00:00"))
    await store(admin, rows)
    page = await admin.call("GET", "/punches")
    assert [item["local_time"][11:] for item in page["items"]] == [
        "02:30:00.000+02:00",
        "02:30:00.000+01:00",
    ]


@pytest.mark.parametrize(
    ("day", "first", "last", "hours"),
    [
        ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999Z", 23),
        ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999Z", 25),
        ("2028-02-29", "2028-02-28T23:00:00Z", "2028-02-29T22:59:59.999Z", 24),
    ],
)
async def test_a_day_is_as_long_as_clocks_make_it(
    admin: Admin, day: str, first: str, last: str, hours: int
) -> None:
    start, end = ms(first), ms(last)
    assert round((end - start) / 3_600_000) == hours
    times = [start - 1, start, end, end + 1]
    await store(admin, chain(4, time_ms=lambda seq: times[seq - 1]))
    assert await numbers(admin, day=day, d1="dev_1") == [2, 3]
    assert await numbers(admin, day=day, site="of-dev_1") == [2, 3]
    assert await numbers(admin, day=day, zone="Europe/Berlin") == [2, 3]
    assert await numbers(admin, **{"from": day, "to": day, "d1": "dev_1"}) == [2, 3]
    assert await numbers(admin, **{"from": first, "to": last}) == [2]
    assert await numbers(admin, day=day, zone="UTC") != [2, 3]


async def test_punches_are_found_by_site_person_device_journal_and_state(admin: Admin) -> None:
    for number in (1, 2):
        person = {"external_id": f"p-{number}", "name": "N", "cards": [f"card-{number}"]}
        await admin.call("POST", "/employees", person, status=201)
    rows = chain(3)
    rows[0]["employee_id"], rows[1]["employee_id"] = 1, 2
    rows[2] |= {"state": "quarantine", "err1": "MALFORMED", "time_ms": None}
    await store(admin, rows)
    await store(admin, [row | {"seq": row["seq"] + 10} for row in chain(1, "dev_2", OTHER)])
    for query, expected in (
        ({}, [1, 11, 2, 3]),  # by time; at the end what has none
        ({"site": "of-dev_2"}, [11]),
        ({"site": "nowhere"}, []),
        ({"person": "p-2"}, [2]),
        ({"person": "p-9"}, []),
        ({"d1": "dev_1"}, [1, 2, 3]),
        ({"jid": OTHER}, [11]),
        ({"state": "quarantine"}, [3]),
        ({"state": "accepted", "d1": "dev_1"}, [1, 2]),
        ({"person": "\x00"}, []),
    ):
        assert await numbers(admin, **query) == expected, query


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 8])
async def test_pages_hold_each_punch_once(admin: Admin, limit: int) -> None:
    times = [NOW_MS, NOW_MS, None, NOW_MS, None, NOW_MS - 1, None]
    await store(admin, chain(7, time_ms=lambda seq: times[seq - 1]))
    items = await admin.all_items("/punches", limit)
    assert [item["seq"] for item in items] == [6, 1, 2, 4, 3, 5, 7]


@pytest.mark.parametrize(
    "query",
    [
        {"day": "2026-02-30"},
        {"day": "0001-01-01"},
        {"day": "2026-01-01", "from": "2026-01-01"},
        {"from": "2026-01-01T00:00:00"},
        {"from": "yesterday"},
        {"to": "9999-12-31"},
        {"to": "9999-12-31T23:59:59-10:00"},
        {"zone": "Mars/Base"},
        {"zone": "../UTC"},
        {"jid": "x"},
        {"state": "lost"},
        {"limit": 201},
    ],
    ids=str,
)
async def test_a_filter_that_means_nothing_is_refused(admin: Admin, query: dict[str, Any]) -> None:
    for path in ("/punches", "/punches/export"):
        if "limit" not in query or path == "/punches":
            await admin.refused("GET", path, status=422, code="INVALID", params=query)


async def test_a_position_of_another_list_is_refused(admin: Admin) -> None:
    await admin.call("PUT", "/sites/more", {"name": "x", "time_zone": "UTC"})
    page = await admin.call("GET", "/sites", params={"limit": 1})
    query = {"after": page["next"]}
    await admin.refused("GET", "/punches", status=400, code="BAD_CURSOR", params=query)


async def test_the_chain_and_what_was_found_stand_beside_each_punch(admin: Admin) -> None:
    rows = [row for row in chain(6) if row["seq"] != 4]
    rows[2]["prev"] = "0" * 16
    await store(admin, rows)
    for kind, first, last in (("broken_chain", 3, 3), ("fork", 2, 3), ("fork", 3, 3)):
        await add(admin, punch_findings, kind=kind, first_seq=first, last_seq=last, found_ms=1)
    await add(admin, punch_findings, kind="journal_full", found_ms=1)
    items = (await admin.call("GET", "/punches"))["items"]
    assert [(item["seq"], item["chain"], item["findings"]) for item in items] == [
        (1, "linked", []),
        (2, "linked", ["fork"]),
        (3, "broken", ["broken_chain", "fork"]),
        (5, "open", []),
        (6, "linked", []),
    ]
    async with admin.context.engine.begin() as connection:
        await connection.execute(update(punches).where(punches.c.seq == 1).values(prev="1" * 16))
    assert (await admin.call("GET", "/punches"))["items"][0]["chain"] == "broken"


async def test_findings_are_listed_until_somebody_has_seen_them(admin: Admin) -> None:
    for number, kind in enumerate(("gap", "fork", "journal_full"), 1):
        fields = {"kind": kind, "first_seq": number, "last_seq": number, "detail": "why"}
        await add(admin, punch_findings, **fields, found_ms=NOW_MS)
    shown = await admin.call("POST", "/findings/2/acknowledge")
    assert shown == {
        **{"id": 2, "d1": "dev_1", "jid": JID, "kind": "fork", "first_seq": 2, "last_seq": 2},
        **{"detail": "why", "found": after(), "resolved": None, "acknowledged": after()},
    }
    admin.clock["ms"] += 1000
    assert (await admin.call("POST", "/findings/2/acknowledge")) == shown
    for query, expected in (
        ({}, [3, 2, 1]),
        ({"open": True}, [3, 1]),
        ({"kind": "gap"}, [1]),
        ({"d1": "dev_2"}, []),
        ({"jid": JID}, [3, 2, 1]),
    ):
        page = await admin.call("GET", "/findings", params=query)
        assert [item["id"] for item in page["items"]] == expected, query
    assert len(await admin.all_items("/findings", 1)) == 3
    await admin.refused("POST", "/findings/9/acknowledge", status=404, code="NOT_FOUND")
    await admin.refused("GET", "/findings?kind=x", status=422, code="INVALID")
    assert (await admin.actions())[-1] == ("finding-acknowledge", "2")
