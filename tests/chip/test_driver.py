"""The ESP32's driver on the software chip: real boot.py, main.py and TLS, against a real server."""

from pathlib import Path

import pytest

from tests.chip.world import chip_world

PATIENCE_S = 60.0


@pytest.mark.parametrize("interpreter", ["amd64", "i386"])
async def test_a_chip_registers_and_heartbeats(tmp_path: Path, interpreter: str) -> None:
    async with chip_world(tmp_path) as here:
        chip = await here.chip("dev_1", interpreter=interpreter)
        await chip.wait_for("registered", PATIENCE_S)
        await chip.wait_for("heartbeat", PATIENCE_S)
        await chip.told(lambda line: line == "wifi joined site", PATIENCE_S)
        print(chip.lines)
