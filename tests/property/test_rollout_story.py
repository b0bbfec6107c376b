"""A server lives through any order of what devices, people and time do to a rollout."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ks_server.db.rollout_schema import rollout_devices, rollouts
from ks_server.rollout_engine import bucket
from tests.server.client import Clock
from tests.server.rollout_support import Desk, Terminal, open_desk

FLEET = 6
OLD, NEW = "1.0.0", "2.0.0"

devices = st.integers(0, FLEET - 1)
events = st.lists(
    st.one_of(
        st.tuples(st.just("check"), devices),
        st.tuples(st.just("beat"), devices),
        st.tuples(
            st.sampled_from(("OK", "ROLLED_BACK x", "POSTPONED x", "HASH", "BANNED")), devices
        ),
        st.tuples(st.sampled_from(("promote", "pause", "resume", "clean")), st.just(0)),
        st.tuples(st.just("pass"), st.integers(1, 400)),
    ),
    max_size=25,
)
rules = st.fixed_dictionaries(
    {
        "phases": st.sampled_from(([100], [50, 100], [10, 30, 100])),
        "automatic": st.booleans(),
        "soak_s": st.sampled_from((0, 300)),
        "abort_count": st.none() | st.integers(1, 4),
        "abort_min": st.integers(1, 8),
        "abort_share": st.sampled_from((20, 50, 100)),
        "penalty": st.integers(1, 3),
        "downloads_at_once": st.none() | st.integers(1, 3),
    }
)


class World:
    """One server for all examples; each has a release and devices of its own."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.Runner()
        self._opened = open_desk(folder, Clock(), rate_limit_heartbeats="")
        self.desk: Desk = self.loop.run(self._opened.__aenter__())
        self._numbers = count()

    def close(self) -> None:
        self.loop.run(self._opened.__aexit__(None, None, None))
        self.loop.close()

    async def live(self, rule: dict[str, Any], happening: list[tuple[str, int]]) -> None:
        number = next(self._numbers)
        fw1, desk = f"rel-{number}", self.desk
        await desk.server.release(fw1, NEW, state="signed", expires_ms=2**52)
        fleet = [desk.terminal(d1=f"s{number}-{n}") for n in range(FLEET)]
        for device in fleet:
            await desk.add(device)
        rollout = await desk.start(fw1, filter={"devices": [d.d1 for d in fleet]}, **rule)
        for what, which in happening:
            await self._happen(rollout, fw1, fleet, what, which)
            await self._check(rollout)
        await self._settle(rollout, fleet)

    async def _happen(
        self, rollout: int, fw1: str, fleet: list[Terminal], what: str, which: int
    ) -> None:
        desk = self.desk
        if what == "pass":
            desk.clock.pass_s(which)
        elif what == "clean":
            await desk.clean()
        elif what in ("promote", "pause", "resume"):
            await desk.admin.post(f"/api/admin/rollouts/{rollout}/{what}")
        elif what == "check":
            before = await self._row(rollout)
            held = await self._held(rollout, fleet[which].d1)
            if await fleet[which].is_offered(fw1):
                assert before["state"] in ("running", "done")
                share = float(before["phases"].split(",")[before["phase"]])
                assert bucket(before["salt"], fleet[which].d1) < share * 100
                assert held != "penalty"
        elif what == "beat":
            await fleet[which].is_told()
        else:
            await fleet[which].ack("OK" if what == "OK" else "ERROR", what, fw1)

    async def _check(self, rollout: int) -> None:
        """The figures are the sums, and no limit has been passed by unseen."""
        row = await self._row(rollout)
        mine = [
            r for r in await self.desk.server.rows(rollout_devices) if r["rollout_id"] == rollout
        ]
        succeeded = sum(r["state"] == "updated" for r in mine)
        failing = sum(r["state"] != "updated" and r["failures"] > 0 for r in mine)
        assert (row["succeeded"], row["failing"]) == (succeeded, failing)
        for one in mine:
            if one["state"] in ("penalty", "rolled_back", "failed"):
                assert (one["state"] == "penalty") == (one["failures"] >= row["penalty"])
        if row["state"] in ("running", "paused", "done"):
            attempts = succeeded + failing
            assert row["abort_count"] is None or failing < row["abort_count"]
            assert not failing or attempts < row["abort_min"] or (
                failing * 100 < row["abort_share"] * attempts
            )  # fmt: skip
        view = await self.desk.view(rollout)
        counts = view["counts"]
        assert sum(counts.values()) == 2 * counts["targeted"] == 2 * FLEET

    async def _settle(self, rollout: int, fleet: list[Terminal]) -> None:
        """What is revoked is over for everybody."""
        await self.desk.step(rollout, "revoke")
        for device in fleet:
            assert not await device.is_told()

    async def _row(self, rollout: int) -> dict[str, Any]:
        [row] = [r for r in await self.desk.server.rows(rollouts) if r["id"] == rollout]
        return row

    async def _held(self, rollout: int, d1: str) -> str | None:
        for row in await self.desk.server.rows(rollout_devices):
            if (row["rollout_id"], row["d1"]) == (rollout, d1):
                return str(row["state"])
        return None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("story"))
    yield opened
    opened.close()


@settings(deadline=None, max_examples=30)
@given(rule=rules, happening=events)
def test_whatever_happens_a_rollout_keeps_its_rules(
    world: World, rule: dict[str, Any], happening: list[tuple[str, int]]
) -> None:
    world.loop.run(world.live(rule, happening))
