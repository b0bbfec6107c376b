"""Employees from a CSV file: all of them or none, and the same again changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ks_server.db.punch_schema import credentials, employees
from ks_server.db.schema import admin_actions

from .admin_support import Admin, open_admin
from .people_support import ANN, counts, site, stored, upload


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_admin(tmp_path) as opened:
        yield opened


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
