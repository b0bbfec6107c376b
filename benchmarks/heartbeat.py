"""How much of a heartbeat is Ed25519, for a whole terminal on the 32-bit interpreter.

The real agent signs a heartbeat, a real server answers, and the agent verifies that answer. The
server's part is that of this machine, over the loopback: with a network in between, the share of
the round trip only falls.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop

from ks_simulator.application import build, installed_files
from ks_simulator.compiled import compiled
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.provision import provision_folder
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from .engines import ARCHITECTURE
from .figure import Figure, Unavailable

HEARTBEATS = 40
LEFT_OUT = 5  # the first: tables are made, files opened
LIMIT_S = 60
HEAP = "192k"  # has room for the script: what a terminal needs is another topic
SCRIPT = Path(__file__).parent / "reference" / "heartbeats.py"


def measure() -> Iterator[Figure]:
    """Percent of the terminal's own work, and of the round trip, medians over some heartbeats."""
    program = find_micropython("i386")
    if program is None:
        raise Unavailable("no 32-bit MicroPython here: make micropython says why")
    try:
        beats = uvloop.run(_measure(program))[LEFT_OUT:]
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    of_work = statistics.median(crypto / work for work, _, crypto in beats)
    of_trip = statistics.median(crypto / (work + wait) for work, wait, crypto in beats)
    name = "crypto/i386/heartbeat"
    yield Figure.limited(f"{name}/share-of-work", round(100 * of_work, 1), "%")
    yield Figure.limited(f"{name}/share-of-round-trip", round(100 * of_trip, 1), "%")


async def _measure(program: Path) -> list[tuple[int, int, int]]:
    """Microseconds of work, waiting and crypto of each heartbeat."""
    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-bench-heartbeat-") as name:
        folder = Path(name)
        settings = server_settings(
            folder / "server", keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10"
        )
        async with ServerProcess(settings).running() as server:
            terminal = folder / "terminal"
            files = installed_files() | {"main.py": SCRIPT.read_bytes()}
            files = compiled(files, architecture=ARCHITECTURE)
            signed = build(files, version="1.0.0", counter=1).signed(keys.release)
            provision_folder(terminal, "terminal-1", server.url, keys.trusted(), signed)
            return await _heartbeats(micropython_command(program, "i386", HEAP), terminal)


async def _heartbeats(command: list[str], folder: Path) -> list[tuple[int, int, int]]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(*command, "boot.py", "."),
        cwd=folder,
        env=os.environ | {"KS_HEARTBEATS": str(HEARTBEATS)},
        stdout=pipe,
        stderr=pipe,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            printed, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complaints.decode()[-500:]
    beats = [
        line.split()[1:] for line in printed.decode().splitlines() if line[:10] == "HEARTBEAT "
    ]
    return [(int(work), int(wait), int(crypto)) for work, wait, crypto in beats]
