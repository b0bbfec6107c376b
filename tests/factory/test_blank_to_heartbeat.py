"""Blank software chips become terminals that send heartbeats to the real server."""

import asyncio
import json
import signal
import sys
from typing import Any

import pytest

from .station import Station, boards, script

pytestmark = pytest.mark.long
D1 = "ks-260ac4000001"


async def until(process: asyncio.subprocess.Process, text: str) -> str:
    """What a command says up to a line with this text."""
    assert process.stdout is not None
    said = ""
    while line := (await process.stdout.readline()).decode():
        said += line
        if text in line:
            return said
    raise AssertionError(f"it did not say {text!r}: {said}")


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


async def test_boards_side_by_side_become_terminals(line: Station) -> None:
    await line.new_batch()
    with boards(line.folder, 3) as places:
        ports = ",".join(place.url for place in places)
        status, said = await line.ks("factory", "run", "--batch", "batch", "--ports", ports)
        assert status == 0 and "3 of 3 done" in said, said
        serials = {unit["unit"] for unit in await units(line)}
        assert serials == {"KS-000001", "KS-000002", "KS-000003"}
        for serial in serials:
            await line.heard_of(serial)


async def test_a_unit_goes_on_after_a_power_cut_a_pulled_cable_and_ctrl_c(line: Station) -> None:
    await line.new_batch()
    with boards(line.folder) as (place,), place.control() as control:
        run = ("factory", "run", "--batch", "batch", "--ports", place.url)
        command = (sys.executable, "-m", "ks_tools", *run)

        control.ask("cut after 150 unplug")
        status, said = await line.ks(*run)
        assert status == 1 and "WAIT" in said, said
        control.ask("cut -")
        control.ask("plug")
        control.ask("power on")

        process = await line.start(*command)
        await until(process, ": tested")
        control.ask("unplug")
        rest, _ = await process.communicate()
        assert process.returncode == 1 and b"WAIT" in rest, rest
        control.ask("plug")

        process = await line.start(*command)
        await until(process, ": tested")
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130

        status, said = await line.ks(*run)
        assert status == 0 and "flashed" not in said, said
        (unit,) = await units(line)
        assert (unit["unit"], unit["state"]) == ("KS-000001", "done")
        await line.heard_of("KS-000001")
