"""What happens between a terminal and its server when one of them goes away."""

import time
from pathlib import Path

from ks_agent import timetext
from tests.e2e.world import PATIENCE_S, world


async def test_a_terminal_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        terminal = await here.terminal("dev_1", "cpython")
        await terminal.wait_for("heartbeat", PATIENCE_S)
        await here.server.kill()
        await terminal.wait_for("offline", PATIENCE_S)
        mark = len(terminal.events)
        await here.server.start()
        await terminal.wait_for("heartbeat", PATIENCE_S, after=mark)
        assert not any(event.name == "crash" for event in terminal.events)


async def test_a_spent_token_lets_nobody_else_in(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        first = await here.terminal("dev_1", "cpython")
        await first.wait_for("registered", PATIENCE_S)
        token = (here.folder / "dev_1" / "factory.toon").read_text()
        second = await here.terminal("dev_2", "cpython")
        await second.wait_for("registered", PATIENCE_S)
        thief = await here.terminal("dev_3", "cpython", token=token.split("OTRT: ")[1].split()[0])
        refused = await thief.wait_for("refused", PATIENCE_S)
        assert refused.detail["ERR1"] == "UNAUTHORIZED"
        assert await here.api.device("dev_3") is None


async def test_a_terminal_on_the_whitelist_gets_in_and_another_does_not(tmp_path: Path) -> None:
    async with world(tmp_path, REGISTRATION_MODE="whitelist") as here:
        terminal = await here.terminal("dev_1", "cpython")
        refused = await terminal.wait_for("refused", PATIENCE_S)
        assert refused.detail["ERR1"] == "UNAUTHORIZED"
        assert await here.api.device("dev_1") is None
        await here.api.whitelist("dev_1", here.public_key("dev_1"))
        await terminal.wait_for("registered", PATIENCE_S)


async def test_a_revoked_terminal_wipes_itself_when_two_administrators_say_so(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        terminal = await here.terminal("dev_1", "cpython")
        await terminal.wait_for("heartbeat", PATIENCE_S)
        tomorrow = timetext.format_ms(int(time.time() * 1000) + 86_400_000)
        wipe = await here.api.command("dev_1", "WIPE", expires=tomorrow)
        assert (await here.api.show_command(wipe))["state"] == "draft"
        for seed in here.keys.admins:
            await here.sign(wipe, seed)
        await terminal.wait_for("wiped", PATIENCE_S)
        await terminal.wait_for("dormant", PATIENCE_S)
        assert await here.acknowledged(wipe) == "OK"
        assert not (here.folder / "dev_1" / "nvs" / "key").exists()
