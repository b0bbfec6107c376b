"""A release that goes wrong on some terminals alone: they roll it back, the others run it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ks_simulator.fleet import Fleet, FleetPlan
from ks_simulator.report import Report
from ks_simulator.spoiled import WAYS, Spoiling, Versions

SiteMaker = Callable[..., Any]
SOME = Spoiling("app-1.1.0", 0.5)


def until_settled(fleet: Fleet) -> None:
    """End the run once each terminal has kept or left the update."""
    original = fleet._observe

    def observed(d1: str, event: str, detail: Mapping[str, str]) -> None:
        original(d1, event, detail)
        settled = {*fleet.versions.running, *fleet.versions.rolled_back}
        if settled == set(fleet.seen):
            fleet._enough.set()

    fleet._observe = observed  # type: ignore[method-assign]


@pytest.mark.parametrize("way", WAYS)
async def test_those_it_goes_wrong_on_roll_back_and_the_others_run_it(
    site: SiteMaker, way: str
) -> None:
    async with site() as here:
        spoiling = Spoiling("app-1.1.0", 0.5, way)
        plan = FleetPlan(6, seed=2, pace=50, duration_s=60, spoiling=spoiling)
        hit = {d1 for d1 in plan.ids() if spoiling.hits(plan.seed, d1)}
        assert 0 < len(hit) < 6
        fleet = Fleet(plan, here.url, here.keys.trusted(), here.release("1.0.0", 1))
        until_settled(fleet)
        await here.api.publish(here.release("1.1.0", 2).assemble())
        report = await fleet.run()
        assert report.ok, report.as_json()
        assert set(fleet.versions.rolled_back) == set(fleet.versions.planted) == hit
        figures = report.figures
        assert figures["versions"] == {"1.0.0": len(hit), "1.1.0": 6 - len(hit)}
        assert figures["spoiled_terminals"] == figures["spoiled_tried_it"] == len(hit)
        assert figures["updates_rolled_back"] == len(hit)
        assert figures["crashes"] == 0, "what was planted is counted apart"
        starts = {"crash": 3, "reset": 10}[way]
        assert set(fleet.versions.planted.values()) == {starts}


def test_who_is_hit_follows_from_seed_id_and_release() -> None:
    ids = [f"sim-{number}" for number in range(1000)]
    hit = [d1 for d1 in ids if SOME.hits(1, d1)]
    assert hit == [d1 for d1 in ids if Spoiling("app-1.1.0", 0.5).hits(1, d1)]
    assert 400 < len(hit) < 600
    assert hit != [d1 for d1 in ids if SOME.hits(2, d1)]
    assert all(Spoiling("app-1.1.0").hits(1, d1) for d1 in ids)
    assert not any(Spoiling("app-1.1.0", 0).hits(1, d1) for d1 in ids)


def test_a_terminal_that_stays_on_the_spoiled_release_fails_the_run() -> None:
    versions = Versions("1.0.0", SOME, 1)
    crash = {"CLASS": "Spoiled", "TEXT": "planted"}
    assert versions.observe("a", "crash", crash)
    assert versions.observe("b", "spoiled", {})
    assert not versions.observe("b", "crash", {"CLASS": "MemoryError", "TEXT": ""})
    assert not versions.observe("b", "update_rolled_back", {"FW2": "1.1.0"})
    report = Report("fleet", versions.checks())
    assert [(check.group, check.ok) for check in report.checks] == [("a", False), ("b", True)]
