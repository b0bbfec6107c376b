"""GET allow-list: pages and versions as the terminal checks them, for whom is active now."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from ks_agent.allow_pages import PAGES_MAX, page_of, text_digest
from ks_agent.tokens import ANSWER_MAX_BYTES, VALUE_MAX_BYTES
from ks_server.db.punch_schema import credentials, employees
from ks_server.db.schema import devices, sites
from ks_server.repository import allow_list
from tests.server.client import Device, Server

_numbers = count()


async def site(server: Server, device: Device, holds: bool = True) -> None:
    await server.insert(
        sites, site="hq", name="HQ", time_zone="UTC", allow_list=holds, created_ms=0
    )
    await server.execute(update(devices).where(devices.c.d1 == device.d1).values(site="hq"))
    server.context.devices.forget(device.d1)
    allow_list.changed(server.context)


async def person(server: Server, number: int, *cards: str, **values: Any) -> None:
    values = {"id": number, "external_id": f"E{number}", "name": "N", "created_ms": 0} | values
    await server.insert(employees, **values)
    for card in cards:
        await card_of(server, number, card)
    allow_list.changed(server.context)


async def card_of(server: Server, number: int, card: str, **values: Any) -> None:
    values = {"employee_id": number, "hash": c1(card), "created_ms": 0} | values
    await server.insert(credentials, credential=card, **values)
    allow_list.changed(server.context)


async def version(device: Device) -> str:
    return str((await device.call("heartbeat", AL1="none")).message["AL1"])


async def ask(device: Device, **values: str) -> dict[str, Any]:
    """The tokens of the answer."""
    answer = await device.call("allow-list", NONCE=f"{next(_numbers):064d}", **values)
    assert len(answer.response.content) <= ANSWER_MAX_BYTES
    return answer.message


async def download(device: Device) -> dict[str, str]:
    """The whole list, checked as a terminal does: C1 -> E1."""
    current = await version(device)
    index = await ask(device, AL1=current)
    digests = [index["AL4"][start : start + 16] for start in range(0, len(index["AL4"]), 16)]
    assert (index["AL1"], index["AL3"]) == (current, str(len(digests)))
    assert text_digest(hashlib.sha256, index["AL4"]) == current
    found: dict[str, str] = {}
    for number, digest in enumerate(digests):
        answer = await ask(device, AL1=current, AL2=str(number))
        assert (answer["AL1"], answer["AL2"]) == (current, str(number))
        assert text_digest(hashlib.sha256, answer["AL5"]) == digest
        rows = rows_of(answer["AL5"])
        assert list(rows) == sorted(rows)
        assert all(page_of(hashed, len(digests)) == number for hashed in rows)
        found |= rows
    return found


def c1(card: str) -> str:
    return str(text_digest(hashlib.sha256, card))


def rows_of(page: str) -> dict[str, str]:
    """C1 -> E1 of AL5."""
    rows = [row.split("=") for row in page.split(";")] if page else []
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("syntax", ["text/toon", "text/plain"])
async def test_a_terminal_gets_the_list_of_its_site(server: Server, syntax: str) -> None:
    device = await server.registered(syntax=syntax)
    await site(server, device)
    await server.insert(
        sites, site="other", name="O", time_zone="UTC", allow_list=True, created_ms=0
    )
    await person(server, 1, "card-1", "card-2")
    await person(server, 2, "card-3", site="hq")
    await person(server, 3, "card-4", site="other")
    assert await download(device) == {
        c1("card-1"): "E1", c1("card-2"): "E1", c1("card-3"): "E2",
    }  # fmt: skip


async def test_without_a_site_that_holds_one_there_is_no_list(
    server: Server, device: Device
) -> None:
    assert await version(device) == "none"
    await site(server, device, holds=False)
    assert await version(device) == "none"
    answer = await device.call("allow-list", AL1="0" * 16)
    assert (answer.code, answer.signed) == ("NOT_FOUND", True)


async def test_a_site_where_nobody_is_active_has_an_empty_list(
    server: Server, device: Device
) -> None:
    await site(server, device)
    assert await download(device) == {}


async def test_a_change_makes_another_version_and_undoing_it_the_first_again(
    server: Server, device: Device
) -> None:
    await site(server, device)
    await person(server, 1, "card-1")
    first = await version(device)
    await person(server, 2, "card-2")
    assert await version(device) != first
    assert (await device.call("allow-list", AL1=first)).code == "NOT_FOUND"
    await server.execute(update(employees).where(employees.c.id == 2).values(deleted_ms=1))
    allow_list.changed(server.context)
    assert await version(device) == first


async def test_periods_of_people_and_cards_begin_and_end_by_themselves(
    server: Server, device: Device
) -> None:
    await site(server, device)
    now_ms = server.clock()
    await person(server, 1, "card-1", active_from_ms=now_ms + 10_000)
    await person(server, 2, "card-2", active_to_ms=now_ms + 20_000)
    await person(server, 3)
    await card_of(server, 3, "card-3", active_from_ms=now_ms + 30_000)
    await card_of(server, 3, "card-4", active_to_ms=now_ms + 5_000)
    seen = []
    for _ in range(5):
        seen.append(sorted((await download(device)).values()))
        server.clock.pass_s(10)
    assert seen == [["E2", "E3"], ["E1", "E2"], ["E1"], ["E1", "E3"], ["E1", "E3"]]


@pytest.mark.parametrize("page", ["1", "256", "-1", "x"])
async def test_a_page_that_there_is_not_is_refused(
    server: Server, device: Device, page: str
) -> None:
    await site(server, device)
    answer = await device.call("allow-list", AL1=await version(device), AL2=page)
    assert answer.code == ("NOT_FOUND" if page == "1" else "MALFORMED")


@pytest.mark.parametrize("syntax", ["text/toon", "text/plain"])
@pytest.mark.parametrize("length", [8, 24])
async def test_ten_thousand_credentials_fit_whatever_they_stand_for(
    server: Server, syntax: str, length: int
) -> None:
    device = await server.registered(syntax=syntax, d1="d" * 64)
    await site(server, device)
    people = [
        {"id": n, "external_id": f"{n:0{length}d}", "name": "N", "created_ms": 0}
        for n in range(10_000)
    ]
    cards = [
        {"credential": f"c{n}", "hash": c1(f"c{n}"), "employee_id": n, "created_ms": 0}
        for n in range(10_000)
    ]  # fmt: skip
    async with server.context.engine.begin() as connection:
        await connection.execute(insert(employees), people)
        await connection.execute(insert(credentials), cards)
    allow_list.changed(server.context)
    current = await version(device)
    pages = int((await ask(device, AL1=current))["AL3"])
    sizes = []
    for number in range(0, pages, 16):
        sizes.append(len(rows_of((await ask(device, AL1=current, AL2=str(number)))["AL5"])))
    assert all(sizes)
    assert pages <= PAGES_MAX


ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=8, max_size=8), ids), max_size=300))
def test_any_list_is_made_of_pages_that_fit(entries: list[tuple[bytes, str]]) -> None:
    named = {raw.hex(): e1 for raw, e1 in entries}
    made = allow_list.build(named.items())
    assert made is not None
    found: dict[str, str] = {}
    for page in made.pages:
        assert len(page) <= VALUE_MAX_BYTES
        found |= rows_of(page)
    assert found == named


def test_there_are_as_few_pages_as_have_no_long_text() -> None:
    def made_of(count: int) -> allow_list.AllowList:
        made = allow_list.build((c1(f"card {n}"), f"{n:08d}") for n in range(count))
        assert made is not None
        return made

    assert [len(made_of(count).pages) for count in (0, 96, 97, 150, 1000)] == [1, 1, 2, 2, 16]
    assert made_of(5000).longest <= allow_list.TEXT_GOAL_BYTES
    # the index of 256 pages would be longer than the longest of 128
    made = made_of(10_000)
    assert len(made.pages) == 128
    assert len(made.index) <= allow_list.TEXT_GOAL_BYTES < made.longest < 3000
    assert made_of(28_000).longest <= VALUE_MAX_BYTES


def test_more_than_pages_can_hold_is_no_list() -> None:
    assert allow_list.build((f"{n:016x}", "E") for n in range(300)) is None


async def test_of_a_list_too_large_nothing_is_said(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allow_list, "TEXT_MAX_BYTES", 0)
    await site(server, device)
    await person(server, 1, "card-1")
    answer = await device.call("heartbeat", AL1="none")
    assert answer.code == "ok"
    assert "AL1" not in answer.message
    assert (await device.call("allow-list", AL1="0" * 16)).code == "NOT_FOUND"


def test_what_no_terminal_can_hold_is_left_out() -> None:
    made = allow_list.build([("0" * 16, "a;b"), ("1" * 16, "x" * 65), ("2" * 16, "fine")])
    assert made is not None
    assert made.pages == ("2" * 16 + "=fine",)
