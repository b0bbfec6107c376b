"""The scene in which a canary aborts a rollout by itself, and the repaired release goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ks_simulator.admin import AdminError, eventually
from ks_simulator.application import Release, build, installed_files
from ks_simulator.fleet import Fleet, FleetPlan
from ks_simulator.spoiled import Spoiling

from .rollout_view import counts_text, line

if TYPE_CHECKING:
    from .demo_stage import Stage

TITLE = "A canary that aborts itself"
TERMINALS = 12
PACE = 40.0
PHASES = [25, 100]
# who comes first is drawn: a scene needs a canary that can be judged
CANARY = range(2, 6)
DRAWS = 20
FAILURES = 2
FIRST, BAD, REPAIRED = "2.0.0", "2.1.0", "2.1.1"
PATIENCE_S = 20.0


class Rollouts:
    """Virtual terminals in this process, and the rollouts for them alone."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        plan = FleetPlan(
            TERMINALS,
            prefix="virtual",
            pace=PACE,
            duration_s=10 * PATIENCE_S,
            spoiling=Spoiling(release_id(BAD)),
        )
        self.ids = plan.ids()
        self.plan = plan
        self.fleet: Fleet
        self._told = ""

    async def switch_on(self) -> asyncio.Task[Any]:
        """Build the terminals and let them live until the task is cancelled."""
        tokens = {d1: await self.stage.api.make_token(d1) for d1 in self.ids}
        self.fleet = Fleet(
            self.plan,
            self.stage.network.url,
            self.stage.keys.trusted(),
            self.release(FIRST),
            tokens=tokens,
        )
        return asyncio.create_task(self.fleet.run())

    def release(self, version: str) -> Release:
        """The installed firmware under another version."""
        made = build(installed_files(), version=version, counter=1, release_id=release_id(version))
        return made.signed(self.stage.keys.release)

    async def drawn(self, version: str, automatic: bool) -> tuple[dict[str, Any], set[str]]:
        """A drafted rollout of a version and who its canary is. Raises AdminError."""
        form = {
            "fw1": await self.stage.api.store(self.release(version).assemble()),
            "phases": PHASES,
            "filter": {"devices": self.ids},
            "soak_s": 0,
            "automatic": automatic,
            "abort_share": 50,
            "abort_min": FAILURES,
        }
        for _ in range(DRAWS):
            rollout = await self.stage.api.create_rollout(form)
            rows = await self.stage.api.rollout_devices(rollout["id"])
            canary = {row["d1"] for row in rows if row["in_phase"]}
            if len(canary) in CANARY:
                return rollout, canary
            await self.stage.api.rollout_step(rollout["id"], "abort")
        raise AdminError("DRAW", f"no canary of {CANARY} in {DRAWS} draws")

    async def until(self, number: int, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The rollout once it `holds`, each change told on the way. Raises TimeoutError."""

        async def look() -> dict[str, Any]:
            rollout = await self.stage.api.rollout(number)
            share = rollout["phases"][rollout["phase"]]
            told = f"{share:g} % of {rollout['fw1']}: {counts_text(rollout['counts'])}"
            if told != self._told:
                self._told = told
                self.stage.say(told)
            self.stage.show(rollout)
            return rollout

        return await eventually(look, holds, PATIENCE_S)

    async def until_each(self, text: str, holds: Callable[[str], bool]) -> bool:
        """Check that it comes to hold for each terminal by its id."""

        async def late() -> list[str]:
            return [d1 for d1 in self.ids if not holds(d1)]

        try:
            await eventually(late, lambda found: not found, PATIENCE_S)
        except TimeoutError:
            return self.stage.check(text, False, f"not {', '.join(await late())}")
        return self.stage.check(text, True)

    def heartbeats(self) -> dict[str, int]:
        return {d1: seen.heartbeats for d1, seen in self.fleet.seen.items()}

    def offered(self) -> set[str]:
        """Who was offered anything so far, as the terminals themselves show it."""
        seen = self.fleet.seen
        return {d1 for d1 in self.ids if seen[d1].events["update_offered"]}


def release_id(version: str) -> str:
    """FW1 of a version in this scene."""
    return f"virtual-{version}"


async def canary_aborts(stage: Stage) -> None:
    """Tell it on this stage."""
    stage.scene(TITLE)
    rollouts = Rollouts(stage)
    lives = await rollouts.switch_on()
    try:
        seen = rollouts.fleet.seen
        text = f"each of {TERMINALS} more terminals registers and runs {FIRST}"
        if await rollouts.until_each(text, lambda d1: bool(seen[d1].heartbeats)):
            await _bad(stage, rollouts)
            await _repaired(stage, rollouts)
    except (TimeoutError, AdminError) as error:
        stage.check("the rollout comes to its end", False, str(error) or rollouts._told)
    finally:
        stage.show(None)
        lives.cancel()
        await asyncio.gather(lives, return_exceptions=True)


async def _bad(stage: Stage, rollouts: Rollouts) -> None:
    rollout, canary = await rollouts.drawn(BAD, automatic=True)
    stage.say(f"{release_id(BAD)} will crash on every terminal; {len(canary)} are the canary")
    await stage.api.rollout_step(rollout["id"], "start")
    aborted = await rollouts.until(rollout["id"], lambda now: now["state"] != "running")
    stage.check(
        f"of {len(canary)} terminals in the canary {FAILURES} crash and roll back, "
        "and the rollout aborts itself",
        aborted["state"] == "aborted" and bool(aborted["reason"]),
        line(aborted),
    )
    # who was offered it in the last moment has come to its end, too
    versions = rollouts.fleet.versions
    before = rollouts.heartbeats()
    await rollouts.until_each(
        f"everybody lives on, with {FIRST}",
        lambda d1: (
            rollouts.fleet.seen[d1].heartbeats > before[d1] + 1
            and bool(versions.planted[d1]) == bool(versions.rolled_back[d1])
            and versions.version_of(d1) == FIRST
        ),
    )
    offered = rollouts.offered()
    stage.check(
        f"nobody of the other {TERMINALS - len(canary)} was offered it",
        len(offered) >= FAILURES and offered <= canary,
        ", ".join(sorted(offered - canary)),
    )


async def _repaired(stage: Stage, rollouts: Rollouts) -> None:
    rollout, canary = await rollouts.drawn(REPAIRED, automatic=False)
    number = rollout["id"]
    await stage.api.rollout_step(number, "start")
    await rollouts.until(number, lambda now: now["counts"]["updated"] == len(canary))
    await stage.api.rollout_step(number, "promote")
    last = await rollouts.until(number, lambda now: now["counts"]["updated"] == TERMINALS)
    stage.check(
        f"the repaired release is proved by {len(canary)}, promoted, and run by all {TERMINALS}",
        last["counts"]["updated"] == last["attempts"] == TERMINALS,
        line(last),
    )
