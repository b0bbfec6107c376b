"""Blank software chips become terminals that send heartbeats to the real server.

One at a desk: see test_the_page.py.
"""

import json
import signal
import sys
from typing import Any

import pytest

from ks_tools.factory.store import Store

from .station import Station, boards, until

pytestmark = pytest.mark.long
BOARDS = 8
WHOLE = ("flashed", "done")


async def units(line: Station) -> list[dict[str, Any]]:
    status, said = await line.ks("factory", "status", "--batch", "batch", "--json")
    assert status == 0, said
    return list(json.loads(said)["units"])


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
