"""Rollouts: what they do by themselves."""

from __future__ import annotations

import asyncio

from ks_server import rollout_watch
from tests.server.rollout_support import Desk

ROLLOUT_EVENTS = ("rollout_promoted", "rollout_done", "rollout_aborted", "rollout_penalty")


def told(desk: Desk) -> list[str]:
    return [name for name, _ in desk.server.events if name in ROLLOUT_EVENTS]


async def test_too_many_failures_abort_a_rollout_by_share_after_enough_attempts(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(8)
    number = await desk.start(abort_share=50, abort_min=4)
    await fleet[0].fail()
    await fleet[1].fail()
    await fleet[2].succeed()
    assert (await desk.view(number))["state"] == "running"
    offer = await fleet[4].ask()
    await fleet[3].succeed()  # two of four
    view = await desk.view(number)
    assert (view["state"], view["reason"]) == (
        "aborted",
        "2 of 4 devices failed, 50 % are too many",
    )
    assert told(desk) == ["rollout_aborted"]
    assert await desk.all_offered(fleet[4:]) == set()
    assert not await fleet[5].is_told()
    assert await fleet[4].fetch(offer) == 404


async def test_a_number_of_failures_aborts_whatever_the_share(desk: Desk) -> None:
    fleet = await desk.fleet(6)
    number = await desk.start(abort_count=2, abort_share=100, abort_min=100)
    for device in fleet[:3]:
        await device.succeed()
    await fleet[3].fail()
    assert (await desk.view(number))["state"] == "running"
    await fleet[4].fail()
    assert (await desk.view(number))["state"] == "aborted"
    await fleet[5].ack("OK")  # of what it was never offered: kept, and changes nothing
    assert (await desk.view(number))["counts"]["updated"] == 3


async def test_a_phase_that_has_soaked_is_followed_by_the_next_and_the_last_ends(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(19)
    number = await desk.start(phases=[30, 100], soak_s=600, automatic=True)
    canary = await desk.all_offered(fleet)
    assert 0 < len(canary) < 19
    for device in fleet:
        if device.d1 in canary:
            await device.ack("OK")
    desk.clock.pass_s(599)
    await desk.clean()
    assert (await desk.view(number))["phase"] == 0
    desk.clock.pass_s(1)
    await desk.clean()
    view = await desk.view(number)
    assert (view["phase"], view["state"]) == (1, "running")
    for device in fleet:
        if device.d1 not in canary:
            await device.succeed()
    desk.clock.pass_s(599)
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(number))["state"] == "running"
    desk.clock.pass_s(1)
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(number))["state"] == "done"
    assert told(desk) == ["rollout_promoted", "rollout_done"]
    # who comes later gets it, too, and may still abort it
    late = await desk.add(desk.terminal(d1="late"))
    assert await late.is_told()
    assert await late.is_offered()


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
    first, second = [device for device in fleet if await desk.is_open(number, device.d1)][:2]
    await desk.step(1, "abort")
    await first.fail()
    await second.succeed()
    await desk.clean()
    view = await desk.view(number)
    # half of two failed: too few attempts to abort, too many to go on
    assert (view["state"], view["phase"], view["failure_share"]) == ("running", 0, 50)
    desk.clock.pass_s(1)
    await first.succeed()
    assert (await desk.view(number))["phase"] == 1


async def test_a_rollout_by_hand_waits_for_a_person_however_long(desk: Desk) -> None:
    fleet = await desk.fleet(10)
    number = await desk.start(phases=[90, 100], soak_s=0)
    for device in fleet:
        if await desk.is_open(number, device.d1):
            await device.succeed()
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
    assert await desk.all_offered([first, second, third]) == {first.d1, second.d1, third.d1}
    await desk.step(number, "pause")
    await first.ack("ERROR", "ROLLED_BACK crash")
    assert (await desk.view(number))["state"] == "aborted"
    again = await desk.start(abort_count=1, soak_s=0, filter={"devices": [second.d1, third.d1]})
    await second.succeed()
    await third.succeed()
    assert (await desk.view(again))["state"] == "done"
    late = await desk.add(desk.terminal(d1="late"))
    assert not await late.is_told()  # the filter knows it not
    assert await third.is_offered()  # it has been put back by hand
    await third.ack("ERROR", "ROLLED_BACK crash")
    assert (await desk.view(again))["state"] == "aborted"


