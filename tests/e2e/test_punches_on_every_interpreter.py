"""Punches on each interpreter, through stdin to a real server: what beeped is stored, once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from ks_simulator.process import ProcessTerminal
from ks_simulator.punching import UNHEARD, Answer, reconcile, unbroken
from tests.e2e.world import INTERPRETERS, PATIENCE_S, World, one_terminal

BURST = 5


async def burst(terminal: ProcessTerminal, name: str, count: int = BURST) -> list[Answer]:
    """So many people at once, each until there is an answer."""
    people = [terminal.hold(f"{name}-{number}") for number in range(count)]
    async with asyncio.timeout(PATIENCE_S):
        return [answer for answers in await asyncio.gather(*people) for answer in answers]


async def reconciled(here: World, terminal: ProcessTerminal, answers: Sequence[Answer]) -> None:
    """What the terminal answered is what the server has, chained."""
    journals = await here.settled(terminal.name, answers)
    heard = [answer for answer in answers if answer.outcome != "closed"]
    found = reconcile(heard, await here.api.punches(d1=terminal.name), journals)
    assert found.ok, f"{found}\n{terminal.story()}"
    rows = here.rows(terminal.name)
    assert len(rows) == found.stored
    for journal in journals:
        assert unbroken(row for row in rows if row["JID"] == journal["jid"])


def trouble(terminal: ProcessTerminal) -> list[str]:
    """Crashes, with what was said at the end."""
    return [terminal.story() for event in terminal.events if event.name == "crash"]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_punches_during_heartbeats_a_command_and_an_update_all_arrive(
    interpreter: str, tmp_path: Path
) -> None:
    async with one_terminal(interpreter, tmp_path) as (here, terminal):
        answers = await burst(terminal, "beat")
        mark = len(terminal.events)
        await terminal.wait_for("heartbeat", PATIENCE_S, after=mark)
        answers += await burst(terminal, "beat-2")

        identify = await here.api.command("dev_1", "IDENTIFY")
        answers += await burst(terminal, "command", 2 * BURST)
        assert await here.acknowledged(identify) == "OK"

        await here.api.publish(here.release("1.1.0", 2).assemble())
        await terminal.wait_for("update_offered", PATIENCE_S)
        answers += await burst(terminal, "download", 2 * BURST)
        await terminal.wait_for("update_confirmed", PATIENCE_S)
        answers += await burst(terminal, "updated", 2 * BURST)

        await reconciled(here, terminal, answers)
        people = {answer.credential for answer in answers if answer.beeped}
        assert len(people) == 40
        assert not trouble(terminal)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_a_power_cut_in_a_burst_loses_no_punch_that_beeped(
    interpreter: str, tmp_path: Path
) -> None:
    async with one_terminal(interpreter, tmp_path) as (here, terminal):
        answers: list[Answer] = []
        for cut in range(3):
            mark = len(terminal.events)
            punching = asyncio.create_task(burst(terminal, f"cut-{cut}", 8))
            await terminal.wait_for("punch", PATIENCE_S, after=mark)
            terminal.power_cycle()
            await terminal.wait_for("power", PATIENCE_S, after=mark)
            answers += await punching
        assert any(answer.outcome == UNHEARD for answer in answers)
        await reconciled(here, terminal, answers)
        assert not trouble(terminal)
