"""Employees and credentials: what they are, what that means for punches, and forgetting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ks_server.db.punch_schema import credentials, employees, punch_conflicts, punches
from ks_server.db.schema import admin_actions

from .admin_support import NOW_MS, Admin, after, open_admin
from .people_support import ANN, site, store, stored, upload


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


# -- by API -------------------------------------------------------------------------------------


async def test_an_employee_is_added_shown_and_changed(admin: Admin) -> None:
    await site(admin)
    form = {**ANN, "site": "hq", "active_from": "2026-03-29", "active_to": "2026-10-25"}
    made = await admin.call("POST", "/employees", form, status=201)
    expected = {
        **{"id": made["id"], "external_id": "p-1", "name": "Ann Müller", "site": "hq", "cards": 2},
        **{"active_from": "2026-03-29", "active_to": "2026-10-25"},
        **{"created": after(), "erased": None},
    }
    assert made == expected
    [row] = await stored(admin, employees)
    # both days are Berlin's, and both of them change the clocks
    assert row.active_from_ms == 1774738800000  # 2026-03-28T23:00Z
    assert row.active_to_ms == 1792969200000  # 2026-10-25T23:00Z
    changed = await admin.call("PUT", f"/employees/{made['id']}", {"name": "Ann M."})
    assert changed == {
        **expected,
        **{"name": "Ann M.", "site": None, "active_from": None, "active_to": None},
    }
    assert await admin.call("GET", f"/employees/{made['id']}") == changed


@pytest.mark.parametrize(
    "wrong",
    [
        {"external_id": "p 1"},
        {"external_id": ""},
        {"external_id": "p" * 65},
        {"external_id": "~1"},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "x\ny"},
        {"cards": ["x" * 65]},
        {"cards": ["ü" * 33]},
        {"cards": ["a\x00"]},
        {"cards": [""]},
        {"cards": ["a", "a"]},
        {"cards": [str(number) for number in range(21)]},
        {"site": "nowhere"},
        {"active_from": "2026-02-30"},
        {"active_from": "0001-01-01"},
        {"active_from": "2026-02-02", "active_to": "2026-02-01"},
    ],
    ids=str,
)
async def test_an_employee_of_another_form_is_refused(admin: Admin, wrong: dict[str, Any]) -> None:
    message = await admin.refused(
        "POST", "/employees", {**ANN, **wrong}, status=422, code="INVALID"
    )
    assert "Müller" not in message and "12E45678" not in message
    assert await stored(admin, employees) == []


async def test_nobody_gets_what_is_somebody_elses(admin: Admin) -> None:
    await admin.call("POST", "/employees", ANN, status=201)
    bo = {"external_id": "p-2", "name": "Bo"}
    for form in (
        ANN,
        {**bo, "cards": ["0001"]},
        {**bo, "cards": ["p-1"]},  # E1 would name two people
    ):
        await admin.refused("POST", "/employees", form, status=409, code="ALREADY_EXISTS")
    card_as_id = {"external_id": "0001", "name": "Bo"}
    await admin.refused("POST", "/employees", card_as_id, status=422, code="INVALID")
    assert len(await stored(admin, employees)) == 1


async def test_employees_are_found_by_id_site_and_text(admin: Admin) -> None:
    await site(admin)
    for number in range(5):
        form = {"external_id": f"p-{number}", "name": f"N{number}%"}
        await admin.call(
            "POST", "/employees", form | ({"site": "hq"} if number else {}), status=201
        )
    assert len(await admin.all_items("/employees", 2)) == 5
    for query, expected in (
        ({"external_id": "p-3"}, ["p-3"]),
        ({"site": "hq"}, ["p-1", "p-2", "p-3", "p-4"]),
        ({"search": "n2%"}, ["p-2"]),
        ({"search": "\x00"}, []),
        ({"erased": "true"}, []),
    ):
        page = await admin.call("GET", "/employees", params=query)
        assert [item["external_id"] for item in page["items"]] == expected, query


async def test_a_credential_is_given_with_its_days_and_taken_away(admin: Admin) -> None:
    made = await admin.call("POST", "/employees", ANN, status=201)
    form = {"credential": "new", "employee_id": made["id"], "active_from": "2026-11-20"}
    shown = await admin.call("PUT", "/credentials", form)
    assert shown == {
        **form,
        **{"external_id": "p-1", "active_to": None, "created": after()},
    }
    listed = await admin.all_items(f"/credentials?employee_id={made['id']}", 2)
    assert [item["credential"] for item in listed] == ["0001", "12E45678", "new"]
    await admin.call("POST", "/credentials/remove", {"credential": "0001"}, status=204)
    gone = {"credential": "0001"}
    await admin.refused("POST", "/credentials/remove", gone, status=404, code="NOT_FOUND")
    page = await admin.call("GET", "/credentials", params={"credential": "0001"})
    assert page["items"] == []
    other = await admin.call("POST", "/employees", {"external_id": "p-2", "name": "Bo"}, status=201)
    for text in ("new", "p-1"):
        taken = {"credential": text, "employee_id": other["id"]}
        await admin.refused("PUT", "/credentials", taken, status=409, code="ALREADY_EXISTS")


async def test_punches_find_their_person_when_the_card_is_known_and_keep_it(admin: Admin) -> None:
    await store(admin, seq=1)
    await store(admin, seq=2, e1="other")
    made = await admin.call("POST", "/employees", ANN, status=201)
    assert [row.employee_id for row in await stored(admin)] == [made["id"], None]
    await admin.call("POST", "/credentials/remove", {"credential": "12E45678"}, status=204)
    bo = {"external_id": "p-2", "name": "Bo", "cards": ["12E45678"]}
    other = await admin.call("POST", "/employees", bo, status=201)
    # whose the card is today says nothing about the day of the punch
    assert [row.employee_id for row in await stored(admin)] == [made["id"], None]
    days = {"name": "Ann", "active_from": "2036-01-01"}
    await admin.call("PUT", f"/employees/{made['id']}", days)
    first = (await stored(admin))[0]
    assert (first.employee_id, first.remark) == (made["id"], "inactive")
    await admin.call("PUT", f"/employees/{made['id']}", {"name": "Ann"})
    assert (await stored(admin))[0].remark is None
    assert other["id"] != made["id"]


async def test_what_terminals_are_to_hold_changes_at_once(admin: Admin) -> None:
    async def version() -> str | None:
        current = await admin.context.allow_lists.current("hq")
        return None if current is None else current.version

    await site(admin)
    assert await version() is None
    form = {"name": "hq", "time_zone": "UTC", "allow_list": True}
    await admin.call("PUT", "/sites/hq", form)
    versions = [await version()]
    made = await admin.call("POST", "/employees", ANN, status=201)
    versions.append(await version())
    days = {"credential": "0001", "employee_id": made["id"], "active_to": "2020-01-01"}
    await admin.call("PUT", "/credentials", days)
    versions.append(await version())
    await admin.call("POST", "/credentials/remove", {"credential": "12E45678"}, status=204)
    assert await version() == versions[0]
    await upload(admin, "external_id,cards\np-1,new\n")
    versions.append(await version())
    await admin.call("POST", f"/employees/{made['id']}/erase")
    assert await version() == versions[0]
    assert None not in versions and len(set(versions)) == len(versions)


# -- forgetting ---------------------------------------------------------------------------------


async def test_who_is_erased_is_nowhere_any_more_and_the_punches_stay(admin: Admin) -> None:
    made = await admin.call("POST", "/employees", ANN, status=201)
    mine = {"employee_id": made["id"], "hash": "a" * 16, "prev": "b" * 16}
    await store(admin, seq=1, **mine)
    await store(admin, seq=2, e1="p-1", **mine)
    await store(admin, seq=3, e1="0001", state="quarantine")
    await store(admin, seq=4, e1="somebody")
    await store(admin, punch_conflicts, seq=1, e1="misread")
    await store(admin, punch_conflicts, seq=4, e1="12E45678")
    await store(admin, punch_conflicts, seq=4, e1="somebody", hash="1" * 16)
    path = f"/employees/{made['id']}/erase"
    assert await admin.call("POST", path) == {"punches": 3, "conflicts": 2, "cards": 2}
    assert await admin.call("POST", path) == {"punches": 0, "conflicts": 0, "cards": 0}
    rows = await stored(admin)
    assert [row.e1 for row in rows] == [None, None, None, "somebody"]
    assert [row.employee_id for row in rows] == [None] * 4
    assert [row.erased_ms for row in rows] == [NOW_MS] * 3 + [None]
    assert (rows[0].hash, rows[0].prev, rows[0].time_ms) == ("a" * 16, "b" * 16, NOW_MS)
    assert [row.e1 for row in await stored(admin, punch_conflicts)] == [None, None, "somebody"]
    shown = await admin.call("GET", f"/employees/{made['id']}")
    assert (shown["external_id"], shown["name"], shown["erased"]) == (None, None, after())
    assert await stored(admin, credentials) == []
    tables = (employees, credentials, punches, punch_conflicts, admin_actions)
    everything = repr([await stored(admin, table) for table in tables])
    for text in ("Müller", "12E45678", "p-1", "0001'"):
        assert text not in everything
    again = await admin.call("POST", "/employees", ANN, status=201)
    assert again["id"] != made["id"]
    rename = {"name": "x"}
    path = f"/employees/{made['id']}"
    await admin.refused("PUT", path, rename, status=404, code="NOT_FOUND")


async def test_what_nobody_is_known_for_can_be_erased_too(admin: Admin) -> None:
    made = await admin.call("POST", "/employees", ANN, status=201)
    await store(admin, seq=1, e1="visitor")
    await store(admin, seq=2, e1="12E45678", employee_id=made["id"])
    form = {"e1": ["visitor", "12E45678"]}
    shown = await admin.call("POST", "/punches/erase", form)
    assert shown == {"punches": 1, "conflicts": 0, "cards": 0}
    assert [row.e1 for row in await stored(admin)] == [None, "12E45678"]


async def test_old_punches_are_erased_after_the_retention_and_not_before(tmp_path: Path) -> None:
    from ks_server.housekeeping import Housekeeping

    async with open_admin(tmp_path, punch_retention_days=30) as admin:
        for seq, age in enumerate((31, 29), 1):
            await store(admin, seq=seq, received_ms=NOW_MS - age * 86_400_000, hash="a" * 16)
        cleaning = Housekeeping(admin.context)
        await cleaning.clean()
        assert [row.e1 for row in await stored(admin)] == [None, "12E45678"]
        admin.clock["ms"] += 2 * 86_400_000
        await cleaning.clean()
        assert [(row.e1, row.hash) for row in await stored(admin)] == [(None, "a" * 16)] * 2


async def test_punches_are_kept_for_ever_unless_told_otherwise(admin: Admin) -> None:
    from ks_server.housekeeping import Housekeeping

    await store(admin, received_ms=1)
    await Housekeeping(admin.context).clean()
    assert [row.e1 for row in await stored(admin)] == ["12E45678"]
