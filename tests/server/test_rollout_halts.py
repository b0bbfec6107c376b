"""Rollouts that are revoked: links, commands to halt, and what comes afterwards."""

from __future__ import annotations

import pytest

from ks_server.db.schema import commands, releases
from tests.server.client import Device
from tests.server.rollout_support import FW1, NEW, Desk


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
    offered, begun, later, good, bad, on_trial, never = fleet
    number = await desk.start(abort_min=100)
    await offered.is_offered()
    offer = await begun.ask()
    assert await begun.fetch(offer) == 200
    await later.is_offered()
    await later.ack("ERROR", "POSTPONED no_server")
    await good.succeed()
    await bad.fail()
    await on_trial.is_offered()
    await on_trial.is_told(FW2=NEW)
    await desk.call("POST", path)
    view = await desk.view(number)
    assert view["state"] == "revoked"
    assert [row["state"] for row in await desk.server.rows(releases)] == ["revoked"]
    assert await desk.counts(number) == {
        "targeted": 7, "halted": 4, "updated": 1, "rolled_back": 1, "waiting": 1,
    }  # fmt: skip
    waiting = (offered, begun, later, on_trial)
    for device in fleet:
        expected = [("HALT_UPDATES", "queued")] if device in waiting else []
        assert await given(desk, device) == expected
        assert not await device.is_told()
        assert not await device.is_offered()
    assert await begun.fetch(offer) == 404
    message = begun.build("firmware/download", FW1=FW1)
    assert (await begun.send("firmware/download", message)).status_code == 404
    assert (await never.call("heartbeat", FW2="1.0.0")).message["PENDING_CMDS"] == "0"
    assert (await begun.call("heartbeat", FW2="1.0.0")).message["PENDING_CMDS"] == "1"
    assert await obey(begun) == ["HALT_UPDATES"]


async def test_what_is_offered_next_tells_a_halted_device_to_resume_first(desk: Desk) -> None:
    halted, other = await desk.fleet(2)
    number = await desk.start()
    await halted.is_offered()
    await desk.step(number, "revoke")
    assert await obey(halted) == ["HALT_UPDATES"]
    await desk.server.release("rel-3", "1.3.0", state="signed")
    again = await desk.start("rel-3", filter={"devices": [other.d1]})
    assert not await halted.is_told()
    assert await given(desk, halted) == [("HALT_UPDATES", "done")]
    assert await other.is_told()
    assert await given(desk, other) == []
    await desk.step(again, "abort")
    await desk.start("rel-3")
    answer = await halted.call("heartbeat", FW2="1.0.0")
    assert (answer.message["FW_AVAILABLE"], answer.message["PENDING_CMDS"]) == ("true", "1")
    for _ in range(3):
        await halted.is_told()
    assert await obey(halted) == ["RESUME_UPDATES"]
    await halted.is_told()
    assert await obey(halted) == []
    assert await halted.is_offered("rel-3")


async def test_a_check_alone_makes_a_halted_device_resume_too(desk: Desk) -> None:
    [halted] = await desk.fleet(1)
    number = await desk.start()
    await halted.is_offered()
    await desk.step(number, "revoke")
    await desk.server.release("rel-3", "1.3.0")  # published, without any rollout
    assert await halted.is_offered("rel-3")
    assert await halted.is_offered("rel-3")
    assert await obey(halted) == ["HALT_UPDATES", "RESUME_UPDATES"]


async def test_a_device_that_is_halted_twice_ends_halted(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    for round_number in range(2):
        fw1 = f"rel-1{round_number}"
        await desk.server.release(fw1, f"1.{round_number + 3}.0", state="signed")
        number = await desk.start(fw1)
        await device.is_told()
        assert await device.is_offered(fw1)
        desk.clock.pass_s(1)
        await desk.step(number, "revoke")
    assert (await given(desk, device))[-1] == ("RESUME_UPDATES", "cancelled")
    assert await obey(device) == ["HALT_UPDATES", "HALT_UPDATES"]


async def test_a_device_halted_by_a_person_stays_so(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    await desk.call("POST", f"/devices/{device.d1}/commands", {"name": "HALT_UPDATES"}, status=201)
    assert await obey(device) == ["HALT_UPDATES"]
    await desk.start()
    assert await device.is_told()
    assert await obey(device) == []


async def test_what_a_halted_device_had_done_already_is_believed(desk: Desk) -> None:
    first, second = await desk.fleet(2)
    number = await desk.start()
    for device in (first, second):
        assert await device.is_offered()
    await desk.step(number, "revoke")
    await first.ack("OK")
    await second.ack("ERROR", "ROLLED_BACK crash")
    assert await desk.counts(number) == {"targeted": 2, "updated": 1, "rolled_back": 1}


async def test_an_aborted_rollout_has_dead_links_but_halts_nobody(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start()
    offer = await device.ask()
    aborted = await desk.step(number, "abort")
    assert (aborted["state"], aborted["reason"]) == ("aborted", "by hand")
    assert await device.fetch(offer) == 404
    assert await given(desk, device) == []
    again = await desk.start()
    assert await device.fetch(await device.ask()) == 200
    assert (await desk.device(again, device.d1))["state"] == "downloading"
    assert (await desk.device(number, device.d1))["last_state"] == "offered"
