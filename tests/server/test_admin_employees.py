"""Employees and credentials: by API and by file, what that means for punches, and forgetting."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from ks_server.db.schema import admin_actions, credentials, employees, punch_conflicts, punches

from .admin_support import NOW_MS, Admin, after, open_admin

JID = "00112233445566ff"
ANN = {"external_id": "p-1", "name": "Ann Müller", "cards": ["12E45678", "0001"]}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


async def site(admin: Admin, name: str = "hq", zone: str = "Europe/Berlin") -> None:
    await admin.call("PUT", f"/sites/{name}", {"name": name, "time_zone": zone})


async def store(admin: Admin, table: Any = punches, **values: Any) -> None:
    row = {
        **{"d1": "dev_1", "jid": JID, "seq": 1, "received_ms": NOW_MS, "e1": "12E45678"},
        **({"state": "accepted", "time_ms": NOW_MS} if table is punches else {"hash": "0" * 16}),
        **values,
    }
    async with admin.context.engine.begin() as connection:
        await connection.execute(insert(table).values(**row))


async def stored(admin: Admin, table: Any = punches) -> list[Any]:
    async with admin.context.engine.connect() as connection:
        return list((await connection.execute(select(table))).all())


async def upload(admin: Admin, text: str, status: int = 200, **query: Any) -> dict[str, Any]:
    shown: dict[str, Any] = await admin.call(
        "POST",
        "/employees/import",
        status=status,
        content=text.encode("utf-8"),
        headers={"Content-Type": "text/csv"},
        params=query,
    )
    return shown


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    names = ("created", "changed", "unchanged", "cards_added", "cards_removed", "error_count")
    return tuple(result[name] for name in names)


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


# -- by file ------------------------------------------------------------------------------------

FILE = """external_id;name;cards;site;active_from;active_to
p-1;Ann;12E45678|0001;hq;2026-01-01;
p-2;Bo;0002;;;2026-12-31
p-3;Cy;;hq;;
"""


async def test_a_file_is_imported_once_and_changes_nothing_the_second_time(admin: Admin) -> None:
    await site(admin)
    assert counts(await upload(admin, FILE)) == (3, 0, 0, 3, 0, 0)
    before = await stored(admin, employees), await stored(admin, credentials)
    actions = await admin.actions()
    for _ in range(2):
        result = await upload(admin, FILE)
        assert (result["stored"], counts(result)) == (True, (0, 0, 3, 0, 0, 0))
    assert (await stored(admin, employees), await stored(admin, credentials)) == before
    assert await admin.actions() == actions


async def test_a_file_changes_what_it_has_columns_for(admin: Admin) -> None:
    await site(admin)
    await upload(admin, FILE)
    result = await upload(admin, "external_id,name\np-1,Ann Müller\np-3,Cy\n")
    assert counts(result) == (0, 1, 1, 0, 0, 0)
    [ann] = (await admin.call("GET", "/employees", params={"external_id": "p-1"}))["items"]
    assert (ann["name"], ann["cards"], ann["site"]) == ("Ann Müller", 2, "hq")
    assert ann["active_from"] == "2026-01-01"
    # a card moves from one person to another in one file
    result = await upload(admin, "external_id,cards\np-1,0001\np-2,12E45678\np-3,0002\n")
    assert counts(result) == (0, 3, 0, 2, 2, 0)
    owners = {row.credential: row.employee_id for row in await stored(admin, credentials)}
    assert owners == {"0001": 1, "12E45678": 2, "0002": 3}


async def test_one_error_and_nothing_is_stored(admin: Admin) -> None:
    text = FILE.replace("p-3;Cy;;hq", "p-3;Cy;;nowhere") + "p-4;;;;;\n"
    await site(admin)
    result = await upload(admin, text, status=422)
    assert result["error"]["code"] == "IMPORT_REFUSED"
    listed = [(one["line"], one["column"], one["code"]) for one in result["errors"]]
    assert listed == [(4, "site", "UNKNOWN_SITE"), (5, "name", "BAD_NAME")]
    assert (result["stored"], await stored(admin, employees)) == (False, [])
    result = await upload(admin, text, skip_errors=True)
    assert (result["stored"], counts(result)) == (True, (2, 0, 0, 3, 0, 2))


async def test_a_dry_run_tells_and_stores_nothing(admin: Admin) -> None:
    await site(admin)
    result = await upload(admin, FILE, dry_run=True)
    assert (result["stored"], counts(result)) == (False, (3, 0, 0, 3, 0, 0))
    result = await upload(admin, FILE + "x y;;;;;\n", dry_run=True)
    assert (result["stored"], counts(result)) == (False, (3, 0, 0, 3, 0, 1))
    assert await stored(admin, employees) == []
    assert await admin.actions() == [("site", "hq")]


async def test_a_card_that_its_owner_keeps_is_refused_even_in_a_chain_of_errors(
    admin: Admin,
) -> None:
    await upload(admin, "external_id,name,cards\np-1,Ann,a\np-2,Bo,b\np-3,Cy,c\n")
    # p-2 cannot have "c", so it keeps "b", so p-1 cannot have "b", so it keeps "a"
    text = "external_id,name,cards\np-4,Di,a\np-1,Ann,b\np-2,Bo,c\n"
    result = await upload(admin, text, skip_errors=True)
    assert {(one["line"], one["code"]) for one in result["errors"]} == {
        (2, "CARD_TAKEN"),
        (3, "CARD_TAKEN"),
        (4, "CARD_TAKEN"),
    }
    assert counts(result)[:2] == (0, 0)


async def test_ten_thousand_people_are_imported_in_one_transaction(admin: Admin) -> None:
    lines = [f"p-{n},Name {n},card-{n}|alt-{n}" for n in range(10_000)]
    text = "external_id,name,cards\n" + "\n".join(lines)
    assert counts(await upload(admin, text)) == (10_000, 0, 0, 20_000, 0, 0)
    assert counts(await upload(admin, text)) == (0, 0, 10_000, 0, 0, 0)
    assert [action for action, _ in await admin.actions()] == ["employee-import"]


async def test_what_is_noted_of_an_administrators_work_names_nobody(
    admin: Admin, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "ks_server")
    await site(admin)
    await upload(admin, FILE)
    await admin.call("POST", "/employees", {**ANN, "external_id": "p-9", "cards": []}, status=201)
    await admin.call("PUT", "/credentials", {"credential": "secretcard", "employee_id": 4})
    await admin.call("POST", "/credentials/remove", {"credential": "secretcard"}, status=204)
    await admin.call("POST", "/employees/1/erase")
    noted = await stored(admin, admin_actions)
    seen = json.dumps([[row.subject, row.detail] for row in noted]) + caplog.text
    seen += "".join(capfd.readouterr())
    for text in ("Ann", "Bo", "p-1", "p-9", "12E45678", "secretcard", "Müller"):
        assert text not in seen
