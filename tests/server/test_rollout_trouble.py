"""Rollouts on servers in trouble: two of them, clocks that are wrong, restarts at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ks_server import rollout_watch
from ks_server.db.schema import commands
from tests.server.client import Clock
from tests.server.rollout_support import CONTENT, FW1, NEW, OLD, Desk, open_desk

YEAR_S = 365 * 86_400


async def test_what_one_server_revokes_another_on_its_database_offers_to_nobody(
    data_folder: Path, clock: Clock
) -> None:
    async with open_desk(data_folder, clock) as here, open_desk(data_folder, clock) as there:
        await here.server.release(FW1, NEW, CONTENT)
        first, second = await here.fleet(2)
        other = there.terminal(d1=second.d1, seed=second.seed)
        offer = await first.ask()
        assert await other.is_offered()
        await there.call("POST", f"/releases/{FW1}/revoke")
        assert not await first.is_offered()
        assert await first.fetch(offer) == 404

        await here.server.release("rel-3", "1.3.0")
        assert await first.is_offered("rel-3")
        number = await there.draft("rel-3")
        assert not await first.is_offered("rel-3")
        await there.step(number, "start")
        assert await other.is_offered("rel-3")
        await here.step(number, "abort")
        assert not await other.is_offered("rel-3")


async def test_who_is_halted_is_not_resumed_by_what_another_server_has_revoked(
    data_folder: Path, clock: Clock
) -> None:
    async with open_desk(data_folder, clock) as here, open_desk(data_folder, clock) as there:
        await here.server.release(FW1, NEW, CONTENT, state="signed")
        [device] = await here.fleet(1)
        number = await here.start()
        assert await device.is_offered()
        await here.step(number, "revoke")
        await here.server.release("rel-3", "1.3.0")
        await device.call("firmware/check", FW2="1.3.0")  # what is in memory is fresh
        await there.call("POST", "/releases/rel-3/revoke")
        assert not await device.is_offered("rel-3")
        assert [row["cmd2"] for row in await here.server.rows(commands)] == ["HALT_UPDATES"]


async def test_two_servers_count_each_acknowledgement_once_and_end_the_rollout_once(
    data_folder: Path, clock: Clock
) -> None:
    async with open_desk(data_folder, clock) as here, open_desk(data_folder, clock) as there:
        await here.server.release(FW1, NEW, CONTENT, state="signed")
        fleet = await here.fleet(4)
        number = await here.start(soak_s=0)
        for device in fleet:
            twin = there.terminal(d1=device.d1, seed=device.seed)
            assert await device.is_offered()
            await twin.ack("OK")
            await device.ack("OK")
        for desk in (here, there):
            await rollout_watch.look(desk.server.context)
            assert (await desk.view(number))["counts"]["updated"] == 4
        names = [name for desk in (here, there) for name, _ in desk.server.events]
        assert names.count("rollout_done") == 1


async def test_a_clock_that_is_a_year_ahead_offers_nothing_and_back_again_believes_nobody(
    desk: Desk,
) -> None:
    first, second = await desk.fleet(2)
    number = await desk.start(phases=[99, 100], soak_s=60, automatic=True)
    await first.succeed()
    before = await desk.view(number)
    desk.clock.pass_s(YEAR_S)
    assert not await second.is_told()
    assert not await second.is_offered()  # the release has expired
    desk.clock.pass_s(-YEAR_S)
    answer = await second.call("firmware/check", FW2=OLD)  # its nonces might have been forgotten
    assert answer.code == "TIMESTAMP_INVALID"
    await desk.clean()
    assert await desk.view(number) == before


@pytest.mark.parametrize("steps", [
    (), ("start",), ("start", "promote"), ("start", "pause"), ("start", "pause", "resume"),
    ("abort",), ("start", "abort"), ("start", "revoke"),
])  # fmt: skip
async def test_a_rollout_is_after_a_restart_what_it_was(
    data_folder: Path, clock: Clock, steps: tuple[str, ...]
) -> None:
    async with open_desk(data_folder, clock) as desk:
        await desk.server.release(FW1, NEW, CONTENT, state="signed")
        fleet = await desk.fleet(4)
        number = await desk.draft(phases=[99, 100])
        for step in steps:
            await desk.step(number, step)
            await fleet[0].is_offered()
        before = await desk.view(number)
        told = [await device.is_told() for device in fleet]
    async with open_desk(data_folder, clock) as desk:
        assert await desk.view(number) == before
        again = [desk.terminal(d1=device.d1, seed=device.seed) for device in fleet]
        assert [await device.is_told() for device in again] == told
        await desk.clean()
        assert (await desk.view(number))["state"] == before["state"]


async def test_two_rollouts_for_the_same_devices_are_counted_apart(desk: Desk) -> None:
    fleet = await desk.fleet(3)
    first = await desk.start(abort_min=100)
    await fleet[0].fail()
    await fleet[1].succeed()
    second = await desk.start(abort_min=100)
    assert await fleet[2].is_offered()
    states = {number: await desk.counts(number) for number in (first, second)}
    assert states[first]["updated"] == 1
    assert states[first]["rolled_back"] == 1
    taken = [number for number in (first, second) if states[number].get("offered")]
    assert len(taken) == 1
    await fleet[2].ack("OK")
    assert sum([(await desk.counts(number)).get("updated", 0) for number in (first, second)]) == 2
    await desk.step(first, "revoke")
    for number in (first, second):
        assert (await desk.view(number))["state"] == "revoked"
    assert await desk.server.rows(commands) == []


@pytest.mark.parametrize("path", [
    "/rollouts/0", "/rollouts/-1", "/rollouts/99999999999999999999", "/rollouts/1e3",
    "/rollouts/%00", "/rollouts/1/devices?limit=0", "/rollouts/1/devices?limit=1001",
    "/rollouts/1/devices?state=nothing", "/rollouts/1/devices?after=%00",
    "/rollouts?after=WzFd&limit=x", "/rollouts/1/devices?after=WzFd", "/rollouts?after=WyJhIl0=",
])  # fmt: skip
async def test_a_path_that_makes_no_sense_is_refused_by_name(desk: Desk, path: str) -> None:
    await desk.draft()
    assert (await desk.refused("GET", path))[0] in ("INVALID", "BAD_CURSOR", "NOT_FOUND")
