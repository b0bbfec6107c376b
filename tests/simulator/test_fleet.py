"""Fleets: many terminals in one process, judged one by one."""

import socket
from collections.abc import Callable
from typing import Any

from ks_simulator.admin_punches import PunchApi
from ks_simulator.fleet import Fleet, FleetPlan, seeded_bytes
from ks_simulator.keys import RoleKeys
from ks_simulator.link import Faults
from ks_simulator.people import Traffic
from tests.simulator.conftest import Site

SiteMaker = Callable[..., Any]


async def test_a_fleet_registers_and_heartbeats(site: SiteMaker) -> None:
    async with site(registration_mode="whitelist") as here:
        plan = FleetPlan(8, seed=5, heartbeats=3, pace=40)
        await here.api.whitelist_many(plan.public_keys())
        fleet = Fleet(plan, here.url, here.keys.trusted(), here.release("1.0.0", 1))
        report = await fleet.run()
        assert report.ok, report.as_json()
        assert report.figures["registered"] == 8
        assert fleet.total["heartbeat"] >= 24
        devices = {device["d1"]: device["public_key"] for device in await here.api.devices()}
        assert devices == plan.public_keys()


async def test_a_bad_network_slows_a_fleet_down_and_no_more(site: SiteMaker) -> None:
    async with site() as here:
        plan = FleetPlan(4, heartbeats=3, pace=100, faults=Faults(0.2, 0.2, 5))
        fleet = Fleet(
            plan, here.url, here.keys.trusted(), here.release("1.0.0", 1), seeded_bytes(0)
        )
        report = await fleet.run()
        assert report.ok, report.as_json()
        assert report.figures["link_faults"] == fleet.total["offline"]


async def test_a_fleet_without_a_server_says_what_is_wrong_with_each() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        here = Site(nowhere, RoleKeys.make(), None)  # type: ignore[arg-type]
        plan = FleetPlan(2, duration_s=0.5)
        fleet = Fleet(plan, nowhere, here.keys.trusted(), here.release("1.0.0", 1))
        report = await fleet.run()
    assert not report.ok
    assert [check.ok for check in report.checks] == [False, False]
    assert "not registered" in report.checks[0].detail
    assert "offline" in report.checks[0].detail


async def test_an_outage_of_all_links_is_seen_by_all(site: SiteMaker) -> None:
    async with site() as here:
        plan = FleetPlan(3, pace=100, duration_s=30, heartbeats=10**9)
        fleet = Fleet(plan, here.url, here.keys.trusted(), here.release("1.0.0", 1))

        def observed(d1: str, event: str, detail: Any) -> None:
            original(d1, event, detail)
            if fleet.total["heartbeat"] == 3 and event == "heartbeat":
                fleet.outage()
            if all(seen.events["offline"] for seen in fleet.seen.values()):
                fleet.restore()
                fleet._enough.set()

        original, fleet._observe = fleet._observe, observed  # type: ignore[method-assign]
        await fleet.run()
        assert all(seen.events["offline"] for seen in fleet.seen.values())


async def punched(here: Site, plan: FleetPlan) -> Fleet:
    """A fleet that asks the server for its punches, not yet run."""
    await here.api.whitelist_many(plan.public_keys())
    trust, release = here.keys.trusted(), here.release("1.0.0", 1)
    return Fleet(plan, here.url, trust, release, api=PunchApi(here.api._client))


async def test_punches_through_a_storm_an_outage_and_losses_all_arrive(site: SiteMaker) -> None:
    async with site() as here:
        traffic = Traffic(per_minute=240, storm=12, outage_s=0.5)
        plan = FleetPlan(
            3, seed=4, duration_s=4.5, pace=20, faults=Faults(0.1, 0.1, 5), traffic=traffic
        )
        fleet = await punched(here, plan)
        report = await fleet.run()
        assert report.ok, report.as_json()
        figures = report.figures
        assert figures["punches_beeped"] == figures["punches_stored"] >= 36
        refused = sum(figures["punches_refused"].values())
        assert figures["punches_held"] == figures["punches_beeped"] + refused
        assert figures["punch_gaps"] == figures["punches_lost"] == 0
        assert len(report.checks) == 6
        assert all(seen.events["offline"] for seen in fleet.seen.values())


async def test_a_punch_that_beeped_and_is_not_stored_fails_the_run(site: SiteMaker) -> None:
    async with site() as here:
        plan = FleetPlan(1, seed=4, duration_s=1.5, pace=20, traffic=Traffic(storm=3))
        fleet = await punched(here, plan)
        api = fleet._api
        assert api is not None
        punches = api.punches

        async def short(limit: int = 0, **query: str) -> list[dict[str, Any]]:
            return (await punches(limit, **query))[:-1]

        api.punches = short  # type: ignore[method-assign]
        report = await fleet.run()
        assert not report.ok
        assert report.figures["punches_beeped"] == 3
        assert report.figures["punches_stored"] == 2
        assert "1 lost" in report.checks[-1].detail


def test_the_seed_decides_ids_and_keys() -> None:
    one, same, other = FleetPlan(3, seed=1), FleetPlan(3, seed=1), FleetPlan(3, seed=2)
    assert one.public_keys() == same.public_keys()
    assert not set(one.public_keys().values()) & set(other.public_keys().values())
    assert one.ids() == ["sim-1-0000", "sim-1-0001", "sim-1-0002"]
    assert seeded_bytes(1)("a")(16) == seeded_bytes(1)("a")(16) != seeded_bytes(1)("b")(16)
