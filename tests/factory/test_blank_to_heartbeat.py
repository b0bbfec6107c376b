"""Blank software chips become terminals that send heartbeats to the real server."""

import json
import signal
import sys
from typing import Any

import pytest

from ks_tools.factory.store import Store

from .station import Station, boards, script, until

pytestmark = pytest.mark.long
D1 = "ks-260ac4000001"
BOARDS = 8
WHOLE = ("flashed", "done")


async def units(line: Station) -> list[dict[str, Any]]:
    status, said = await line.ks("factory", "status", "--batch", "batch", "--json")
    assert status == 0, said
    return list(json.loads(said)["units"])


async def test_flash_sh_makes_a_terminal_and_renews_its_code(line: Station) -> None:
    common = ("--image", "image", "--server", line.server.url, "--wifi", "Office")
    with boards(line.folder) as (place,):
        status, said = await line.run(script("flash.sh"), place.url, *common)
        assert status == 0 and "PASS" in said, said
        first = await line.heard_of(D1)

        status, said = await line.run(script("flash.sh"), place.url, *common)
        assert status == 0 and "it is done already" in said, said

        status, said = await line.run(script("flash.sh"), place.url, *common, "--keep")
        assert status == 0 and f"PASS {D1} has the new code" in said, said
        again = await line.heard_of(D1, after=first["last_heartbeat"])
        assert again["public_key"] == first["public_key"]

        await line.new_batch()
        status, said = await line.ks("factory", "run", "--batch", "batch", "--ports", place.url)
        assert status == 1 and f"the board holds the identity of {D1}" in said, said


async def test_eight_boards_side_by_side_become_terminals_whatever_happens(line: Station) -> None:
    await line.new_batch()
    with boards(line.folder, BOARDS) as places:
        pulled, cut, *_ = places
        ports = ",".join(place.url for place in places)
        run = ("factory", "run", "--batch", "batch", "--ports", ports)
        with pulled.control() as cable, cut.control() as power:
            power.ask("cut after 150 unplug")
            process = await line.start(sys.executable, "-m", "ks_tools", *run)
            await until(process, pulled.url, ": tested")
            cable.ask("unplug")
            await until(process, pulled.url, ": WAIT")
            process.send_signal(signal.SIGINT)
            await process.communicate()
            assert process.returncode == 130
            for control in (cable, power):
                for command in ("cut -", "plug", "power on"):
                    control.ask(command)

        status, said = await line.ks(*run)
        assert status == 0 and f"{BOARDS} of {BOARDS} done" in said, said
        found = await units(line)
        assert [unit["unit"] for unit in found] == [f"KS-{n:06d}" for n in range(1, BOARDS + 1)]
        assert {unit["state"] for unit in found} == {"done"}
        assert {unit["mac"] for unit in found} == {place.mac_text for place in places}
        for unit in found:
            await line.heard_of(unit["unit"])
    with Store(line.folder / "batch") as store:
        written = [row["mac"] for row in store.attempts() if (row["step"], row["outcome"]) == WHOLE]
    assert written.count(pulled.mac_text) == 1, "what was done is not done again"
