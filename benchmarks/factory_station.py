"""A factory's station to be measured: keys, server, image, batch, and chips on paced lines."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ks_chip.chip import START, Setup
from ks_chip.models import model_named
from ks_chip.rack import Place, mac_after
from ks_simulator.interpreters import find_micropython, micropython_command
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools import image_build, image_release
from ks_tools.board_file import Board, find_board
from ks_tools.boards_chips import CHIPS
from ks_tools.factory.batch import FILE
from ks_tools.factory.new import Wishes, make_batch
from ks_tools.image_micropython import read_image
from ks_tools.workspace import Workspace, read_seed
from tests.tools import chip_image

from .figure import Unavailable
from .paced import PacedRack

BOARD: Final = "esp32_generic"
ARCHITECTURE, INTERPRETER = "x86", "i386"
# More than a chip has: its memory is not what is measured.
HEAP: Final = "320k"
FIRST_MAC: Final = bytes.fromhex("260ac4000001")
NETWORK: Final = ("Office", "correct-horse")
# About MicroPython 1.25 for this board, and what deflate leaves of such a program.
APPLICATION_BYTES: Final = 1_650_000
SYMBOLS: Final = 37  # log2(37) is 5.2 bits of 8: 65 %
LIMIT_S: Final = 600


def write_micropython(path: Path, board: Board, size: int) -> None:
    """A stand-in for MicroPython's image, as long, and as hard to pack, as a real one."""
    start = CHIPS[board.chip].bootloader_offset
    before = chip_image.micropython(board.chip)[: chip_image.APP_OFFSET - start]
    noise = random.Random(size).randbytes(size)
    packable = noise.translate(bytes(value % SYMBOLS for value in range(256)))
    path.write_bytes(before + chip_image.application(board.chip, content=packable))


@dataclass
class Station:
    """`work` runs units through the line, each on a chip of its own."""

    folder: Path
    server: ServerProcess

    @property
    def batch(self) -> Path:
        return self.folder / "batch"

    async def work(self, places: Sequence[Place], turns: Sequence[Sequence[Place]]) -> Any:
        """What benchmarks.factory_run prints."""
        job = {
            "batch": str(self.batch),
            "data": str(self.folder / ".ks"),
            "turns": [[place.url for place in turn] for turn in turns],
            "controls": {place.url: place.control_port for place in places},
        }
        file = self.folder / "job.json"
        file.write_text(json.dumps(job))
        environment = {
            "ADMIN_TOKEN": self.server.admin_token,
            "KS_WIFI_PASSWORD": NETWORK[1],
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.factory_run", str(file),
            stdout=PIPE, env={**os.environ, **environment},
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                said, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, "the line has failed"
        return json.loads(said)


@asynccontextmanager
async def station(
    folder: Path, application_bytes: int = APPLICATION_BYTES
) -> AsyncIterator[Station]:
    """With its server running and its batch ready."""
    workspace = Workspace(folder / ".ks", folder / ".ks-offline")
    workspace.make_keys()
    seeds = read_seed(workspace.server_key), read_seed(workspace.release_key)
    first, second = map(read_seed, workspace.admin_keys)
    keys = RoleKeys(*seeds, (first, second))
    server = ServerProcess(server_settings(folder / "server", keys, REGISTRATION_MODE="token"))
    async with server.running():
        make_image(folder, workspace, application_bytes)
        image, trust = folder / "image", workspace.trust
        wishes = Wishes(
            BOARD, image, trust, "A", "KS-", 1, 999, server.url, False, NETWORK[0], False
        )
        made = Station(folder, server)
        make_batch(made.batch, wishes)
        file = made.batch / FILE
        # A person's time at the button is none of the line's.
        text = file.read_text("utf-8").replace("skip = []", 'skip = ["button"]')
        file.write_text(text, "utf-8")
        yield made


def make_image(folder: Path, workspace: Workspace, application_bytes: int) -> None:
    """As `ks image build --for-software-chip` does."""
    board = find_board(BOARD)
    downloaded = folder / "micropython.bin"
    write_micropython(downloaded, board, application_bytes)
    release = image_release.made_release(workspace, ARCHITECTURE, "1.0.0", "")
    order = image_build.Order(board, read_image(downloaded, board), release, ARCHITECTURE)
    image_build.build_image(order, folder / "image")


def setups(folder: Path, count: int) -> list[Setup]:
    """Blank chips. Raises Unavailable."""
    program = find_micropython(INTERPRETER)
    if program is None:
        raise Unavailable("no 32-bit MicroPython: make micropython")
    command = [*micropython_command(program, INTERPRETER, HEAP), str(START)]
    board = find_board(BOARD)
    return [
        Setup(
            model_named(board.chip),
            mac_after(FIRST_MAC, number),
            folder / f"chip-{number}.bin",
            board.flash,
            command,
        )
        for number in range(count)
    ]


@contextmanager
def chips(folder: Path, count: int) -> Iterator[list[Place]]:
    """The same, with power, and within reach of the network."""
    with PacedRack(setups(folder, count)) as places:
        for place in places:
            with place.control() as control:
                control.ask(f"wifi {NETWORK[0]} {NETWORK[1]} -50")
        yield places
