"""What rollouts ask of their database, asked of PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ks_server.db.rollout_schema import rollouts
from ks_server.db.schema import commands
from tests.server.client import Clock
from tests.server.rollout_support import CONTENT, FW1, NEW, open_desk
from tests.server.test_device_postgres import postgres

__all__ = ("postgres",)


@pytest.fixture(autouse=True)
def _needs_asyncpg() -> None:
    pytest.importorskip("asyncpg")


async def test_a_rollout_lives_on_postgresql_as_on_sqlite(
    postgres: str, tmp_path: Path, clock: Clock
) -> None:
    async with open_desk(tmp_path, clock, database_url=postgres) as desk:
        await desk.server.release(FW1, NEW, CONTENT, state="signed")
        fleet = await desk.fleet(30)
        number = await desk.start(
            phases=[5, 60, 100], automatic=True, soak_s=10, downloads_at_once=40, abort_min=100
        )
        canary = await desk.all_offered(fleet)
        assert canary
        first = next(device for device in fleet if device.d1 in canary)
        assert await first.fetch(await first.ask()) == 200
        assert (await desk.device(number, first.d1))["state"] == "downloading"
        for device in fleet:
            if device.d1 in canary:
                await device.ack("OK")
        desk.clock.pass_s(11)
        await desk.clean()
        assert (await desk.view(number))["phase"] == 1
        await desk.step(number, "promote")
        rest = [device for device in fleet if device.d1 not in canary]
        bad, on_trial, waits = rest[:3]
        for _ in range(3):
            await bad.fail()
        assert not await bad.is_told()
        assert await on_trial.is_offered()
        await on_trial.is_told(FW2=NEW)
        assert await waits.is_offered()
        await asyncio.gather(*(device.succeed() for device in rest[3:]))
        await desk.clean()
        [row] = await desk.server.rows(rollouts)
        assert (row["succeeded"], row["failing"], row["state"]) == (27, 1, "running")
        view = await desk.view(number)
        states = {name: count for name, count in view["counts"].items() if count}
        assert states == {"targeted": 30, "updated": 27, "penalty": 1, "offered": 2}
        assert (view["attempts"], view["failure_share"]) == (28, 3.6)
        page = await desk.call("GET", f"/rollouts/{number}/devices?state=penalty")
        assert [item["d1"] for item in page["items"]] == [bad.d1]
        await desk.step(number, "revoke")
        halted = {(row["cmd2"], row["d1"]) for row in await desk.server.rows(commands)}
        assert halted == {("HALT_UPDATES", device.d1) for device in (on_trial, waits)}
        await desk.server.release("rel-3", "1.3.0", CONTENT, state="signed")
        again = await desk.start("rel-3", phases=[5, 100], abort_count=1)
        await desk.step(again, "promote")
        assert await waits.is_told()
        assert (await waits.call("heartbeat", FW2="1.0.0")).message["PENDING_CMDS"] == "2"
        assert await waits.is_offered("rel-3")
        await waits.ack("ERROR", "HASH", "rel-3")
        assert (await desk.view(again))["state"] == "aborted"
