"""The smallest heap in which a whole terminal lives on the 32-bit MicroPython interpreter.

Heaps are tried until the smallest is known in which a terminal registers, heartbeats, executes a
command and takes an update from a real server without a crash. Where objects come to lie is a
matter of chance, so a heap counts when one of a few lives in it succeeds.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvloop

from ks_simulator.admin import AdminApi
from ks_simulator.application import Release, build, installed_files, paced
from ks_simulator.compiled import compiled
from ks_simulator.events import Event
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

from .figure import Figure, Unavailable

ARCHITECTURE = "i386"
# DESIGN.md, budgets; bytes of the interpreter's `-X heapsize`
GOAL_KIB = 128
SMALLEST_KIB = 98
STEP_KIB = 2
PACE = 20.0
LIMIT_S = 30
LIVES = 3
TROUBLE = ("crash", "dead")


def measure() -> Iterator[Figure]:
    """The heap for a life with an update, beside the budget."""
    program = find_micropython(ARCHITECTURE)
    if program is None:
        raise Unavailable("no 32-bit MicroPython here: make micropython says why")
    try:
        smallest = uvloop.run(_measure(program))
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    if smallest is None:
        yield Figure("device/heap/smallest", GOAL_KIB + STEP_KIB, "KiB", goal=GOAL_KIB, ok=False)
    else:
        yield Figure.limited("device/heap/smallest", smallest, "KiB", GOAL_KIB)


async def _measure(program: Path) -> int | None:
    """KiB; None when the budget itself is too small."""
    keys = RoleKeys.make()
    with tempfile.TemporaryDirectory(prefix="ks-bench-heap-") as name:
        folder = Path(name)
        settings = server_settings(
            folder / "server", keys, REGISTRATION_MODE="open", HEARTBEAT_RTO_S="10"
        )
        server = ServerProcess(settings)
        async with (
            server.running(),
            AdminApi.connect(server.url, server.admin_token) as api,
        ):
            await api.publish(_release(keys, "1.1.0", 2).assemble())
            trial = _Trial(program, folder, keys, server, api)
            return await _smallest(trial)


async def _smallest(trial: _Trial) -> int | None:
    """By halving, as a heap that is too small stays too small when it shrinks."""
    heaps = list(range(SMALLEST_KIB, GOAL_KIB + 1, STEP_KIB))
    low, high = 0, len(heaps)  # heaps[high] is enough
    while low < high:
        middle = (low + high) // 2
        if await trial.is_enough(heaps[middle]):
            high = middle
        else:
            low = middle + 1
    return heaps[high] if high < len(heaps) else None


class _Trial:
    """Terminals of one server, each with a heap of its own."""

    def __init__(
        self, program: Path, folder: Path, keys: RoleKeys, server: ServerProcess, api: AdminApi
    ) -> None:
        self._program = program
        self._folder = folder
        self._keys = keys
        self._server = server
        self._api = api

    async def is_enough(self, heap_kib: int) -> bool:
        """Whether a life in that heap has succeeded."""
        for life in range(LIVES):
            if await self._lives(f"heap-{heap_kib}-{life}", heap_kib):
                return True
        return False

    async def _lives(self, d1: str, heap_kib: int) -> bool:
        """Whether a new terminal does everything in that heap."""
        folder = self._folder / d1
        release = _release(self._keys, "1.0.0", 1)
        provision_folder(folder, d1, self._server.url, self._keys.trusted(), release)
        command = micropython_command(self._program, ARCHITECTURE, f"{heap_kib}k")
        trouble = asyncio.Event()

        def watch(_terminal: ProcessTerminal, event: Event) -> None:
            if event.name in TROUBLE:
                trouble.set()

        terminal = ProcessTerminal(d1, folder, command, watch)
        life = asyncio.create_task(terminal.run())
        story = asyncio.create_task(self._story(terminal))
        worry = asyncio.create_task(trouble.wait())
        try:
            await asyncio.wait((story, worry), return_when=asyncio.FIRST_COMPLETED)
            return not trouble.is_set() and story.result()
        finally:
            for task in (life, story, worry):
                task.cancel()
            await asyncio.gather(life, story, worry, return_exceptions=True)

    async def _story(self, terminal: ProcessTerminal) -> bool:
        try:
            await terminal.wait_for("registered", LIMIT_S)
            await self._api.command(terminal.name, "IDENTIFY")
            await terminal.wait_for("identify", LIMIT_S)
            await terminal.wait_for("update_confirmed", LIMIT_S)
        except TimeoutError:
            return False
        return True


def _release(keys: RoleKeys, version: str, counter: int) -> Release:
    files = compiled(paced(installed_files(), PACE), architecture="x86")
    return build(files, version=version, counter=counter).signed(keys.release)
