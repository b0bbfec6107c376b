"""What the admin API asks of its database, asked of PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ks_server import receipts
from ks_server.db.punch_schema import punch_findings, punch_gaps, punches
from ks_server.housekeeping import Housekeeping

from .admin_support import CRYPTO, NOW_MS, SERVER_SEED, Admin, open_admin
from .people_support import counts, stored, upload
from .punch_support import JID, add, add_journal, chain, store
from .test_device_postgres import postgres

__all__ = ("postgres",)

PEOPLE = "external_id,name,cards,site,active_to\np-1,Ann,card-1,hq,\np-2,Bo,card-2,,2026-01-01\n"


async def tell(admin: Admin) -> None:
    await admin.add_device("dev_1")
    site = {"name": "Roof", "time_zone": "Europe/Berlin", "allow_list": True}
    await admin.call("PUT", "/sites/hq", site)
    await admin.call("PUT", "/devices/dev_1/site", {"site": "hq"})
    rows = [row for row in chain(8) if row["seq"] != 5]
    rows[3] |= {"state": "quarantine", "err1": "MALFORMED", "time_ms": None}
    await store(admin, rows)
    await add_journal(admin, seq_top=9)
    await add(admin, punch_gaps, first_seq=5, last_seq=5, recorded_ms=NOW_MS)
    finding = {"kind": "lost", "first_seq": 5, "last_seq": 6, "found_ms": NOW_MS}
    await add(admin, punch_findings, **finding)
    for expected in ((2, 0, 0, 2, 0, 0), (0, 0, 2, 0, 0, 0)):
        assert counts(await upload(admin, PEOPLE)) == expected


async def look(admin: Admin) -> None:
    items = await admin.all_items("/punches?site=hq", 3)
    assert [item["seq"] for item in items] == [1, 2, 3, 6, 7, 8, 4]
    assert [item["chain"] for item in items] == ["linked"] * 3 + ["open"] + ["linked"] * 3
    assert items[3]["findings"] == ["lost"]
    day = items[0]["local_time"][:10]
    query = {"person": "p-1", "day": day, "d1": "dev_1"}
    page = await admin.call("GET", "/punches", params=query)
    assert [item["seq"] for item in page["items"]] == [1, 7]
    answer = await admin.client.get("/api/admin/punches/export?format=json")
    assert len(answer.json()["items"]) == 7
    [journal] = (await admin.call("GET", "/devices/dev_1/journals"))["items"]
    assert (journal["verdict"], journal["unsent"], journal["quarantine"]) == ("gap", 1, 1)
    assert journal["gaps"][0]["reason"] == "lost"
    in_use = await admin.refused("DELETE", "/sites/hq", status=409, code="WRONG_STATE")
    assert in_use


async def end(admin: Admin) -> None:
    form = {"name": "Bo", "active_from": "2036-01-01"}
    await admin.call("PUT", "/employees/2", form)
    remarks = {row.seq: row.remark for row in await stored(admin) if row.employee_id == 2}
    assert set(remarks.values()) == {"inactive"}
    gone = await admin.call("POST", "/employees/1/erase")
    assert (gone["punches"], gone["cards"]) == (3, 1)  # one of them in quarantine
    wanted = {"d1": "dev_1", "jid": JID, "first_seq": 6, "last_seq": 8}
    answer = await admin.client.post("/api/admin/receipts", json=wanted)
    found = receipts.verify(CRYPTO, answer.content, [CRYPTO.public_key(SERVER_SEED)])
    assert (found.erased, len(found.rows)) == (1, 3)
    admin.clock["ms"] += 2 * 86_400_000
    await Housekeeping(admin.context).clean()
    assert {row.e1 for row in await stored(admin, punches)} == {None}


def test_punches_and_people_are_the_same_there(postgres: str, tmp_path: Path) -> None:
    async def story() -> None:
        values = {"database_url": postgres, "punch_retention_days": 1}
        async with open_admin(tmp_path, **values) as admin:
            await tell(admin)
            await look(admin)
            await end(admin)

    asyncio.run(story())


@pytest.fixture(autouse=True)
def _needs_asyncpg() -> None:
    pytest.importorskip("asyncpg")
