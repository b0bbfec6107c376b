"""A factory's station whole: the real `ks`, esptool and server, and software ESP32s as boards."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ks_chip.chip import START, Setup
from ks_chip.models import model_named
from ks_chip.rack import Place, Rack
from ks_simulator import chip_application
from ks_simulator.admin import AdminApi, eventually
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools import image_build, image_release
from ks_tools.board_file import find_board
from ks_tools.image_micropython import read_image
from ks_tools.workspace import Workspace, read_seed
from tests.only_once import Compiler
from tests.tools.chip_image import write_micropython
from tools.micropython import ROOT

BOARD = "esp32_generic"
ARCHITECTURE, INTERPRETER, HEAP = "x86", "i386", "320k"
MAC = bytes.fromhex("260ac4000001")
NETWORK = ("Office", "correct-horse")
PATIENCE_S = 300.0
Output = tuple[int, str]


def image_files(folder: Path, compiler: Compiler) -> dict[str, bytes]:
    """What `ks image build --for-software-chip` makes, by file name."""
    folder.mkdir(exist_ok=True)
    board = find_board(BOARD)
    downloaded = write_micropython(folder / "download.bin", board.chip)
    workspace = Workspace(folder / "ks", folder / "offline")
    workspace.make_keys()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chip_application, "compiled", compiler)
        patch.setattr(image_build, "SPARE_BYTES", 0)  # what an update needs is not what is tested
        release = image_release.made_release(workspace, ARCHITECTURE, "1.0.0", "")
        order = image_build.Order(board, read_image(downloaded, board), release, ARCHITECTURE)
        image_build.build_image(order, folder / "image")
    return {path.name: path.read_bytes() for path in (folder / "image").iterdir()}


def chip_setup(folder: Path, number: int) -> Setup:
    """A blank chip, with more memory than a real one: that is not what is tested here."""
    program = find_micropython(INTERPRETER)
    if program is None:
        pytest.skip(f"no MicroPython for {INTERPRETER} here: make micropython says why")
    command = [*micropython_command(program, INTERPRETER, HEAP), str(START)]
    board = find_board(BOARD)
    mac = (int.from_bytes(MAC) + number).to_bytes(6)
    return Setup(model_named(board.chip), mac, folder / f"chip-{number}.bin", board.flash, command)


@contextmanager
def boards(folder: Path, count: int = 1) -> Iterator[list[Place]]:
    """Software chips, switched on, within reach of the network."""
    with Rack([chip_setup(folder, number) for number in range(count)]) as places:
        for place in places:
            with place.control() as control:
                control.ask(f"wifi {NETWORK[0]} {NETWORK[1]} -50")
        yield places


class Station:
    """A workspace with its keys and its server; `ks` runs commands in it."""

    def __init__(self, folder: Path, server: ServerProcess, api: AdminApi) -> None:
        self.folder = folder
        self.server = server
        self.api = api

    @property
    def settings(self) -> dict[str, str]:
        """What the commands find in their environment."""
        return {"ADMIN_TOKEN": self.server.admin_token, "KS_WIFI_PASSWORD": NETWORK[1]}

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.settings,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "NO_COLOR": "1",
        }

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        """A command, running."""
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *command: str) -> Output:
        """A command to its end: its status and what it said."""
        process = await self.start(*command)
        try:
            async with asyncio.timeout(PATIENCE_S):
                said, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, said.decode("utf-8", "replace")

    async def ks(self, *arguments: str) -> Output:
        return await self.run(sys.executable, "-m", "ks_tools", *arguments)

    async def new_batch(self, *options: str) -> None:
        """The folder `batch`, without a person."""
        status, said = await self.ks(
            "factory", "new", "batch", "--board", BOARD, "--image", "image", "--first", "1",
            "--last", "99", "--server", self.server.url, "--wifi", NETWORK[0], "--no-scan",
            *options,
        )  # fmt: skip
        assert status == 0, said
        path = self.folder / "batch" / "batch.toml"
        path.write_text(path.read_text().replace("skip = []", 'skip = ["button", "led"]'))

    async def heard_of(self, d1: str, after: str = "", key: str | None = None) -> dict[str, Any]:
        """The device, once it has sent a heartbeat after that time, and with that key."""

        async def ask() -> dict[str, Any] | None:
            device = await self.api.device(d1)
            if device is None or key not in (None, device["public_key"]):
                return None
            return device if (device["last_heartbeat"] or "") > after else None

        found = await eventually(ask, bool, PATIENCE_S)
        assert found is not None
        return found


@asynccontextmanager
async def station(folder: Path) -> AsyncIterator[Station]:
    """The workspace in the folder, which has its keys already, and its server."""
    workspace = Workspace(folder / ".ks", folder / ".ks-offline")
    first, second = map(read_seed, workspace.admin_keys)
    seeds = read_seed(workspace.server_key), read_seed(workspace.release_key)
    keys = RoleKeys(*seeds, (first, second))
    chosen = {"REGISTRATION_MODE": "token", "HEARTBEAT_RTO_S": "10"}
    server = ServerProcess(server_settings(folder / "server", keys, **chosen))
    async with server.running(), AdminApi.connect(server.url, server.admin_token) as api:
        yield Station(folder, server, api)


async def until(process: asyncio.subprocess.Process, *texts: str) -> None:
    """Let a command speak up to a line with all of this."""
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(PATIENCE_S):
        while line := (await process.stdout.readline()).decode():
            said += line
            if all(text in line for text in texts):
                return
    raise AssertionError(f"it did not say {texts}: {said}")


def script(name: str) -> str:
    """A script of the repository."""
    return str(ROOT / name)
