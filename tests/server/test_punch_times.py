"""Corrected times of stored punches: at once where possible, again when more is known."""

from __future__ import annotations

from typing import Any

import pytest

from ks_agent import timetext
from ks_server.db.bulk import Query
from ks_server.db.punch_schema import employees, punches, time_references
from ks_server.repository import time_references as references_of
from tests.server.client import Device, Server
from tests.server.journal_support import Journal

OLD = "2000-01-01T00:00:00.000Z"


async def times(server: Server) -> list[tuple[int, Any, Any]]:
    """Of each punch by SEQ: milliseconds from now, uncertainty, source."""
    rows = sorted(await server.rows(punches), key=lambda row: row["seq"])
    return [
        (row["time_ms"] - server.clock(), row["uncertainty_ms"], row["time_source"])
        for row in rows
    ]  # fmt: skip


def unset(journal: Journal, boot: int, up_ms: int) -> None:
    journal.punch(A3=OLD, BOOT=str(boot), UP=str(up_ms), CLK="UNSYNCED")


async def test_a_synchronised_punch_is_when_its_clock_said(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch(BOOT="1", UP="10000000")
    await journal.send()
    assert await times(server) == [(0, 6_000, "clock")]
    assert (await server.rows(punches))[0]["raw_ms"] == server.clock()


async def test_an_unset_clock_is_corrected_by_a_synchronised_punch_of_its_batch(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    unset(journal, 1, 40_000)
    journal.punch(BOOT="1", UP="100000")
    await journal.send()
    assert (await times(server))[0] == (-60_000, 5_000 + 10 + 6, "record")
    (first, _) = sorted(await server.rows(punches), key=lambda row: row["seq"])
    assert (first["a3"], first["raw_ms"]) == (OLD, timetext.parse_ms(OLD))


async def test_an_unset_clock_is_corrected_by_the_request_that_brings_the_punch(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    unset(journal, 1, 40_000)
    await journal.send(BOOT="1", UP="100000", CLK="SYNCED")
    assert await times(server) == [(-60_000, 5_006, "reference")]


@pytest.mark.parametrize(
    "tokens",
    [
        {"BOOT": "1", "UP": "100000", "CLK": "UNSYNCED"}, {"BOOT": "1", "CLK": "SYNCED"},
        {"BOOT": "-1", "UP": "100000", "CLK": "SYNCED"}, {"BOOT": "1", "UP": "100000"},
    ],
)  # fmt: skip
async def test_a_request_that_says_too_little_is_no_reference(
    server: Server, device: Device, tokens: dict[str, str]
) -> None:
    journal = Journal(device)
    unset(journal, 1, 40_000)
    assert (await journal.send(**tokens)).message["ACK_SEQ"] == "1"
    assert [row[1:] for row in await times(server)] == [(None, "raw")]
    assert (await server.rows(punches))[0]["time_ms"] == timetext.parse_ms(OLD)


async def test_what_was_stored_unsure_is_corrected_when_its_boot_becomes_known(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    for up_ms in (10_000, 20_000, 30_000):
        unset(journal, 1, up_ms)
    await journal.send()
    journal.punch(BOOT="1", UP="100000")
    await journal.send(4)
    assert [row[0] for row in await times(server)] == [-90_000, -80_000, -70_000, 0]
    assert [row[2] for row in await times(server)] == ["record"] * 3 + ["clock"]


async def test_a_boot_that_never_had_the_time_lies_between_its_neighbours(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punch(BOOT="1", UP="0")
    server.clock.pass_s(100)
    unset(journal, 2, 10_000)
    await journal.send()
    low_ms = -100_000 - 5_000 + 10_000 - 1
    assert (await times(server))[1] == (low_ms // 2, -low_ms // 2 + 1, "between")
    server.clock.pass_s(100)
    journal.punch(BOOT="3", UP="50000")
    await journal.send(3)
    low_ms, high_ms = -200_000 - 5_000 + 10_000 - 1, -50_000 + 5_000 + 5 + 5
    time_ms, uncertainty_ms, source = (await times(server))[1]
    assert (time_ms, source) == ((low_ms + high_ms) // 2, "between")
    assert uncertainty_ms == (high_ms - low_ms) // 2 + 1


async def test_punches_beside_unsure_ones_become_references_in_any_order_of_arrival(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punch(BOOT="1", UP="0")
    journal.punch(BOOT="1", UP="90000000", A3=timetext.format_ms(server.clock() + 90_000_000))
    unset(journal, 1, 90_001_000)
    server.clock.pass_s(90_002)
    await journal.send(1)
    await journal.send(2)
    await journal.send(3)
    ups = sorted(row["up_ms"] for row in await server.rows(time_references))
    assert ups == [0, 90_000_000]
    assert (await times(server))[2] == (-1_000, 5_000 + 9_000 + 1, "record")


async def test_a_terminal_that_is_never_unsure_keeps_few_references(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    for number in range(12):
        journal.punch()
        server.clock.pass_s(600)
        up_ms = str(200_000 + number * 600_000)
        await journal.send(number + 1, BOOT="3", UP=up_ms, CLK="SYNCED")
    assert 2 <= len(await server.rows(time_references)) <= 3


async def test_what_one_look_cannot_correct_the_next_ones_do(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = references_of._uncertain._statement.limit(4)
    monkeypatch.setattr(references_of, "RECHECK_MAX", 4)
    monkeypatch.setattr(references_of, "_uncertain", Query(query))
    journal = Journal(device)
    for number in range(10):
        unset(journal, 1, number)
    await journal.send()
    for _ in range(3):
        await journal.send(1, BOOT="1", UP="100000", CLK="SYNCED")
    assert {row[2] for row in await times(server)} == {"reference"}


async def test_a_person_is_judged_by_the_corrected_time(server: Server, device: Device) -> None:
    await server.insert(
        employees, external_id="E7", name="N", created_ms=0, active_from_ms=server.clock() - 1_000
    )
    journal = Journal(device)
    journal.punch(E1="E7", A3=OLD, BOOT="1", UP="10", CLK="UNSYNCED")
    await journal.send()
    assert (await server.rows(punches))[0]["remark"] == "inactive"
    await journal.send(1, BOOT="1", UP="20", CLK="SYNCED")
    assert (await server.rows(punches))[0]["remark"] is None


async def test_the_largest_numbers_are_only_numbers(server: Server, device: Device) -> None:
    most = str(10**15 - 1)
    journal = Journal(device)
    journal.punch(BOOT=most, UP=most, A3="9999-12-31T23:59:59.999Z")
    journal.punch(BOOT=most, UP=most, CLK="UNSYNCED", A3="1970-01-01T00:00:00.000Z")
    answer = await journal.send(BOOT=most, UP="0", CLK="SYNCED")
    assert answer.message["ACK_SEQ"] == "2"
    assert len(await server.rows(punches)) == 2


@pytest.mark.parametrize("wrong", [{"BOOT": "-1"}, {"UP": "-5"}, {"UP": "9" * 16}])
async def test_a_time_base_below_zero_or_too_large_is_quarantined(
    server: Server, device: Device, wrong: dict[str, str]
) -> None:
    journal = Journal(device)
    journal.punch(**wrong)
    answer = await journal.send()
    assert answer.message["RESULT"][0]["ERR1"] == "MALFORMED"
    assert (await server.rows(punches))[0]["time_ms"] is None
