"""The agent on each interpreter does its main job against the real server over sockets."""

from pathlib import Path

import pytest

from tests.e2e.world import ENGINES, INTERPRETERS, PATIENCE_S, engines_of, one_terminal

BROKEN = b'\nraise RuntimeError("broken")\n'


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_a_terminal_registers_heartbeats_obeys_and_takes_an_update(
    interpreter: str, tmp_path: Path
) -> None:
    async with one_terminal(interpreter, tmp_path) as (here, terminal):
        identify = await here.api.command("dev_1", "IDENTIFY")
        fetch = await here.api.command("dev_1", "FETCH_LOGS", {"LEVEL": "DEBUG"})
        assert await here.acknowledged(identify) == "OK"
        assert await here.acknowledged(fetch) == "OK"
        assert sum(event.name == "identify" for event in terminal.events) == 1
        assert await here.api.logs(fetch)

        fw1 = await here.api.publish(here.release("1.1.0", 2).assemble())
        await terminal.wait_for("update_confirmed", PATIENCE_S)
        await here.version_of("dev_1", "1.1.0")
        assert await here.reported(fw1) == ("OK", "confirmed")
        assert terminal.boots == 2
        assert [engine.detail["NAME"] for engine in engines_of(terminal)] == 2 * [
            ENGINES[interpreter]
        ]
        assert not any(event.name == "crash" for event in terminal.events)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_a_release_that_crashes_is_rolled_back_and_reported(
    interpreter: str, tmp_path: Path
) -> None:
    async with one_terminal(interpreter, tmp_path) as (here, terminal):
        fw1 = await here.api.publish(here.release("1.1.0", 2, BROKEN).assemble())
        await terminal.wait_for("update_rolled_back", PATIENCE_S)
        assert sum(event.name == "crash" for event in terminal.events) == 3
        outcome, reason = await here.reported(fw1)
        assert outcome == "ERROR"
        assert reason.startswith("ROLLED_BACK")
        await here.version_of("dev_1", "1.0.0")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_a_terminal_keeps_its_key_over_a_power_cut(interpreter: str, tmp_path: Path) -> None:
    async with one_terminal(interpreter, tmp_path) as (here, terminal):
        before = await here.api.device("dev_1")
        mark = len(terminal.events)
        terminal.power_cycle()
        await terminal.wait_for("heartbeat", PATIENCE_S, after=mark)
        after = await here.api.device("dev_1")
        assert before is not None
        assert after is not None
        assert after["public_key"] == before["public_key"]
        assert sum(event.name == "key_made" for event in terminal.events) == 1
