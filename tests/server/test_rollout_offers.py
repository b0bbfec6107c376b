"""Rollouts: who is offered a release, and when."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, insert, update

from ks_server.db.rollout_schema import rollout_devices
from ks_server.db.schema import devices, sites
from tests.server.rollout_support import FW1, NEW, OLD, Desk


async def test_a_phase_offers_to_its_buckets_and_later_ones_to_these_and_more(desk: Desk) -> None:
    fleet = await desk.fleet(60)
    number = await desk.start(phases=[5, 30, 60, 100])
    before: set[str] = set()
    for phase, share in enumerate([5, 30, 60, 100]):
        view = await desk.view(number)
        assert (view["phase"], view["state"]) == (phase, "running")
        offered = await desk.all_offered(fleet)
        assert before <= offered
        assert {device.d1 for device in fleet if await device.is_told()} == offered
        page = await desk.call("GET", f"/rollouts/{number}/devices?limit=200")
        buckets = {item["d1"]: item["bucket"] for item in page["items"]}
        assert offered == {d1 for d1, bucket in buckets.items() if bucket < share * 100}
        before = offered
        if share < 100:
            await desk.step(number, "promote")
    assert len(before) == 60
    assert await desk.counts(number) == {"targeted": 60, "offered": 60}


async def test_a_published_release_is_for_all_until_it_has_a_rollout(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    await desk.server.release("rel-3", "1.3.0")
    assert await device.is_offered("rel-3")
    number = await desk.draft("rel-3")
    assert not await device.is_told()
    assert not await device.is_offered("rel-3")
    await desk.step(number, "start")
    assert await device.is_offered("rel-3")
    await desk.step(number, "abort")
    assert not await device.is_offered("rel-3")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "abc"),
        ({"types": ["ESP32_READER"]}, "b"),
        ({"types": ["RPI_TERMINAL"]}, ""),
        ({"models": ["T1"]}, "ab"),
        ({"sites": ["roof"]}, "c"),
        ({"versions": ["0.9.0"]}, "c"),
        ({"devices": ["a", "c", "x"]}, "ac"),
        ({"models": ["T1", "T2"], "devices": ["b", "c"]}, "bc"),
        ({"models": ["T1"], "sites": ["roof"]}, ""),
    ],
)
async def test_filters_say_whom_a_rollout_is_for(
    desk: Desk, chosen: dict[str, list[str]], expected: str
) -> None:
    await desk.server.execute(
        insert(sites).values(
            site="roof", name="Roof", time_zone="UTC", allow_list=False, created_ms=0
        )
    )
    a = await desk.add(desk.terminal(d1="a"), d5="T1")
    b = await desk.add(desk.terminal(d1="b", d2="ESP32_READER"), d5="T1")
    c = await desk.add(desk.terminal(d1="c"), d5="T2", site="roof", fw2="0.9.0")
    number = await desk.start(filter=chosen)
    assert await desk.counts(number) == (
        {"targeted": len(expected), "waiting": len(expected)} if expected else {}
    )
    found = ""
    for device, fw2 in ((a, OLD), (b, OLD), (c, "0.9.0")):
        told = await device.is_told(FW2=fw2)
        assert ("FW1" in await device.ask(FW2=fw2)) == told
        found += device.d1 if told else ""
    assert found == expected


async def test_a_device_that_moves_to_another_site_is_offered_what_is_rolled_out_there(
    desk: Desk,
) -> None:
    for site in ("roof", "cellar"):
        await desk.server.execute(
            insert(sites).values(
                site=site, name=site, time_zone="UTC", allow_list=False, created_ms=0
            )
        )
    [device] = await desk.fleet(1, site="roof")
    await desk.start(filter={"sites": ["cellar"]})
    assert not await device.is_told()
    await desk.call("PUT", f"/devices/{device.d1}/site", {"site": "cellar"})
    assert await device.is_told()
    assert await device.is_offered()


async def test_nobody_is_offered_what_it_runs_already(desk: Desk) -> None:
    old, new, newer, silent = await desk.fleet(4)
    for device, fw2 in ((new, NEW), (newer, "2.0.0"), (silent, None)):
        mine = devices.c.d1 == device.d1
        await desk.server.execute(update(devices).where(mine).values(fw2=fw2))
    number = await desk.start()
    assert await desk.counts(number) == {"targeted": 1, "waiting": 1}
    assert await old.is_told()
    assert not await new.is_told(FW2=NEW)
    assert not await newer.is_told(FW2="2.0.0")
    assert not await silent.is_told(FW2=None)


async def test_the_newest_of_several_rollouts_wins_and_older_ones_serve_the_rest(
    desk: Desk,
) -> None:
    first, second = await desk.fleet(2)
    await desk.server.release("rel-3", "1.3.0", state="signed")
    await desk.start()
    await desk.start("rel-3", filter={"devices": [first.d1]})
    assert (await first.ask())["FW1"] == "rel-3"
    assert (await second.ask())["FW1"] == FW1


async def test_a_pause_lets_finish_who_has_begun_and_a_resumed_rollout_goes_on(desk: Desk) -> None:
    begun, waiting = await desk.fleet(2)
    number = await desk.start()
    offer = await begun.ask()
    assert await begun.fetch(offer) == 200
    assert (await desk.step(number, "pause"))["state"] == "paused"
    assert (await begun.is_told(), await waiting.is_told()) == (True, False)
    assert (await begun.is_offered(), await waiting.is_offered()) == (True, False)
    assert await begun.fetch(offer) == 200
    started = (await desk.view(number))["phase_started"]
    desk.clock.pass_s(30)
    resumed = await desk.step(number, "resume")
    assert (resumed["state"], resumed["phase_started"] > started) == ("running", True)
    assert await waiting.is_offered()


async def test_after_three_failures_a_device_is_in_the_penalty_box(desk: Desk) -> None:
    bad, good = await desk.fleet(2)
    number = await desk.start(abort_min=100)
    for _ in range(2):
        await bad.fail()
        assert (await desk.device(number, bad.d1))["state"] == "rolled_back"
        assert await bad.is_told()
    await bad.fail("ROLLED_BACK resets")
    assert await desk.counts(number) == {"targeted": 2, "penalty": 1, "waiting": 1}
    assert not await bad.is_told()
    assert not await bad.is_offered()
    assert await good.is_offered()
    found = await desk.device(number, bad.d1)
    assert (found["failures"], found["detail"]) == (3, "ROLLED_BACK resets")
    told = [fields for name, fields in desk.server.events if name == "rollout_penalty"]
    assert [(fields["d1"], fields["failures"]) for fields in told] == [(bad.d1, 3)]


async def test_only_so_many_download_at_once(desk: Desk) -> None:
    first, second, third = await desk.fleet(3)
    number = await desk.start(downloads_at_once=2)
    offer = await first.ask()
    assert await first.fetch(offer) == 200
    assert await second.is_offered()
    assert not await third.is_offered()
    assert await first.is_offered()  # who has begun goes on
    await desk.step(number, "pause")
    await desk.step(number, "resume")  # what is in memory is read again
    assert (await first.is_told(), await third.is_told()) == (True, False)
    await first.ack("OK")
    assert await third.is_offered()
    desk.clock.pass_s(301)  # the second never began: its place is somebody else's
    fourth = await desk.add(desk.terminal(d1="late"))
    assert await fourth.is_offered()


async def test_images_are_offered_by_the_image_that_runs_after_applications(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    image = {"kind": "image", "image": "1.26.0", "state": "signed"}
    await desk.server.release("img-1", "3.0.0", b"image", **image)
    number = await desk.start("img-1")
    assert await desk.counts(number) == {}  # nobody has said which image it runs
    assert not await device.is_told()
    assert await device.is_told(IMG1="1.25.0")
    assert await desk.counts(number) == {"targeted": 1, "waiting": 1}
    assert (await device.ask(IMG1="1.25.0"))["FW1"] == "img-1"
    for running in ("1.26.0", "1.27.0", "one"):
        assert not await device.is_told(IMG1=running)
        assert "FW1" not in await device.ask(IMG1=running)
    await desk.server.release("rel-9", "1.9.0", image_min="1.25.0", image_max="1.26.9")
    assert (await device.ask(IMG1="1.25.0"))["FW1"] == "rel-9"
    for running in ("1.24.9", "1.27.0"):
        assert (await device.ask(IMG1=running)).get("FW1") != "rel-9"
    assert (await device.ask())["FW1"] == "rel-9"  # it may judge for itself
    assert await device.is_told(IMG1="1.26.0", FW2="1.9.0") is False
    assert await desk.counts(number) == {"targeted": 1, "offered": 1}


async def test_heartbeats_ask_the_database_nothing_about_rollouts(desk: Desk) -> None:
    fleet = await desk.fleet(19)
    await desk.start(downloads_at_once=5)
    await desk.server.release("rel-3", "1.3.0", state="signed")
    number = await desk.start("rel-3", abort_min=100)
    for _ in range(3):
        assert (await fleet[0].ask())["FW1"] == "rel-3"
        await fleet[0].ack("ERROR", "x", "rel-3")
    assert (await desk.view(number))["counts"]["penalty"] == 1
    await fleet[1].is_told()  # memory is fresh
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        asked.append(statement)

    engine = desk.server.context.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        told = [await device.is_told() for device in fleet]
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert told == [True] * 19
    # at most one reading, for memory is read again after some seconds
    assert sum("rollout_devices" in statement for statement in asked) <= 4
    assert len(await desk.server.rows(rollout_devices)) == 1


async def test_a_release_that_expires_is_offered_no_longer(desk: Desk) -> None:
    [device] = await desk.fleet(1)
    number = await desk.start()
    offer = await device.ask()
    desk.clock.pass_s(86_401)
    assert not await device.is_told()
    assert not await device.is_offered()
    assert await device.fetch(offer) != 200
    await desk.step(number, "pause")
    assert (await desk.refused("POST", f"/rollouts/{number}/resume"))[0] == "EXPIRED"


async def test_who_was_offered_nothing_downloads_nothing(desk: Desk) -> None:
    stranger, chosen = await desk.fleet(2)
    await desk.start(filter={"devices": [chosen.d1]})
    message = stranger.build("firmware/download", FW1=FW1)
    assert (await stranger.send("firmware/download", message)).status_code == 404
    message = chosen.build("firmware/download", FW1=FW1)
    assert (await chosen.send("firmware/download", message)).status_code == 404
    await chosen.succeed()
    message = chosen.build("firmware/download", FW1=FW1)
    assert (await chosen.send("firmware/download", message)).status_code == 200
