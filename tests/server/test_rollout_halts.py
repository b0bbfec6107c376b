"""Rollouts that are revoked: links, commands to halt, and what comes afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ks_server.db.schema import commands, releases
from tests.server.client import Clock, Device
from tests.server.rollout_support import (
    CONTENT,
    FW1,
    NEW,
    Desk,
    ack,
    check,
    fail,
    fetch,
    is_offered,
    is_told,
    open_desk,
    succeed,
)


@pytest.fixture
async def desk(data_folder: Path, clock: Clock) -> AsyncIterator[Desk]:
    async with open_desk(data_folder, clock) as opened:
        await opened.server.release(FW1, NEW, CONTENT, state="signed")
        yield opened


async def given(desk: Desk, device: Device) -> list[tuple[str, str]]:
    """Names and states of the commands to a device, in the order in which it gets them."""
    rows = [row for row in await desk.server.rows(commands) if row["d1"] == device.d1]
    rows.sort(key=lambda row: (row["cmd4"] != "HIGH", row["created_ms"]))
    return [(row["cmd2"], row["state"]) for row in rows]


async def obey(device: Device) -> list[str]:
    """Perform what waits; the names, in order."""
    answer = (await device.call("commands")).message
    names = []
    for row in answer.get("CMD", ()):
        names.append(row["CMD2"])
        assert (await device.call("command-ack", CMD1=row["CMD1"], ACK1="OK")).code == "ok"
    return names


@pytest.mark.parametrize("path", ["/rollouts/1/revoke", f"/releases/{FW1}/revoke"])
async def test_a_revoked_release_halts_who_waits_and_nobody_else(desk: Desk, path: str) -> None:
    fleet = await desk.fleet(7)
    offered, begun, later, good, bad, reports, never = fleet
    number = await desk.start(abort_min=100)
    await is_offered(offered)
    offer = await check(begun)
    assert await fetch(begun, offer) == 200
    await is_offered(later)
    await ack(later, "ERROR", "POSTPONED no_server")
    await succeed(good)
    await fail(bad)
    await is_offered(reports)
    await is_told(reports, FW2=NEW)
    await desk.call("POST", path)
    view = await desk.view(number)
    assert view["state"] == "revoked"
    assert [row["state"] for row in await desk.server.rows(releases)] == ["revoked"]
    assert await desk.counts(number) == {
        "targeted": 7, "halted": 3, "updated": 2, "rolled_back": 1, "waiting": 1,
    }  # fmt: skip
    for device in fleet:
        expected = [("HALT_UPDATES", "queued")] if device in (offered, begun, later) else []
        assert await given(desk, device) == expected
        assert not await is_told(device)
        assert not await is_offered(device)
    assert await fetch(begun, offer) == 404
    message = begun.build("firmware/download", FW1=FW1)
    assert (await begun.send("firmware/download", message)).status_code == 404
    assert (await never.call("heartbeat", FW2="1.0.0")).message["PENDING_CMDS"] == "0"
    assert (await begun.call("heartbeat", FW2="1.0.0")).message["PENDING_CMDS"] == "1"
    assert await obey(begun) == ["HALT_UPDATES"]


async def test_what_is_offered_next_tells_a_halted_device_to_resume_first(desk: Desk) -> None:
    halted, other = await desk.fleet(2)
    number = await desk.start()
    await is_offered(halted)
    await desk.step(number, "revoke")
    assert await obey(halted) == ["HALT_UPDATES"]
    await desk.server.release("rel-3", "1.3.0", state="signed")
    again = await desk.start("rel-3", filter={"devices": [other.d1]})
    assert not await is_told(halted)
    assert await given(desk, halted) == [("HALT_UPDATES", "done")]
    assert await is_told(other)
    assert await given(desk, other) == []
    await desk.step(again, "abort")
    await desk.start("rel-3")
    answer = await halted.call("heartbeat", FW2="1.0.0")
    assert (answer.message["FW_AVAILABLE"], answer.message["PENDING_CMDS"]) == ("true", "1")
    for _ in range(3):
        await is_told(halted)
    assert await obey(halted) == ["RESUME_UPDATES"]
    await is_told(halted)
    assert await obey(halted) == []
    assert await is_offered(halted, "rel-3")


async def test_a_check_alone_makes_a_halted_device_resume_too(desk: Desk) -> None:
    [halted] = await desk.fleet(1)
    number = await desk.start()
    await is_offered(halted)
    await desk.step(number, "revoke")
    await desk.server.release("rel-3", "1.3.0")  # published, without any rollout
    assert await is_offered(halted, "rel-3")
    assert await is_offered(halted, "rel-3")
    assert await obey(halted) == ["HALT_UPDATES", "RESUME_UPDATES"]


async def test_a_device_that_is_halted_twice_ends_halted(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    for round_number in range(2):
        fw1 = f"rel-1{round_number}"
        await desk.server.release(fw1, f"1.{round_number + 3}.0", state="signed")
        number = await desk.start(fw1)
        await is_told(device)
        assert await is_offered(device, fw1)
        desk.clock.pass_s(1)
        await desk.step(number, "revoke")
    assert (await given(desk, device))[-1] == ("RESUME_UPDATES", "cancelled")
    assert await obey(device) == ["HALT_UPDATES", "HALT_UPDATES"]


async def test_a_device_halted_by_a_person_stays_so(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    await desk.call("POST", f"/devices/{device.d1}/commands", {"name": "HALT_UPDATES"}, status=201)
    assert await obey(device) == ["HALT_UPDATES"]
    await desk.start()
    assert await is_told(device)
    assert await obey(device) == []


async def test_what_a_halted_device_had_done_already_is_believed(desk: Desk) -> None:
    first, second = await desk.fleet(2)
    number = await desk.start()
    for device in (first, second):
        assert await is_offered(device)
    await desk.step(number, "revoke")
    await ack(first, "OK")
    await ack(second, "ERROR", "ROLLED_BACK crash")
    assert await desk.counts(number) == {"targeted": 2, "updated": 1, "rolled_back": 1}


async def test_an_aborted_rollout_has_dead_links_but_halts_nobody(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start()
    offer = await check(device)
    aborted = await desk.step(number, "abort")
    assert (aborted["state"], aborted["reason"]) == ("aborted", "by hand")
    assert await fetch(device, offer) == 404
    assert await given(desk, device) == []
    again = await desk.start()
    assert await fetch(device, await check(device)) == 200
    assert (await desk.device(again, device.d1))["state"] == "downloading"
    assert (await desk.device(number, device.d1))["last_state"] == "offered"