async def test_of_a_crowd_that_fails_no_more_are_counted_than_abort_it(desk: Desk) -> None:
    fleet = await desk.fleet(60)
    number = await desk.start(phases=[5, 100], abort_count=10, abort_min=100)
    await desk.step(number, "promote")
    await desk.all_offered(fleet)
    await asyncio.gather(*(device.ack("ERROR", "ROLLED_BACK crash") for device in fleet))
    view = await desk.view(number)
    assert (view["state"], view["reason"]) == (
        "aborted",
        "10 devices failed, of which 10 are too many",
    )
    assert view["counts"]["rolled_back"] == 60
    assert told(desk) == ["rollout_aborted"]


async def test_the_acknowledgement_that_a_soaked_phase_waited_for_opens_the_next_at_once(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(19)
    number = await desk.start(phases=[40, 70, 100], soak_s=60, automatic=True)
    first = [device for device in fleet if await desk.is_open(number, device.d1)]
    await first[0].fail()
    desk.clock.pass_s(60)
    assert (await desk.view(number))["phase"] == 0
    await first[1].succeed()
    assert (await desk.view(number))["phase"] == 0  # one of two failed
    for device in first[2:]:
        await device.is_offered()
    await first[0].succeed()
    assert (await desk.view(number))["phase"] == 1
    assert told(desk) == ["rollout_promoted"]
    second = [device for device in fleet if await desk.is_open(number, device.d1)]
    desk.clock.pass_s(59)
    newcomer = next(device for device in second if device not in first)
    assert await newcomer.is_told()
    await newcomer.succeed()
    assert (await desk.view(number))["phase"] == 1  # soaks
    desk.clock.pass_s(1)
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(number))["phase"] == 2


async def test_without_any_soak_a_rollout_runs_from_acknowledgement_to_acknowledgement(
    desk: Desk,
) -> None:
    fleet = await desk.fleet(19)
    number = await desk.start(phases=[30, 60, 100], soak_s=0, automatic=True)
    left = list(fleet)
    while left:
        desk.clock.pass_s(1)
        is_open = [device for device in left if await desk.is_open(number, device.d1)]
        await is_open[0].succeed()
        left.remove(is_open[0])
    view = await desk.view(number)
    assert (view["state"], view["phase"]) == ("done", 2)
    assert told(desk) == ["rollout_promoted", "rollout_promoted", "rollout_done"]


async def test_a_rollout_is_done_though_devices_are_offline_and_they_get_it_later(
    desk: Desk,
) -> None:
    good, bad, asleep, away = await desk.fleet(4)
    number = await desk.start(soak_s=3600, abort_min=100)
    assert await asleep.is_offered()
    await bad.fail("HASH")
    await good.succeed()
    assert (await desk.view(number))["state"] == "running"
    desk.clock.pass_s(3600)
    assert await asleep.is_told()
    await rollout_watch.look(desk.server.context)
    assert (await desk.view(number))["state"] == "running"  # one that is there is waited for
    desk.clock.pass_s(600)
    await rollout_watch.look(desk.server.context)
    view = await desk.view(number)
    assert (view["state"], view["counts"]["offline"]) == ("done", 2)
    await asleep.succeed()
    await away.succeed()
    assert await desk.counts(number) == {"targeted": 4, "updated": 3, "failed": 1}


async def test_a_rollout_that_nobody_has_taken_is_not_done(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start(soak_s=0, abort_min=100)
    await device.fail()
    desk.clock.pass_s(80_000)
    await desk.clean()
    assert (await desk.view(number))["state"] == "running"


async def test_a_phase_in_which_all_failed_waits_for_a_person(desk: Desk) -> None:
    fleet = await desk.fleet(19)
    number = await desk.start(
        phases=[50, 80, 100], soak_s=0, automatic=True, abort_share=99, abort_min=100
    )
    first = [device for device in fleet if await desk.is_open(number, device.d1)]
    desk.clock.pass_s(1)
    await first[0].succeed()
    assert (await desk.view(number))["phase"] == 1
    desk.clock.pass_s(1)
    both = [device for device in fleet if await desk.is_open(number, device.d1)]
    for device in both:
        if device is not first[0]:
            await device.fail()
    desk.clock.pass_s(80_000)
    await desk.clean()
    view = await desk.view(number)
    assert (view["state"], view["phase"]) == ("running", 1)


async def test_a_phase_with_nobody_in_it_is_passed_over(desk: Desk) -> None:
    fleet = await desk.fleet(2)
    number = await desk.start(phases=[99, 99.98, 99.99, 100], soak_s=0, automatic=True)
    for device in fleet:
        desk.clock.pass_s(1)
        await device.succeed()
    assert (await desk.view(number))["state"] == "done"
