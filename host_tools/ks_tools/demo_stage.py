"""The stage of the demonstration: server, network, terminals, and expectations about them.

Everything is real: the server is a process, each terminal is a process on its own interpreter,
and all talk over sockets through a proxy that can fail. Each expectation is read from the server's
admin API or from what a terminal itself shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ks_simulator.admin import AdminError, eventually
from ks_simulator.admin_rollouts import RolloutApi
from ks_simulator.application import (
    Release,
    build,
    installed_files,
    paced,
)
from ks_simulator.compiled import with_native_code
from ks_simulator.events import Event
from ks_simulator.interpreters import (
    cpython_command,
    find_micropython,
    micropython_command,
    native_architecture,
)
from ks_simulator.keys import RoleKeys, public_text
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.proxy import FaultProxy
from ks_simulator.report import Check
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

CPYTHON_TERMINALS = 5
PACE = 8.0
RTO_S = "10"  # the shortest that a terminal accepts
CRASH_PAUSE_S = 0.2
PATIENCE_S = 20.0
STORY_LIMIT_S = 210.0
MARK = b"# This line is what the attacker in the middle changes."
BAD_LINE = b'\nraise RuntimeError("this release is broken")\n'
NOTE = "ks_agent/__init__.py"


@dataclass
class Scene:
    """One chapter: its title and what was expected in it."""

    title: str
    checks: list[Check] = field(default_factory=list)
    is_over: bool = False


class Abandoned(Exception):
    """The story cannot go on; the failed check says why."""


class Stage:
    """What is on stage in `folder`, and what was expected of it so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes: list[Scene] = []
        self.terminals: list[ProcessTerminal] = []
        self.interpreters: dict[str, str] = {}
        self.left_out = ""
        self.architecture = ""
        self.log: list[str] = []
        self.rollout: dict[str, Any] | None = None
        self.server_url = ""
        self._changed: Callable[[], None] = lambda: None
        self._start = time.monotonic()
        self.keys = RoleKeys.make()
        self.stranger = RoleKeys.make()
        self.lives: list[asyncio.Task[None]] = []
        self.api: RolloutApi
        self.network: FaultProxy

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever there is something new to see."""
        self._changed = changed

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    async def build_up(self, stack: AsyncExitStack) -> None:
        self.scene("Keys, a server and a factory")
        self.network = FaultProxy("127.0.0.1", 0)
        await stack.enter_async_context(self.network.running())
        stolen = [public_text(key) for key in (self.keys.release, self.stranger.release)]
        server = ServerProcess(
            server_settings(
                self.folder / "server",
                self.keys,
                REGISTRATION_MODE="token",
                HEARTBEAT_RTO_S=RTO_S,
                PUBLIC_URL=self.network.url,
                RELEASE_PUBLIC_KEYS=",".join(stolen),
            )
        )
        try:
            await stack.enter_async_context(server.running())
        except ServerFailed as error:
            self.check("the server starts", False, str(error))
            raise Abandoned from None
        self.network.retarget("127.0.0.1", server.port)
        self.server_url = server.url
        self.api = await stack.enter_async_context(
            RolloutApi.connect(server.url, server.admin_token)
        )
        trusted = self.keys.trusted()
        self.check("the server runs with a key of its own", await self._is_current(trusted[0].key))
        roles = ", ".join(f"{key.role} {key.kid}" for key in trusted)
        self.check("each role has its key, the release key apart from the server", True, roles)
        await self._provision()

    async def _is_current(self, key: str) -> bool:
        overview = await self.api.overview()
        return bool(overview["server_keys"][-1]["public_key"] == key)

    async def _provision(self) -> None:
        commands = [("CPython", cpython_command())] * CPYTHON_TERMINALS
        micropython = find_micropython()
        if micropython is None:
            self.left_out = "no MicroPython 1.24 or newer here, so its terminal is left out"
            self.say(self.left_out)
        else:
            commands.append(("MicroPython", micropython_command(micropython, "amd64")))
            self.architecture = native_architecture(micropython)
        release = self.release("1.0.0", 1)
        for number, (interpreter, command) in enumerate(commands, 1):
            name = f"terminal-{number}"
            provision_folder(
                self.folder / name,
                name,
                self.network.url,
                self.keys.trusted(),
                release,
                otrt=await self.api.make_token(name),
            )
            self.interpreters[name] = interpreter
            self.terminals.append(
                ProcessTerminal(
                    name, self.folder / name, command, self._seen, crash_pause_s=CRASH_PAUSE_S
                )
            )
        self.check(
            f"{len(self.terminals)} terminals leave the factory without key or clock, "
            "with a one-time token",
            not any((self.folder / terminal.name / "nvs").exists() for terminal in self.terminals),
        )

    def release(self, version: str, counter: int, **changes: bytes) -> Release:
        files = paced(installed_files(), PACE)
        files[NOTE] += b"\n# version " + version.encode() + b"\n" + MARK + b"\n"
        for line in changes.values():
            files[NOTE] += line
        if self.architecture:  # CPython passes over it
            files = with_native_code(files, self.architecture)
        release = build(files, version=version, counter=counter)
        return release.signed(self.keys.release)

    # expectations

    async def each_shows(
        self,
        text: str,
        name: str,
        after: dict[str, int] | None = None,
        matches: Callable[[Event], bool] = lambda event: True,
    ) -> bool:
        """Each terminal shows an event of that name since the mark."""
        start = after or {}
        outcomes = await asyncio.gather(
            *(
                terminal.wait_for(name, PATIENCE_S, matches, start.get(terminal.name, 0))
                for terminal in self.terminals
            ),
            return_exceptions=True,
        )
        silent = [
            terminal
            for terminal, outcome in zip(self.terminals, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        ]
        return self.check(f"each {text}", not silent, "; ".join(map(_last_words, silent)))

    async def all_run(self, version: str) -> None:
        async def running(terminal: ProcessTerminal) -> str:
            device = await self.api.device(terminal.name)
            return str(device and device["fw2"])

        await self.expect(
            f"the server sees version {version} everywhere",
            lambda: self.on_each(running),
            lambda versions: set(versions) == {version},
        )

    async def reports(self, fw1: str, outcome: str, reason: str = "") -> None:
        async def reports() -> dict[str, tuple[str, str]]:
            newest_first = await self.api.updates(fw1)
            return {row["d1"]: (row["ack1"], row["ack2"] or "") for row in newest_first}

        await self.expect(
            f"the server has every report: {outcome}" + (f", {reason}" if reason else ""),
            reports,
            lambda rows: (
                len(rows) == len(self.terminals)
                and all(ack1 == outcome and reason in ack2 for ack1, ack2 in rows.values())
            ),
        )

    async def expect(
        self, text: str, ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]
    ) -> bool:
        try:
            await eventually(ask, holds, PATIENCE_S)
        except (TimeoutError, AdminError) as error:
            return self.check(text, False, str(error))
        return self.check(text, True)

    async def on_each(self, ask: Callable[[ProcessTerminal], Awaitable[Any]]) -> Sequence[Any]:
        return await asyncio.gather(*(ask(terminal) for terminal in self.terminals))

    def marks(self) -> dict[str, int]:
        return {terminal.name: len(terminal.events) for terminal in self.terminals}

    def count(
        self, terminal: ProcessTerminal, name: str, after: dict[str, int] | None = None
    ) -> int:
        start = (after or {}).get(terminal.name, 0)
        return sum(event.name == name for event in terminal.events[start:])

    def any_since(self, name: str, after: dict[str, int]) -> bool:
        return any(self.count(terminal, name, after) for terminal in self.terminals)

    # what can be seen

    def scene(self, title: str) -> None:
        if self.scenes:
            self.scenes[-1].is_over = True
        self.scenes.append(Scene(title))
        self._changed()

    def check(self, text: str, ok: bool, detail: str = "") -> bool:
        scene = self.scenes[-1]
        scene.checks.append(Check(text, ok, detail, scene.title, round(self.seconds, 3)))
        self._changed()
        return ok

    def show(self, rollout: dict[str, Any] | None) -> None:
        """A rollout to be seen from now on, or none any more."""
        self.rollout = rollout
        self._changed()

    def say(self, text: str) -> None:
        self.log.append(text)
        self._changed()

    def _seen(self, terminal: ProcessTerminal, event: Event) -> None:
        self._changed()

    async def switch_off(self) -> None:
        for life in self.lives:
            life.cancel()
        await asyncio.gather(*self.lives, return_exceptions=True)
        if self.scenes:
            self.scenes[-1].is_over = True
        self._changed()


def _last_words(terminal: ProcessTerminal) -> str:
    last = terminal.output[-1] if terminal.output else "nothing"
    return f"not {terminal.name}, which said last: {last}"
