"""Rollouts over a dozen virtual terminals of one real server process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ks_simulator.admin import eventually
from ks_simulator.admin_rollouts import RolloutApi
from ks_simulator.application import Release, build, installed_files
from ks_simulator.fleet import Fleet, FleetPlan
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_simulator.spoiled import Spoiling
from ks_tools.cli import run

TERMINALS = 12
# of so few, more than 5 % may be the first
PHASES = [10, 40, 100]
PACE = 40.0
PATIENCE_S = 120.0
DRAWS = 60


class Scene:
    """Terminals that live, the API, and what each was offered in which order."""

    def __init__(self, server: ServerProcess, api: RolloutApi, fleet: Fleet, keys: RoleKeys):
        self.server = server
        self.api = api
        self.fleet = fleet
        self.ids = list(fleet.seen)
        self.offers: list[tuple[str, str]] = []
        # how many had confirmed an update when each was first offered a release
        self.confirmed_before: dict[tuple[str, str], int] = {}
        self._keys = keys
        fleet.listeners.append(self._hear)

    def _hear(self, d1: str, event: str, detail: Mapping[str, str]) -> None:
        if event == "update_offered":
            self.offers.append((d1, detail["FW1"]))
            confirmed = self.fleet.total["update_confirmed"]
            self.confirmed_before.setdefault(self.offers[-1], confirmed)

    def offered(self, fw1: str) -> set[str]:
        return {d1 for d1, offered in self.offers if offered == fw1}

    def release(self, version: str) -> Release:
        return build(installed_files(), version=version, counter=1).signed(self._keys.release)

    async def draft(
        self, version: str, canary: range = range(1, TERMINALS), **form: Any
    ) -> tuple[int, list[set[str]]]:
        """A drafted rollout and who is in each of its phases; drawn again until the first has as
        many terminals as `canary` allows."""
        fw1 = await self.api.store(self.release(version).assemble())
        form = {"fw1": fw1, "phases": PHASES, "soak_s": 0, **form}
        for _ in range(DRAWS):
            number = int((await self.api.create_rollout(form))["id"])
            rows = await self.api.rollout_devices(number)
            limits = [share * 100 for share in form["phases"]]
            phases = [{row["d1"] for row in rows if row["bucket"] < limit} for limit in limits]
            if len(phases[0]) in canary:
                assert phases[0] == {row["d1"] for row in rows if row["in_phase"]}
                return number, phases
            await self.api.rollout_step(number, "abort")
        raise AssertionError("no draw with such a canary")

    async def until(self, number: int, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return await eventually(lambda: self.api.rollout(number), holds, PATIENCE_S)

    async def updated(self, number: int, count: int) -> dict[str, Any]:
        return await self.until(number, lambda seen: bool(seen["counts"]["updated"] == count))

    async def everybody_beats(self, times: int = 2) -> None:
        """Each terminal has had so many more heartbeats answered."""
        before = {d1: self.fleet.seen[d1].heartbeats for d1 in self.ids}

        async def slow() -> list[str]:
            seen = self.fleet.seen
            return [d1 for d1 in self.ids if seen[d1].heartbeats < before[d1] + times]

        await eventually(slow, lambda late: not late, PATIENCE_S)

    async def states(self, number: int) -> Counter[str]:
        return Counter(row["state"] for row in await self.api.rollout_devices(number))


@asynccontextmanager
async def scene(folder: Path, spoiling: Spoiling | None = None) -> AsyncIterator[Scene]:
    """A server and registered terminals for the length of a block."""
    keys = RoleKeys.make()
    settings = server_settings(
        folder / "server", keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10"
    )
    server = ServerProcess(settings)
    plan = FleetPlan(TERMINALS, pace=PACE, duration_s=3600, prefix="t", spoiling=spoiling)
    async with server.running(), RolloutApi.connect(server.url, server.admin_token) as api:
        release = build(installed_files(), version="1.0.0", counter=1).signed(keys.release)
        fleet = Fleet(plan, server.url, keys.trusted(), release)
        made = Scene(server, api, fleet, keys)
        lives = asyncio.create_task(fleet.run())
        try:
            await made.everybody_beats(1)
            yield made
        finally:
            lives.cancel()
            await asyncio.gather(lives, return_exceptions=True)


async def test_a_good_release_reaches_everybody_phase_by_phase_and_nobody_in_a_pause(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        number, phases = await here.draft("1.1.0")
        await here.everybody_beats()
        assert here.offers == [], "a signed release with a draft alone is offered to nobody"
        here.fleet.outage()
        await here.api.rollout_step(number, "start")
        await here.api.rollout_step(number, "pause")
        here.fleet.restore()
        await here.everybody_beats()
        assert here.offers == []
        assert (await here.api.rollout(number))["state"] == "paused"
        await here.api.rollout_step(number, "resume")
        for step, members in enumerate(phases):
            if step:
                promoted = await here.api.rollout_step(number, "promote")
                assert promoted["phase"] == step
            if step == 1:  # in the middle of everything
                await here.server.kill()
                await here.server.start()
                assert (await here.api.rollout(number))["phase"] == 1
            await here.updated(number, len(members))
            await here.everybody_beats()
            assert here.offered("app-1.1.0") == members
        done = await here.until(number, lambda seen: bool(seen["state"] == "done"))
        assert done["counts"]["updated"] == done["attempts"] == TERMINALS
        assert done["failure_share"] == 0
        assert {device["fw2"] for device in await here.api.devices()} == {"1.1.0"}


async def test_a_bad_release_is_aborted_in_the_canary_and_the_repaired_one_opens_its_phases_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scene(tmp_path, Spoiling("app-1.1.0")) as here:
        number, phases = await here.draft(
            "1.1.0", range(2, 5), automatic=True, abort_share=50, abort_min=2
        )
        canary = phases[0]
        await here.api.rollout_step(number, "start")
        monkeypatch.setenv("ADMIN_TOKEN", here.server.admin_token)
        watch = ["rollout", "watch", str(number), "--interval", "0.1", "--server", here.server.url]
        assert await asyncio.to_thread(run, watch) == 1
        last = capsys.readouterr().out.splitlines()[-1]
        assert "aborted: " in last
        aborted = await here.api.rollout(number)
        assert aborted["state"] == "aborted"
        assert aborted["phase"] == 0
        await here.everybody_beats(3)
        assert here.offered("app-1.1.0") <= canary
        rows = await here.api.rollout_devices(number)
        tried = {row["d1"] for row in rows if row["failures"]}
        assert len(tried) >= 2
        assert tried <= canary
        assert {row["last_state"] for row in rows if row["d1"] not in canary} == {"waiting"}
        reasons = [row["detail"] for row in rows if row["d1"] in tried]
        assert all(reason.startswith(("ROLLED_BACK", "BANNED")) for reason in reasons), reasons
        assert {device["fw2"] for device in await here.api.devices()} == {"1.0.0"}
        assert set(here.fleet.versions.rolled_back) >= tried

        # what failed there does not keep the repaired release from anybody
        number, phases = await here.draft("1.1.1", automatic=True)
        await here.api.rollout_step(number, "start")
        done = await here.until(number, lambda seen: bool(seen["state"] == "done"))
        assert done["counts"]["updated"] == TERMINALS
        for step, members in enumerate(phases[:-1], 1):
            later = set(here.ids) - members
            assert all(here.confirmed_before[d1, "app-1.1.1"] >= step for d1 in later)


async def test_who_waits_for_a_revoked_release_halts_and_the_next_rollout_resumes_it(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        few = here.ids[:6]
        chosen: dict[str, Any] = {"filter": {"devices": few}, "phases": [100]}
        performed: list[tuple[str, str]] = []

        def cut_off(d1: str, event: str, detail: Mapping[str, str]) -> None:
            if event == "update_offered" and detail["FW1"] == "app-1.1.0":
                here.fleet.links[d1].outage()
            elif event == "command":
                performed.append((d1, detail["CMD2"]))

        here.fleet.listeners.append(cut_off)
        number, _ = await here.draft("1.1.0", **chosen)
        await here.api.rollout_step(number, "start")

        async def cut() -> set[str]:
            return here.offered("app-1.1.0")

        await eventually(cut, lambda ids: ids == set(few), PATIENCE_S)
        revoked = await here.api.rollout_step(number, "revoke")
        assert revoked["state"] == "revoked"
        assert revoked["counts"]["halted"] == len(few)
        assert (await here.api.release("app-1.1.0"))["state"] == "revoked"
        here.offers.clear()
        here.fleet.restore()

        async def halted() -> set[str]:
            return {d1 for d1, name in performed if name == "HALT_UPDATES"}

        await eventually(halted, lambda ids: ids == set(few), PATIENCE_S)
        await here.everybody_beats()
        assert here.offers == []
        assert here.fleet.total["update_staged"] == 0
        assert (await here.states(number))["halted"] == len(few)

        number, _ = await here.draft("1.1.1", **chosen)
        await here.api.rollout_step(number, "start")
        done = await here.until(number, lambda seen: bool(seen["state"] == "done"))
        assert done["counts"]["updated"] == len(few)
        assert {d1 for d1, name in performed if name == "RESUME_UPDATES"} == set(few)
        assert here.offered("app-1.1.1") == set(few)
