"""Rollouts: what devices say of their attempts, and what a rollout makes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import update

from ks_server.db.rollout_schema import rollouts
from ks_server.db.schema import commands, devices
from tests.server.client import Clock
from tests.server.rollout_support import CONTENT, FW1, NEW, OLD, Desk, Terminal, open_desk

DAY_S = 86_400


async def test_each_outcome_is_a_state_of_its_own(desk: Desk) -> None:
    fleet = await desk.fleet(10)
    number = await desk.start(abort_min=100)
    offered, begun, good, bad, broken, later, on_trial, gone = fleet[:8]
    await offered.is_offered()
    await begun.fetch(await begun.ask())
    await good.succeed()
    await bad.fail("ROLLED_BACK no_heap")
    await broken.fail("HASH: not the bundle")
    await later.is_offered()
    await later.ack("ERROR", "POSTPONED no_server")
    await on_trial.is_offered()
    desk.clock.pass_s(100)
    await gone.is_offered()
    desk.clock.pass_s(100)  # three heartbeats' time after `offered` and the two that never asked
    for device in (begun, good, bad, broken, later, gone):
        await device.is_told()
    await on_trial.is_told(FW2=NEW)
    assert await desk.counts(number) == {
        "targeted": 10, "offered": 2, "downloading": 1, "updated": 1, "rolled_back": 1,
        "failed": 1, "postponed": 1, "offline": 3,
    }  # fmt: skip
    view = await desk.view(number)
    assert (view["attempts"], view["failure_share"]) == (3, 66.7)
    for state, expected in (
        ("offline", {offered.d1, fleet[8].d1, fleet[9].d1}),
        ("updated", {good.d1}),
        ("rolled_back", {bad.d1}),
    ):
        page = await desk.call("GET", f"/rollouts/{number}/devices?state={state}")
        assert {item["d1"] for item in page["items"]} == expected
    found = await desk.device(number, offered.d1)
    assert (found["state"], found["last_state"]) == ("offline", "offered")
    found = await desk.device(number, broken.d1)
    assert (found["detail"], found["from_fw2"]) == ("HASH: not the bundle", OLD)
    failed = [fields["d1"] for name, fields in desk.server.events if name == "firmware_failed"]
    assert failed == [bad.d1, broken.d1]  # to postpone is not to fail


async def test_trying_again_hides_no_failure_and_one_device_is_one_failure(desk: Desk) -> None:
    fleet = await desk.fleet(5)
    number = await desk.start(abort_count=2, penalty=5, abort_min=100)
    for _ in range(4):
        await fleet[0].fail("HASH")
    assert await fleet[0].is_offered()
    view = await desk.view(number)
    assert (view["state"], view["attempts"], view["failure_share"]) == ("running", 1, 100)
    await fleet[0].succeed()
    view = await desk.view(number)
    assert (view["attempts"], view["failure_share"]) == (1, 0)


async def test_an_acknowledgement_that_comes_twice_counts_once(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_min=100)
    await device.fail()
    for _ in range(4):
        await device.ack("ERROR", "ROLLED_BACK crash")
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("rolled_back", 1)
    await device.fail("BANNED")  # it has gone back from this release, and says so again
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("rolled_back", 2)


async def test_a_postponed_update_is_offered_again_and_never_a_failure(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_count=1)
    for _ in range(4):
        assert await device.is_offered()
        await device.ack("ERROR", "POSTPONED no_server")
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("postponed", 0)
    assert (await desk.view(number))["failure_share"] is None


async def beat_for_a_day(desk: Desk, device: Terminal, **tokens: str) -> None:
    """The server hears of the device, and looks, now and a day later."""
    for pause_s in (0, DAY_S - 1, 1):
        desk.clock.pass_s(pause_s)
        await device.is_told(**tokens)
        await desk.clean()


async def test_a_version_on_trial_that_goes_back_is_not_taken_for_an_update(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_min=100)
    assert await device.is_offered()
    await device.is_told(FW2=NEW)  # its trial, of which the answer is lost
    await desk.clean()
    assert await desk.counts(number) == {"targeted": 1, "offered": 1}
    desk.clock.pass_s(1)
    await device.ack("ERROR", "ROLLED_BACK no_server")
    for fw2 in (NEW, OLD):
        assert await desk.counts(number) == {"targeted": 1, "rolled_back": 1}
        await desk.clean()
        desk.clock.pass_s(1)
        await device.is_told(FW2=fw2)
    assert await desk.counts(number) == {"targeted": 1, "rolled_back": 1}


async def test_what_is_reported_for_longer_than_a_trial_lasts_is_an_update_without_a_word(
    desk: Desk,
) -> None:
    await desk.server.release("rel-3", "1.3.0", state="signed", expires_ms=2**52)
    [device] = await desk.fleet(1)
    number = await desk.start("rel-3")
    assert await device.is_offered("rel-3")
    await device.is_told(FW2="1.3.0")
    await desk.clean()
    desk.clock.pass_s(DAY_S - 1)
    await device.is_told(FW2="1.3.0")
    await desk.clean()
    assert (await desk.view(number))["counts"]["updated"] == 0
    desk.clock.pass_s(1)
    await desk.clean()
    assert (await desk.view(number))["counts"]["updated"] == 0, "a day without a heartbeat"
    await device.is_told(FW2="1.3.0")
    await desk.clean()
    view = await desk.view(number)
    assert (view["counts"]["updated"], view["attempts"], view["state"]) == (1, 1, "done")
    await device.ack("ERROR", "ROLLED_BACK crash", "rel-3")  # it has gone back all the same
    view = await desk.view(number)
    assert (view["counts"]["rolled_back"], view["failure_share"]) == (1, 100)


async def test_a_trial_that_begins_anew_is_not_a_long_one(desk: Desk) -> None:
    await desk.server.release("rel-3", "1.3.0", state="signed", expires_ms=2**52)
    [device] = await desk.fleet(1)
    number = await desk.start("rel-3")
    for _ in range(3):
        assert await device.is_offered("rel-3")
        await device.is_told(FW2="1.3.0")
        await desk.clean()
        desk.clock.pass_s(DAY_S)
        await device.is_told(FW2=OLD)
        await desk.clean()
    assert (await desk.view(number))["counts"]["updated"] == 0
    await beat_for_a_day(desk, device, FW2="1.3.0")
    assert (await desk.view(number))["counts"]["updated"] == 1


async def test_an_image_on_trial_is_not_an_update_and_its_version_is_no_application(
    desk: Desk,
) -> None:
    image = {"kind": "image", "image": "1.26.0", "state": "signed", "expires_ms": 2**52}
    await desk.server.release("img-1", "3.0.0", b"image", **image)
    first, second = await desk.fleet(2, img1="1.25.0")
    number = await desk.start("img-1", abort_min=100)
    for device in (first, second):
        assert (await device.ask(IMG1="1.25.0"))["FW1"] == "img-1"
        await device.is_told(IMG1="1.26.0")
    await desk.clean()
    assert await desk.counts(number) == {"targeted": 2, "offered": 2}
    tokens = {"FW1": "img-1", "FW2": "3.0.0", "ACK1": "OK", "ACK2": "confirmed"}
    assert (await first.call("firmware/ack", **tokens)).code == "ok"
    assert await desk.counts(number) == {"targeted": 2, "offered": 1, "updated": 1}
    assert {row["fw2"] for row in await desk.server.rows(devices)} == {OLD}
    await beat_for_a_day(desk, second, IMG1="1.26.0")
    assert (await desk.view(number))["counts"]["updated"] == 2


async def test_who_runs_something_newer_already_is_waited_for_no_more(desk: Desk) -> None:
    moved, good = await desk.fleet(2)
    number = await desk.start(soak_s=0)
    assert await moved.is_offered()
    assert await good.is_offered()
    await moved.is_told(FW2="1.3.0")
    await good.ack("OK")
    view = await desk.view(number)
    assert (view["state"], view["counts"]["targeted"]) == ("done", 1)
    await desk.step(number, "revoke")
    assert await desk.server.rows(commands) == []


async def test_the_figures_of_a_rollout_are_the_sums_of_its_devices(desk: Desk) -> None:
    fleet = await desk.fleet(12)
    number = await desk.start(abort_min=100)
    await asyncio.gather(*(device.fail() for device in fleet[:3]))
    await asyncio.gather(*(device.succeed() for device in fleet[3:8]))
    await asyncio.gather(*(device.succeed() for device in fleet[:1]))
    assert await fleet[8].is_offered()
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"]) == (6, 2)
    await desk.server.execute(update(rollouts).values(succeeded=0, failing=9))
    await beat_for_a_day(desk, fleet[8], FW2=NEW)
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"]) == (7, 2)
    view = await desk.view(number)
    assert (view["counts"]["updated"], view["attempts"]) == (7, 9)


async def test_a_restart_of_the_server_changes_nothing(data_folder: Path, clock: Clock) -> None:
    async with open_desk(data_folder, clock) as desk:
        await desk.server.release(FW1, NEW, CONTENT, state="signed")
        fleet = await desk.fleet(19)
        number = await desk.start(phases=[50, 100], downloads_at_once=3)
        for device in fleet:
            if await desk.is_open(number, device.d1):
                bad = device
        await bad.fail()
        offered = await desk.all_offered(fleet)
        before = await desk.view(number)
        page = await desk.call("GET", f"/rollouts/{number}/devices?limit=200")
    async with open_desk(data_folder, clock) as desk:
        fleet = [desk.terminal(d1=device.d1, seed=device.seed) for device in fleet]
        assert await desk.view(number) == before
        assert await desk.call("GET", f"/rollouts/{number}/devices?limit=200") == page
        assert await desk.all_offered(fleet) == offered
        await next(d for d in fleet if d.d1 in offered).ack("OK")
        assert (await desk.view(number))["counts"]["updated"] == 1


async def test_hundreds_of_devices_ask_and_acknowledge_at_once(desk: Desk) -> None:
    fleet = await desk.fleet(300)
    number = await desk.start(phases=[5, 100], abort_min=300)
    await desk.step(number, "promote")
    assert len(await desk.all_offered(fleet)) == 300
    good, bad = fleet[:270], fleet[270:]
    await asyncio.gather(
        *(device.ack("OK") for device in good),
        *(device.ack("ERROR", "ROLLED_BACK crash") for device in bad),
    )
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"], row["state"]) == (270, 30, "running")
    assert await desk.counts(number) == {"targeted": 300, "updated": 270, "rolled_back": 30}


async def test_a_device_that_is_revoked_is_no_target(desk: Desk) -> None:
    first, second = await desk.fleet(2)
    number = await desk.start()
    assert await first.is_offered()
    mine = devices.c.d1 == first.d1
    await desk.server.execute(update(devices).where(mine).values(state="revoked"))
    assert await desk.counts(number) == {"targeted": 1, "waiting": 1}
    desk.clock.pass_s(61)
    await second.succeed()
    assert (await desk.view(number))["state"] == "done"
