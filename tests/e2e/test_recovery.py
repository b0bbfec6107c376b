"""Neither slot is good: recovery gets the server's release, and the terminal is itself again."""

from pathlib import Path

import pytest

from ks_simulator.process import ProcessTerminal
from tests.e2e.world import INTERPRETERS, PATIENCE_S, world

CARD = "12E45678"


def damage(terminal: ProcessTerminal) -> None:
    """The slot that runs, in what is loaded already; the other one is empty or damaged as well."""
    for slot in ("slot_a", "slot_b"):
        main = terminal.folder / slot / "main.py"
        if main.exists():
            main.write_bytes(b"# " + main.read_bytes())


@pytest.mark.parametrize("interpreter", INTERPRETERS)
async def test_recovery_installs_the_servers_release_and_the_terminal_is_itself_again(
    interpreter: str, tmp_path: Path
) -> None:
    async with world(tmp_path) as here:
        terminal = await here.terminal("dev_1", interpreter)
        fw1 = await here.api.publish(here.release("1.0.0", 1).assemble())
        await terminal.wait_for("heartbeat", PATIENCE_S)
        before = here.public_key("dev_1")
        first = (await terminal.hold(CARD))[-1]
        assert first.beeped

        mark = len(terminal.events)
        damage(terminal)
        terminal.power_cycle()
        await terminal.wait_for("recovery", PATIENCE_S, after=mark)
        await terminal.wait_for("update_confirmed", PATIENCE_S, after=mark)
        await terminal.wait_for("heartbeat", PATIENCE_S, after=mark)
        assert await here.reported(fw1) == ("OK", "confirmed")
        await here.version_of("dev_1", "1.0.0")

        assert here.public_key("dev_1") == before
        second = (await terminal.hold("00012345"))[-1]
        assert (second.jid, second.seq) == (first.jid, first.seq + 1)
        journals = await here.settled("dev_1", [first, second])
        assert [one["ack_seq"] for one in journals] == [second.seq]
        registrations = [event for event in terminal.events if event.name == "registered"]
        assert len(registrations) == 1
        assert not [one for one in terminal.events if one.name in ("crash", "dead")], (
            terminal.story()
        )
