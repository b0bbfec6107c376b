"""The scene of the canary tells what it finds, the bad too."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ks_simulator.application import split
from ks_simulator.spoiled import Spoiling, Versions
from ks_tools import demo_rollout, demo_view
from ks_tools.demo_rollout import BAD, FIRST, PHASES, TERMINALS, Rollouts, release_id
from ks_tools.demo_stage import Scene, Stage
from tests.tools.test_rollout import ROLLOUT


class Seen:
    """A terminal that has one more heartbeat whenever somebody looks."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self._beats = 0

    @property
    def heartbeats(self) -> int:
        self._beats += 1
        return self._beats


class Fleet:
    def __init__(self, ids: list[str]) -> None:
        self.seen = {d1: Seen() for d1 in ids}
        self.versions = Versions(FIRST, Spoiling(release_id(BAD)), 0)


class Api:
    """A server whose canary is the first three; the second draw has one, the first has none."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ids = list(fleet.seen)
        self.rollouts: dict[int, dict[str, Any]] = {}
        self.leaks = False
        self.stops = True

    async def store(self, bundle: bytes) -> str:
        return split(bundle).token("FW1")

    async def create_rollout(self, form: dict[str, Any]) -> dict[str, Any]:
        number = len(self.rollouts) + 1
        self.rollouts[number] = {**ROLLOUT, "id": number, **form}
        return self.rollouts[number]

    async def rollout_devices(self, number: int) -> list[dict[str, Any]]:
        size = 3 if number % 2 == 0 else 0
        return [{"d1": d1, "in_phase": at < size} for at, d1 in enumerate(self.ids)]

    async def rollout(self, number: int) -> dict[str, Any]:
        return self.rollouts[number]

    async def rollout_step(self, number: int, step: str) -> None:
        now = self.rollouts[number]
        now.update(state="aborted" if step == "abort" else "running", phase=int(step == "promote"))
        if step == "abort":
            return
        if now["fw1"] == release_id(BAD):
            self._fail(now)
        else:
            count = TERMINALS if step == "promote" else 3
            now.update(attempts=count, failure_share=0, counts={**now["counts"], "updated": count})

    def _fail(self, now: dict[str, Any]) -> None:
        offered = self.ids[: 4 if self.leaks else 3]
        for d1 in offered:
            self.fleet.seen[d1].events["update_offered"] += 1
            self.fleet.versions.observe(d1, "crash", {"CLASS": "Spoiled"})
            self.fleet.versions.observe(d1, "update_rolled_back", {})
        if self.stops:
            now.update(state="aborted", reason="3 of 3 devices failed")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(demo_rollout, "PATIENCE_S", 0.3)
    made: Any = Stage(tmp_path)
    made.scenes.append(Scene("before"))
    fleet = Fleet(Rollouts(made).ids)
    made.api = Api(fleet)

    async def switch_on(rollouts: Rollouts) -> asyncio.Task[Any]:
        rollouts.fleet = fleet  # type: ignore[assignment]
        return asyncio.create_task(asyncio.Event().wait())

    monkeypatch.setattr(Rollouts, "switch_on", switch_on)
    return made  # type: ignore[no-any-return]


def told(stage: Stage) -> list[bool]:
    asyncio.run(demo_rollout.canary_aborts(stage))
    return [check.ok for check in stage.scenes[-1].checks]


def test_a_canary_that_aborts_itself_holds_every_expectation(stage: Stage) -> None:
    shown: list[str] = []

    def look() -> None:
        if stage.rollout is not None:
            shown.append(str(demo_view.picture(stage).renderables[-1]))  # type: ignore[arg-type]

    stage.on_change(look)
    assert told(stage) == [True] * 5
    assert shown
    assert stage.rollout is None
    api: Any = stage.api
    fates = [rollout["state"] for rollout in api.rollouts.values()]
    assert fates == ["aborted", "aborted", "aborted", "running"], "drawn until there is a canary"
    assert all(rollout["phases"] == PHASES for rollout in api.rollouts.values())


def test_an_offer_outside_of_the_canary_fails(stage: Stage) -> None:
    api: Any = stage.api
    api.leaks = True
    assert told(stage) == [True, True, True, False, True]


def test_a_rollout_that_goes_on_over_failures_fails(stage: Stage) -> None:
    api: Any = stage.api
    api.stops = False
    assert told(stage) == [True, False]
    assert "not in" in stage.scenes[-1].checks[-1].detail
