"""Software ESP32s with the real firmware, and a real server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from ks_chip import rack
from ks_simulator import chip_application
from ks_simulator.admin import eventually
from ks_simulator.admin_punches import PunchApi
from ks_simulator.application import Release
from ks_simulator.compiled import compiled
from ks_simulator.interpreters import find_micropython, micropython_command, native_architecture
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from tests.chip.flash_file import board_named, factory_files, release_of, write_flash
from tests.chip.power import Chip
from tests.e2e.world import PATIENCE_S, World

HEAP = "512k"  # as with PSRAM
REAL_HEAP = rack.HEAPS["i386"]
NETWORK = {"wifi_ssid": b"site", "wifi_password": b"secret 1"}
# Cards by which a person at the reader makes the terminal hang: all of it, or the reader's task.
BLOCKING_CARD, STALLING_CARD = 0xB10C, 0x57A1
# Every wait is shorter; and the two cards.
CHANGES = (
    ("ks_driver/loop.py", b"asyncio.sleep(seconds)", b"asyncio.sleep(seconds / 8)"),
    ("ks_board/watchdog.py", b"BITE_MS = 60000", b"BITE_MS = 10000"),
    ("ks_board/watchdog.py", b"GRACE_MS = 30000", b"GRACE_MS = 6000"),
    ("ks_board/watchdog.py", b"ROUND_MS = 1000", b"ROUND_MS = 100"),
    ("ks_board/wifi.py", b"WATCH_S = 1\n", b"WATCH_S = 0.02\n"),
    ("ks_board/features/button.py", b"HOLD_MS = 5000", b"HOLD_MS = 300"),
    ("ks_agent/update.py", b"SHORTAGES_BORNE = 3", b"SHORTAGES_BORNE = 0"),
    (
        "ks_agent/update.py",
        b"            yield from self._take(offer)\n",
        b"            board = self._ports.board\n"
        b"            if board.name == 'ks_clock' and board._desk is not None:\n"
        b"                raise MemoryError  # as where readers leave no room\n"
        b"            yield from self._take(offer)\n",
    ),
    (
        "ks_board/terminal.py",
        b"            return self._agent.punches.take(",
        b"            while punch[0] == '00B10C':\n                pass\n"
        b"            return self._agent.punches.take(",
    ),
    (
        "ks_driver/reader.py",
        b"                self._pass_on(punch)\n",
        b"                self._pass_on(punch)\n"
        b"                while punch[0] == '0057A1':\n"
        b"                    await asyncio.sleep(9)\n",
    ),
)


def changed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Sources with texts replaced, each of which is there."""
    made = dict(files)
    for path, old, new in CHANGES:
        assert old in made[path], (path, old)
        made[path] = made[path].replace(old, new)
    return made


class ChipWorld(World):
    """As the end-to-end tests' world, with chips as its terminals."""

    def chip_release(self, architecture: str, version: str, counter: int) -> Release:
        sources = changed(chip_application.application_files())
        files = compiled(sources, architecture=architecture, joined=chip_application.JOINED)
        files["version.txt"] = version.encode()
        return release_of(files, self.keys, version, counter)

    async def chip(
        self,
        d1: str,
        interpreter: str = "amd64",
        board: str = "esp32_generic",
        server: str = "",
        heap: str = HEAP,
        **words: str,
    ) -> Chip:
        """A provisioned chip, switched on; `words` of factory.toon."""
        program = find_micropython(interpreter)
        if program is None:
            pytest.skip(f"no MicroPython for {interpreter} here: make micropython says why")
        self.compiles, self.architecture = True, native_architecture(program)
        otrt = await self.api.make_token(d1)
        release = self.chip_release(self.architecture, "1.0.0", 1)
        files = {
            **chip_application.vfs_files(release, self.architecture),
            **factory_files(d1, server or self.server.url, self.keys, otrt=otrt, **words),
        }
        flash = self.folder / f"{d1}.bin"
        write_flash(flash, board_named(board), files, {**NETWORK, "board": board.encode()})
        chip = Chip(d1, flash, tuple(micropython_command(program, interpreter, heap)))
        chip.control("wifi site secret%201 -61", keeps=True)
        self.lives.append(asyncio.create_task(chip.run()))
        return chip

    def stored(self, query: str) -> list[str]:
        """The first column of what is in the server's database."""
        (path,) = (self.folder / "server").glob("*.sqlite3")
        with closing(sqlite3.connect(path)) as database:
            return [str(row[0]) for row in database.execute(query)]

    async def comes(self, query: str, wanted: str) -> None:
        """Wait until the server has stored this."""

        async def ask() -> list[str]:
            return self.stored(query)

        await eventually(ask, lambda found: wanted in found, PATIENCE_S)


@asynccontextmanager
async def chip_world(folder: Path, **settings: str) -> AsyncIterator[ChipWorld]:
    keys = RoleKeys.make()
    chosen = {"REGISTRATION_MODE": "token", "HEARTBEAT_RTO_S": "10", **settings}
    server = ServerProcess(server_settings(folder / "server", keys, **chosen))
    async with server.running(), PunchApi.connect(server.url, server.admin_token) as api:
        made = ChipWorld(folder, keys, server, api)
        try:
            yield made
        finally:
            for life in made.lives:
                life.cancel()
            await asyncio.gather(*made.lives, return_exceptions=True)
