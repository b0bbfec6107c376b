"""Rollouts: what devices say of their attempts, and what a rollout makes of it by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from ks_server import rollout_watch
from ks_server.db.rollout_schema import rollouts
from ks_server.db.schema import devices
from tests.server.client import Clock
from tests.server.rollout_support import (
    CONTENT,
    FW1,
    NEW,
    OLD,
    Desk,
    ack,
    all_offered,
    check,
    fail,
    fetch,
    is_offered,
    is_told,
    open_desk,
    succeed,
)

ROLLOUT_EVENTS = ("rollout_promoted", "rollout_done", "rollout_aborted", "rollout_penalty")


@pytest.fixture
async def desk(data_folder: Path, clock: Clock) -> AsyncIterator[Desk]:
    async with open_desk(data_folder, clock) as opened:
        await opened.server.release(FW1, NEW, CONTENT, state="signed")
        yield opened


def told(desk: Desk) -> list[str]:
    return [name for name, _ in desk.server.events if name in ROLLOUT_EVENTS]


async def test_each_outcome_is_a_state_of_its_own(desk: Desk) -> None:
    fleet = await desk.fleet(10)
    number = await desk.start(abort_min=100)
    offered, begun, good, bad, broken, later, reports, gone = fleet[:8]
    await is_offered(offered)
    await fetch(begun, await check(begun))
    await succeed(good)
    await fail(bad, "ROLLED_BACK no_heap")
    await fail(broken, "HASH: not the bundle")
    await is_offered(later)
    await ack(later, "ERROR", "POSTPONED no_server")
    await is_offered(reports)
    await is_told(reports, FW2=NEW)
    desk.clock.pass_s(100)
    await is_offered(gone)
    desk.clock.pass_s(100)  # three heartbeats' time after `offered` and the two that never asked
    for device in (begun, good, bad, broken, later, gone):
        await is_told(device)
    assert await desk.counts(number) == {
        "targeted": 10, "offered": 1, "downloading": 1, "updated": 2, "rolled_back": 1,
        "failed": 1, "postponed": 1, "offline": 3,
    }  # fmt: skip
    view = await desk.view(number)
    assert (view["attempts"], view["failure_share"]) == (4, 50)
    for state, expected in (
        ("offline", {offered.d1, fleet[8].d1, fleet[9].d1}),
        ("updated", {good.d1, reports.d1}),
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


async def test_too_many_failures_abort_a_rollout_by_share_after_enough_attempts(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(8)
    number = await desk.start(abort_share=50, abort_min=4)
    await fail(fleet[0])
    await fail(fleet[1])
    await succeed(fleet[2])
    assert (await desk.view(number))["state"] == "running"
    offer = await check(fleet[4])
    await succeed(fleet[3])  # two of four
    view = await desk.view(number)
    assert (view["state"], view["reason"]) == (
        "aborted",
        "2 of 4 devices failed, 50 % are too many",
    )
    assert told(desk) == ["rollout_aborted"]
    assert await all_offered(fleet[4:]) == set()
    assert not await is_told(fleet[5])
    assert await fetch(fleet[4], offer) == 404


async def test_a_number_of_failures_aborts_whatever_the_share(desk: Desk) -> None:
    fleet = await desk.fleet(6)
    number = await desk.start(abort_count=2, abort_share=100, abort_min=100)
    for device in fleet[:3]:
        await succeed(device)
    await fail(fleet[3])
    assert (await desk.view(number))["state"] == "running"
    await fail(fleet[4])
    assert (await desk.view(number))["state"] == "aborted"
    await ack(fleet[5], "OK")  # of what it was never offered: kept, and changes nothing
    assert (await desk.view(number))["counts"]["updated"] == 3


async def test_trying_again_hides_no_failure_and_one_device_is_one_failure(desk: Desk) -> None:
    fleet = await desk.fleet(5)
    number = await desk.start(abort_count=2, penalty=5, abort_min=100)
    for _ in range(4):
        await fail(fleet[0], "HASH")
    assert await is_offered(fleet[0])
    view = await desk.view(number)
    assert (view["state"], view["attempts"], view["failure_share"]) == ("running", 1, 100)
    await succeed(fleet[0])
    view = await desk.view(number)
    assert (view["attempts"], view["failure_share"]) == (1, 0)


async def test_an_acknowledgement_that_comes_twice_counts_once(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_min=100)
    await fail(device)
    for _ in range(4):
        await ack(device, "ERROR", "ROLLED_BACK crash")
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("rolled_back", 1)
    await fail(device, "BANNED")  # it has gone back from this release, and says so again
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("rolled_back", 2)


async def test_a_postponed_update_is_offered_again_and_never_a_failure(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_count=1)
    for _ in range(4):
        assert await is_offered(device)
        await ack(device, "ERROR", "POSTPONED no_server")
    found = await desk.device(number, device.d1)
    assert (found["state"], found["failures"]) == ("postponed", 0)
    assert (await desk.view(number))["failure_share"] is None


async def test_a_version_on_trial_that_goes_back_is_not_taken_for_an_update(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(abort_min=100)
    assert await is_offered(device)
    await is_told(device, FW2=NEW)  # its trial, of which the answer is lost
    assert await desk.counts(number) == {"targeted": 1, "updated": 1}
    await desk.clean()
    desk.clock.pass_s(1)
    await ack(device, "ERROR", "ROLLED_BACK no_server")
    assert await desk.counts(number) == {"targeted": 1, "rolled_back": 1}
    await desk.clean()
    assert await desk.counts(number) == {"targeted": 1, "rolled_back": 1}
    desk.clock.pass_s(1)
    await is_told(device, FW2=OLD)
    assert await desk.counts(number) == {"targeted": 1, "rolled_back": 1}


async def test_the_figures_of_a_rollout_are_the_sums_of_its_devices(desk: Desk) -> None:
    fleet = await desk.fleet(12)
    number = await desk.start(abort_min=100)
    await asyncio.gather(*(fail(device) for device in fleet[:3]))
    await asyncio.gather(*(succeed(device) for device in fleet[3:8]))
    await asyncio.gather(*(succeed(device) for device in fleet[:1]))
    assert await is_offered(fleet[8])
    await is_told(fleet[8], FW2=NEW)
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"]) == (6, 2)
    await desk.clean()
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"]) == (7, 2)
    view = await desk.view(number)
    assert (view["counts"]["updated"], view["attempts"]) == (7, 9)


async def test_a_phase_that_has_soaked_is_followed_by_the_next_and_the_last_ends(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(19)
    number = await desk.start(phases=[30, 100], soak_s=600, automatic=True)
    canary = await all_offered(fleet)
    assert 0 < len(canary) < 19
    for device in fleet:
        if device.d1 in canary:
            await ack(device, "OK")
    desk.clock.pass_s(599)
    await desk.clean()
    assert (await desk.view(number))["phase"] == 0
    desk.clock.pass_s(1)
    await desk.clean()
    view = await desk.view(number)
    assert (view["phase"], view["state"]) == (1, "running")
    for device in fleet:
        if device.d1 not in canary:
            await succeed(device)
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(number))["state"] == "done"
    assert told(desk) == ["rollout_promoted", "rollout_done"]
    # who comes later gets it, too, and may still abort it
    late = await desk.add(desk.server.device(d1="late"))
    assert await is_told(late)
    assert await is_offered(late)


async def test_a_phase_is_not_followed_while_nobody_has_succeeded_or_too_many_failed(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(10)
    await desk.start(filter={"devices": [d.d1 for d in fleet[:9]]}, phases=[50, 100], soak_s=0)
    number = await desk.start(
        phases=[99, 100], soak_s=0, automatic=True, abort_share=50, abort_min=100
    )
    await desk.clean()
    assert (await desk.view(number))["phase"] == 0  # nobody has tried
    first, second = [device for device in fleet if await is_open(desk, number, device.d1)][:2]
    await desk.step(1, "abort")
    await fail(first)
    await succeed(second)
    await desk.clean()
    view = await desk.view(number)
    # half of two failed: too few attempts to abort, too many to go on
    assert (view["state"], view["phase"], view["failure_share"]) == ("running", 0, 50)
    await succeed(first)
    await desk.clean()
    assert (await desk.view(number))["phase"] == 1


async def is_open(desk: Desk, number: int, d1: str) -> bool:
    return bool((await desk.device(number, d1))["in_phase"])


async def test_a_rollout_by_hand_waits_for_a_person_however_long(desk: Desk) -> None:
    fleet = await desk.fleet(10)
    number = await desk.start(phases=[90, 100], soak_s=0)
    for device in fleet:
        if await is_open(desk, number, device.d1):
            await succeed(device)
    desk.clock.pass_s(80_000)
    await desk.clean()
    view = await desk.view(number)
    assert (view["state"], view["phase"]) == ("running", 0)
    assert (await desk.step(number, "promote"))["phase"] == 1


async def test_failures_that_nobody_acknowledged_in_time_abort_a_paused_and_a_done_rollout(
    desk: Desk,
) -> None:
    first, second, third = await desk.fleet(3)
    number = await desk.start(abort_count=1)
    assert await all_offered([first, second, third]) == {first.d1, second.d1, third.d1}
    await desk.step(number, "pause")
    await ack(first, "ERROR", "ROLLED_BACK crash")
    assert (await desk.view(number))["state"] == "aborted"
    again = await desk.start(abort_count=1, filter={"devices": [second.d1, third.d1]})
    await succeed(second)
    await succeed(third)
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(again))["state"] == "done"
    late = await desk.add(desk.server.device(d1="late"))
    assert not await is_told(late)  # the filter knows it not
    assert await is_offered(third)  # it has been put back by hand
    await ack(third, "ERROR", "ROLLED_BACK crash")
    assert (await desk.view(again))["state"] == "aborted"


async def test_a_restart_of_the_server_changes_nothing(data_folder: Path, clock: Clock) -> None:
    async with open_desk(data_folder, clock) as desk:
        await desk.server.release(FW1, NEW, CONTENT, state="signed")
        fleet = await desk.fleet(19)
        number = await desk.start(phases=[50, 100], downloads_at_once=3)
        for device in fleet:
            if await is_open(desk, number, device.d1):
                bad = device
        await fail(bad)
        offered = await all_offered(fleet)
        before = await desk.view(number)
        page = await desk.call("GET", f"/rollouts/{number}/devices?limit=200")
    async with open_desk(data_folder, clock) as desk:
        fleet = [desk.server.device(d1=device.d1, seed=device.seed) for device in fleet]
        assert await desk.view(number) == before
        assert await desk.call("GET", f"/rollouts/{number}/devices?limit=200") == page
        assert await all_offered(fleet) == offered
        await ack(next(d for d in fleet if d.d1 in offered), "OK")
        assert (await desk.view(number))["counts"]["updated"] == 1


async def test_a_thousand_devices_ask_and_acknowledge_at_once(desk: Desk) -> None:
    fleet = await desk.fleet(1000)
    number = await desk.start(phases=[5, 100], abort_min=1000)
    await desk.step(number, "promote")
    assert len(await all_offered(fleet)) == 1000
    good, bad = fleet[:900], fleet[900:]
    await asyncio.gather(
        *(ack(device, "OK") for device in good),
        *(ack(device, "ERROR", "ROLLED_BACK crash") for device in bad),
    )
    [row] = await desk.server.rows(rollouts)
    assert (row["succeeded"], row["failing"], row["state"]) == (900, 100, "running")
    assert await desk.counts(number) == {"targeted": 1000, "updated": 900, "rolled_back": 100}


async def test_of_a_crowd_that_fails_no_more_are_counted_than_abort_it(desk: Desk) -> None:
    fleet = await desk.fleet(60)
    number = await desk.start(phases=[5, 100], abort_count=10, abort_min=100)
    await desk.step(number, "promote")
    await all_offered(fleet)
    await asyncio.gather(*(ack(device, "ERROR", "ROLLED_BACK crash") for device in fleet))
    view = await desk.view(number)
    assert (view["state"], view["reason"]) == (
        "aborted",
        "10 devices failed, of which 10 are too many",
    )
    assert view["counts"]["rolled_back"] == 60
    assert told(desk) == ["rollout_aborted"]


async def test_a_device_that_is_revoked_is_no_target(desk: Desk) -> None:
    first, second = await desk.fleet(2)
    number = await desk.start()
    assert await is_offered(first)
    mine = devices.c.d1 == first.d1
    await desk.server.execute(update(devices).where(mine).values(state="revoked"))
    assert await desk.counts(number) == {"targeted": 1, "waiting": 1}
    await succeed(second)
    await desk.clean()
    assert (await desk.view(number))["state"] == "done"
