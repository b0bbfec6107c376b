"""The story that `ks demo` tells: terminals, their server, a bad network and bad people.

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

from ks_agent import timetext
from ks_simulator.admin import AdminApi, AdminError, eventually
from ks_simulator.application import (
    FIRST_BUILD_MS,
    Release,
    build,
    installed_files,
    paced,
)
from ks_simulator.events import Event
from ks_simulator.interpreters import cpython_command, find_micropython, micropython_command
from ks_simulator.keys import RoleKeys, public_text
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.proxy import FaultProxy, flip_once
from ks_simulator.report import Check, Report
from ks_simulator.server import ServerFailed, ServerProcess, server_settings

CPYTHON_TERMINALS = 5
PACE = 8.0
RTO_S = "10"  # the shortest that a terminal accepts
CRASH_PAUSE_S = 0.2
PATIENCE_S = 20.0
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


class Demo:
    """Runs the story in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes: list[Scene] = []
        self.terminals: list[ProcessTerminal] = []
        self.interpreters: dict[str, str] = {}
        self.left_out = ""
        self.log: list[str] = []
        self.server_url = ""
        self._changed: Callable[[], None] = lambda: None
        self._start = time.monotonic()
        self._keys = RoleKeys.make()
        self._stranger = RoleKeys.make()
        self._lives: list[asyncio.Task[None]] = []
        self._api: AdminApi
        self._proxy: FaultProxy

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever there is something new to see."""
        self._changed = changed

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    async def run(self) -> Report:
        """Tell the whole story; gives what was expected and whether it held."""
        async with AsyncExitStack() as stack:
            try:
                await self._set_the_stage(stack)
                for scene in (
                    self._first_boot,
                    self._heartbeats,
                    self._commands,
                    self._outage,
                    self._update,
                    self._man_in_the_middle,
                    self._stolen_server,
                    self._bad_release,
                ):
                    await scene()
            except Abandoned:
                pass
            finally:
                await self._switch_off()
        seconds = self.seconds
        checks = [check for scene in self.scenes for check in scene.checks]
        figures = {"terminals": len(self.terminals), "left_out": self.left_out, "pace": PACE}
        return Report("demo", checks, figures, seconds)

    # the stage

    async def _set_the_stage(self, stack: AsyncExitStack) -> None:
        self._scene("Keys, a server and a factory")
        self._proxy = FaultProxy("127.0.0.1", 0)
        await stack.enter_async_context(self._proxy.running())
        stolen = [public_text(key) for key in (self._keys.release, self._stranger.release)]
        server = ServerProcess(
            server_settings(
                self.folder / "server",
                self._keys,
                REGISTRATION_MODE="token",
                HEARTBEAT_RTO_S=RTO_S,
                PUBLIC_URL=self._proxy.url,
                RELEASE_PUBLIC_KEYS=",".join(stolen),
            )
        )
        try:
            await stack.enter_async_context(server.running())
        except ServerFailed as error:
            self._check("the server starts", False, str(error))
            raise Abandoned from None
        self._proxy.retarget("127.0.0.1", server.port)
        self.server_url = server.url
        self._api = await stack.enter_async_context(
            AdminApi.connect(server.url, server.admin_token)
        )
        trusted = self._keys.trusted()
        self._check("the server runs with a key of its own", await self._is_current(trusted[0].key))
        roles = ", ".join(f"{key.role} {key.kid}" for key in trusted)
        self._check("each role has its key, the release key apart from the server", True, roles)
        await self._provision()

    async def _is_current(self, key: str) -> bool:
        overview = await self._api.overview()
        return bool(overview["server_keys"][-1]["public_key"] == key)

    async def _provision(self) -> None:
        commands = [("CPython", cpython_command())] * CPYTHON_TERMINALS
        micropython = find_micropython()
        if micropython is None:
            self.left_out = "no MicroPython 1.24 or newer here, so its terminal is left out"
            self._say(self.left_out)
        else:
            commands.append(("MicroPython", micropython_command(micropython, "amd64")))
        release = self._release("1.0.0", 1)
        for number, (interpreter, command) in enumerate(commands, 1):
            name = f"terminal-{number}"
            provision_folder(
                self.folder / name,
                name,
                self._proxy.url,
                self._keys.trusted(),
                release,
                otrt=await self._api.make_token(name),
            )
            self.interpreters[name] = interpreter
            self.terminals.append(
                ProcessTerminal(
                    name, self.folder / name, command, self._seen, crash_pause_s=CRASH_PAUSE_S
                )
            )
        self._check(
            f"{len(self.terminals)} terminals leave the factory without key or clock, "
            "with a one-time token",
            not any((self.folder / terminal.name / "nvs").exists() for terminal in self.terminals),
        )

    def _release(self, version: str, counter: int, **changes: bytes) -> Release:
        files = paced(installed_files(), PACE)
        files[NOTE] += b"\n# version " + version.encode() + b"\n" + MARK + b"\n"
        for line in changes.values():
            files[NOTE] += line
        release = build(files, version=version, counter=counter)
        return release.signed(self._keys.release)

    # the scenes

    async def _first_boot(self) -> None:
        self._scene("First boot: make a key, get the time, register")
        for terminal in self.terminals:
            self._lives.append(asyncio.create_task(terminal.run()))
        await self._each_shows("makes its own key", "key_made")
        if not await self._each_shows("registers with its token", "registered"):
            raise Abandoned
        devices = {device["d1"]: device for device in await self._api.devices()}
        keys = {device["public_key"] for device in devices.values()}
        self._check(
            "the server knows every terminal by a different key",
            len(devices) == len(keys) == len(self.terminals),
        )
        tokens = await self._api.tokens()
        self._check("every one-time token is spent", all(token["used_by"] for token in tokens))
        await self._expect(
            "clocks that stood at the build date are right now",
            lambda: self._on_each(self._clock_is_right),
            all,
        )

    async def _clock_is_right(self, terminal: ProcessTerminal) -> bool:
        beats = await self._api.heartbeats(terminal.name)
        booted = [beat["tokens"]["HB5"] for beat in beats if "HB5" in beat["tokens"]]
        now_ms = time.time() * 1000
        return any(abs(timetext.parse_ms(text) - now_ms) < 120_000 for text in booted) and (
            now_ms - FIRST_BUILD_MS > 120_000
        )

    async def _heartbeats(self) -> None:
        self._scene("Signed heartbeats")

        async def count(terminal: ProcessTerminal) -> int:
            return len(await self._api.heartbeats(terminal.name))

        await self._expect(
            "every terminal has sent two, each stored by the server",
            lambda: self._on_each(count),
            lambda counts: min(counts) >= 2,
        )

    async def _commands(self) -> None:
        self._scene("Signed commands, performed once")
        restarted = self.terminals[-1]
        boots = restarted.boots
        wanted = [(terminal, "IDENTIFY") for terminal in self.terminals]
        wanted += [(self.terminals[0], "FETCH_LOGS"), (restarted, "RESTART")]
        ids = {
            await self._api.command(terminal.name, name): (terminal, name)
            for terminal, name in wanted
        }

        async def states() -> list[str]:
            shown = [await self._api.show_command(cmd1) for cmd1 in ids]
            return [(command["acknowledgement"] or {}).get("ack1", "") for command in shown]

        await self._expect(
            f"{len(ids)} commands are acknowledged OK",
            states,
            lambda acks: all(ack == "OK" for ack in acks),
        )
        identified = [self._count(terminal, "identify") for terminal in self.terminals]
        self._check("every terminal blinked, exactly once", set(identified) == {1})
        self._check("RESTART was acknowledged after the restart", restarted.boots == boots + 1)
        fetched = next(cmd1 for cmd1, (_, name) in ids.items() if name == "FETCH_LOGS")
        self._check("the log that was asked for is there", bool(await self._api.logs(fetched)))

    async def _outage(self) -> None:
        self._scene("The network goes away, and comes back")
        after = self._marks()
        self._proxy.outage()
        self._say("network down")
        await self._each_shows("notices and backs off", "offline", after)
        alive = all(not life.done() for life in self._lives)
        self._check("nobody crashed over it", alive and not self._any_since("crash", after))
        after = self._marks()
        self._proxy.restore()
        self._say("network up")
        await self._each_shows("comes back by itself", "heartbeat", after)

    async def _update(self) -> None:
        self._scene("A signed update")
        after = self._marks()
        fw1 = await self._api.publish(self._release("1.1.0", 2).assemble())
        await self._each_shows("verifies and stages it", "update_staged", after)
        await self._each_shows("proves it by a signed heartbeat", "update_confirmed", after)
        await self._all_run("1.1.0")
        await self._reports(fw1, "OK")

    async def _man_in_the_middle(self) -> None:
        self._scene("A forged update: changed on its way")
        self._proxy.tamper = flip_once(MARK)
        fw1 = await self._refused_by_all(self._release("1.2.0", 2))
        await self._api.release_step(fw1, "revoke")
        self._proxy.tamper = None

    async def _stolen_server(self) -> None:
        self._scene("A forged update: the server itself is in the wrong hands")
        forged = self._release("1.3.0", 2).signed(self._stranger.release)
        fw1 = await self._refused_by_all(forged)
        await self._api.release_step(fw1, "revoke")

    async def _refused_by_all(self, release: Release) -> str:
        after = self._marks()
        fw1 = await self._api.publish(release.assemble())

        def is_it(event: Event) -> bool:
            return event.detail.get("FW1") == fw1

        await self._each_shows("refuses it", "update_refused", after, is_it)
        await self._reports(fw1, "ERROR")
        self._check("nobody tried it", not self._any_since("update_staged", after))
        await self._all_run("1.1.0")
        return fw1

    async def _bad_release(self) -> None:
        self._scene("A bad update: rightly signed, but it crashes")
        after = self._marks()
        fw1 = await self._api.publish(self._release("1.4.0", 2, bad=BAD_LINE).assemble())
        await self._each_shows("tries it", "update_staged", after)
        await self._each_shows("is back at the release before", "update_rolled_back", after)
        crashes = [self._count(terminal, "crash", after) for terminal in self.terminals]
        self._check("stage 0 gave it three tries", set(crashes) == {3}, f"{crashes}")
        await self._reports(fw1, "ERROR", "ROLLED_BACK")
        after = self._marks()
        await self._each_shows("lives on", "heartbeat", after)
        await self._all_run("1.1.0")

    # expectations

    async def _each_shows(
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
            terminal.name
            for terminal, outcome in zip(self.terminals, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        ]
        return self._check(f"each {text}", not silent, f"not {', '.join(silent)}" if silent else "")

    async def _all_run(self, version: str) -> None:
        async def running(terminal: ProcessTerminal) -> str:
            device = await self._api.device(terminal.name)
            return str(device and device["fw2"])

        await self._expect(
            f"the server sees version {version} everywhere",
            lambda: self._on_each(running),
            lambda versions: set(versions) == {version},
        )

    async def _reports(self, fw1: str, outcome: str, reason: str = "") -> None:
        async def reports() -> dict[str, tuple[str, str]]:
            newest_first = await self._api.updates(fw1)
            return {row["d1"]: (row["ack1"], row["ack2"] or "") for row in newest_first}

        await self._expect(
            f"the server has every report: {outcome}" + (f", {reason}" if reason else ""),
            reports,
            lambda rows: (
                len(rows) == len(self.terminals)
                and all(ack1 == outcome and reason in ack2 for ack1, ack2 in rows.values())
            ),
        )

    async def _expect(
        self, text: str, ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]
    ) -> bool:
        try:
            await eventually(ask, holds, PATIENCE_S)
        except (TimeoutError, AdminError) as error:
            return self._check(text, False, str(error))
        return self._check(text, True)

    async def _on_each(self, ask: Callable[[ProcessTerminal], Awaitable[Any]]) -> Sequence[Any]:
        return await asyncio.gather(*(ask(terminal) for terminal in self.terminals))

    def _marks(self) -> dict[str, int]:
        return {terminal.name: len(terminal.events) for terminal in self.terminals}

    def _count(
        self, terminal: ProcessTerminal, name: str, after: dict[str, int] | None = None
    ) -> int:
        start = (after or {}).get(terminal.name, 0)
        return sum(event.name == name for event in terminal.events[start:])

    def _any_since(self, name: str, after: dict[str, int]) -> bool:
        return any(self._count(terminal, name, after) for terminal in self.terminals)

    # what can be seen

    def _scene(self, title: str) -> None:
        if self.scenes:
            self.scenes[-1].is_over = True
        self.scenes.append(Scene(title))
        self._changed()

    def _check(self, text: str, ok: bool, detail: str = "") -> bool:
        scene = self.scenes[-1]
        scene.checks.append(Check(text, ok, detail, scene.title, round(self.seconds, 3)))
        self._changed()
        return ok

    def _say(self, text: str) -> None:
        self.log.append(text)
        self._changed()

    def _seen(self, terminal: ProcessTerminal, event: Event) -> None:
        self._changed()

    async def _switch_off(self) -> None:
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        if self.scenes:
            self.scenes[-1].is_over = True
        self._changed()
