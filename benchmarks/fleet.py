"""Simulated heartbeats per second and core of a fleet: whole terminals, real sockets, one process.

The server is a process of its own; counted is the CPU time of the process that holds the fleet.
The terminals' waits are shortened until that process has no idle time.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from ks_simulator.application import build, installed_files
from ks_simulator.fleet import Fleet, FleetPlan
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from . import peer
from .figure import Figure, Unavailable

DEVICES = 100
PACE = 1000.0
ROUNDS = 7
WINDOW_S = 1.2
START_LIMIT_S = 60
POLL_S = 0.02


def measure() -> Iterator[Figure]:
    """As a share of what PyNaCl alone does: a terminal signs its request, verifies the answer."""
    try:
        rates = uvloop.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    yield Figure.compared(
        "fleet/heartbeats",
        statistics.median(ours for ours, _ in rates),
        "heartbeats/s per core",
        peer.NAME,
        statistics.median(ours / alone for ours, alone in rates),
    )


async def _measure() -> list[tuple[float, float]]:
    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-bench-fleet-") as folder:
        settings = server_settings(
            Path(folder),
            keys,
            REGISTRATION_MODE="open",
            HEARTBEAT_RTO_S="10",
        )
        async with ServerProcess(settings).running() as server:
            release = build(installed_files(), version="1.0.0", counter=1).signed(keys.release)
            plan = FleetPlan(DEVICES, duration_s=600, pace=PACE)
            fleet = Fleet(plan, server.url, keys.trusted(), release)
            running = asyncio.create_task(fleet.run())
            try:
                await _all_heard(fleet)
                return [await _round(fleet) for _ in range(ROUNDS)]
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


async def _all_heard(fleet: Fleet) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while not all(seen.heartbeats for seen in fleet.seen.values()):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


async def _round(fleet: Fleet) -> tuple[float, float]:
    """Heartbeats, and the peer's pairs, per second of CPU time."""
    alone = peer.SignatureRate(b"r" * 330, b"a" * 220)
    before = alone.measure()
    count, used_s = fleet.total["heartbeat"], time.process_time()
    await asyncio.sleep(WINDOW_S)
    count, used_s = fleet.total["heartbeat"] - count, time.process_time() - used_s
    after = alone.measure()
    assert not fleet.total["crash"], "a terminal has crashed"
    return count / used_s, (before + after) / 2
