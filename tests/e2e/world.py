"""A real server process and real terminal processes, for tests that read like a story."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from ks_agent import signing
from ks_agent.ports import KEY
from ks_agent.punch import HASHED
from ks_driver.files import HostVault
from ks_simulator.admin import eventually
from ks_simulator.admin_punches import PunchApi
from ks_simulator.application import Release, build, installed_files, paced
from ks_simulator.compiled import compiled
from ks_simulator.events import Event
from ks_simulator.interpreters import (
    cpython_command,
    find_micropython,
    micropython_command,
    native_architecture,
)
from ks_simulator.keys import CRYPTO, RoleKeys, public_text
from ks_simulator.process import ProcessTerminal
from ks_simulator.provision import provision_folder
from ks_simulator.punching import Answer
from ks_simulator.server import ServerProcess, server_settings

PACE = 8.0
PATIENCE_S = 150.0  # a second attempt at an update may be needed
# The last runs from its sources, without native code.
INTERPRETERS = (
    "cpython", "micropython-amd64", "micropython-i386-small", "micropython-amd64-sources"
)  # fmt: skip
HEAPS = {"amd64": "512k", "i386": "128k"}
ENGINES = dict(zip(INTERPRETERS, ("libsodium", "viper", "viper", "bigint"), strict=True))
NOTE = "ks_agent/__init__.py"
# The terminal tells which engine its code has found, before the agent starts.
PROBE = b"""
from ks_crypto import ed25519, sha512
print("EVENT engine NAME=%s SHA512=%s" % (ed25519.ENGINE, sha512.ENGINE))
"""


def command_of(interpreter: str) -> list[str]:
    """The interpreter's command line; skips the test where there is none."""
    if interpreter == "cpython":
        return cpython_command()
    architecture = interpreter.split("-")[1]
    program = find_micropython(architecture)
    if program is None:
        pytest.skip(f"no MicroPython for {architecture} here: make micropython says why")
    return micropython_command(program, architecture, HEAPS[architecture])


def engines_of(terminal: ProcessTerminal) -> list[Event]:
    """What PROBE has told, once a boot."""
    return [event for event in terminal.events if event.name == "engine"]


class World:
    """The server, its admin API, and the keys."""

    def __init__(self, folder: Path, keys: RoleKeys, server: ServerProcess, api: PunchApi) -> None:
        self.folder = folder
        self.keys = keys
        self.server = server
        self.api = api
        self.lives: list[asyncio.Task[None]] = []
        self.compiles = False
        self.architecture = ""

    def release(self, version: str, counter: int, note: bytes = b"") -> Release:
        """The installed firmware as a release whose waits are short."""
        files = paced(installed_files(), PACE)
        files[NOTE] += b"\n# " + version.encode() + b"\n" + PROBE + note
        if self.compiles:
            files = compiled(files, architecture=self.architecture)
        return build(files, version=version, counter=counter).signed(self.keys.release)

    async def terminal(self, d1: str, interpreter: str, token: str = "") -> ProcessTerminal:
        """A new terminal with a one-time token, its own unless one is given, switched on."""
        folder = self.folder / d1
        command = command_of(interpreter)
        self.compiles = interpreter in ("micropython-amd64", "micropython-i386-small")
        self.architecture = native_architecture(Path(command[0])) if self.compiles else ""
        otrt = token or await self.api.make_token(d1)
        release = self.release("1.0.0", 1)
        provision_folder(folder, d1, self.server.url, self.keys.trusted(), release, otrt=otrt)
        terminal = ProcessTerminal(d1, folder, command, crash_pause_s=0.1)
        self.lives.append(asyncio.create_task(terminal.run()))
        return terminal

    def public_key(self, d1: str) -> str:
        """D3 of a terminal that has booted."""
        seed = HostVault(str(self.folder / d1 / "nvs")).get(KEY)
        assert seed is not None
        return public_text(seed)

    async def sign(self, cmd1: str, admin_seed: bytes) -> None:
        """Sign a draft as an administrator."""
        text = (await self.api.show_command(cmd1))["sign_text"]
        await self.api.sign_command(cmd1, signing.sign_text(CRYPTO, admin_seed, text))

    async def acknowledged(self, cmd1: str) -> str:
        """ACK1 of a command, once there is one."""

        async def ask() -> str:
            command = await self.api.show_command(cmd1)
            return str((command["acknowledgement"] or {}).get("ack1", ""))

        return await eventually(ask, bool, PATIENCE_S)

    async def reported(self, fw1: str) -> tuple[str, str]:
        """The last report of a release: ACK1 and ACK2."""

        async def ask() -> tuple[str, str] | None:
            rows = await self.api.updates(fw1)
            return (rows[0]["ack1"], rows[0]["ack2"] or "") if rows else None

        found = await eventually(ask, bool, PATIENCE_S)
        assert found is not None
        return found

    async def settled(self, d1: str, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """The journals of a terminal once all that beeped is acknowledged; as they are when that
        takes too long."""
        tops: dict[str, int] = {}
        for answer in answers:
            if answer.beeped:
                tops[answer.jid] = max(answer.seq, tops.get(answer.jid, 0))

        async def ask() -> dict[str, int]:
            journals = await self.api.journals(d1)
            return {one["jid"]: one["ack_seq"] for one in journals}

        with suppress(TimeoutError):
            await eventually(
                ask, lambda acks: all(acks.get(jid, 0) >= tops[jid] for jid in tops), PATIENCE_S
            )
        return await self.api.journals(d1)

    def rows(self, d1: str) -> list[dict[str, str]]:
        """The punches of a terminal as texts, as it sent them, out of the server's database."""
        (path,) = (self.folder / "server").glob("*.sqlite3")
        names = [name.lower() for name in HASHED]
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(f"SELECT {','.join(names)} FROM punches WHERE d1 = ?", (d1,))
            return [dict(zip(HASHED, map(str, row), strict=True)) for row in rows]

    async def version_of(self, d1: str, version: str) -> None:
        """Wait until the server has heard this version in a heartbeat."""

        async def ask() -> str:
            return str((await self.api.device(d1) or {}).get("fw2"))

        await eventually(ask, lambda heard: heard == version, PATIENCE_S)


@asynccontextmanager
async def world(folder: Path, **settings: str) -> AsyncIterator[World]:
    """A world for the length of a block; terminals lose their power at its end."""
    keys = RoleKeys.make()
    chosen = {"REGISTRATION_MODE": "token", "HEARTBEAT_RTO_S": "10", **settings}
    server = ServerProcess(server_settings(folder / "server", keys, **chosen))
    async with server.running(), PunchApi.connect(server.url, server.admin_token) as api:
        made = World(folder, keys, server, api)
        try:
            yield made
        finally:
            for life in made.lives:
                life.cancel()
            await asyncio.gather(*made.lives, return_exceptions=True)


@asynccontextmanager
async def one_terminal(
    interpreter: str, folder: Path
) -> AsyncIterator[tuple[World, ProcessTerminal]]:
    """A world in which dev_1 has registered, and has heard the answer to a heartbeat."""
    async with world(folder) as here:
        terminal = await here.terminal("dev_1", interpreter)
        await terminal.wait_for("heartbeat", PATIENCE_S)
        yield here, terminal
