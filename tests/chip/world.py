"""Software ESP32s with the real firmware, and a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ks_simulator import chip_application
from ks_simulator.admin_punches import PunchApi
from ks_simulator.application import Release
from ks_simulator.compiled import compiled
from ks_simulator.interpreters import find_micropython, micropython_command, native_architecture
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from tests.chip.flash_file import board_named, factory_files, release_of, write_flash
from tests.chip.power import Chip
from tests.e2e.world import World

# What a real chip has at its boot, with Wi-Fi up: 145 KB. The fakes of its modules take some too.
HEAPS = {"amd64": "512k", "i386": "176k"}
NETWORK = {"wifi_ssid": b"site", "wifi_password": b"secret 1"}
SLEEP = b"await asyncio.sleep(seconds)"
PACED = b"await asyncio.sleep(seconds / 8)"
Change = tuple[str, bytes, bytes]


def changed(files: Mapping[str, bytes], *changes: Change) -> dict[str, bytes]:
    """Sources with texts replaced, each of which is there."""
    made = dict(files)
    for path, old, new in (("ks_driver/loop.py", SLEEP, PACED), *changes):
        assert old in made[path], (path, old)
        made[path] = made[path].replace(old, new)
    return made


class ChipWorld(World):
    """As the end-to-end tests' world, with chips as its terminals."""

    def chip_release(
        self, architecture: str, version: str, counter: int, *changes: Change
    ) -> Release:
        sources = changed(chip_application.application_files(), *changes)
        files = compiled(sources, architecture=architecture, joined=chip_application.JOINED)
        return release_of(files, self.keys, version, counter)

    async def chip(
        self,
        d1: str,
        *changes: Change,
        interpreter: str = "amd64",
        board: str = "esp32_generic",
        server: str = "",
        **words: str,
    ) -> Chip:
        """A provisioned chip, switched on; `changes` to the sources of its application."""
        program = find_micropython(interpreter)
        if program is None:
            pytest.skip(f"no MicroPython for {interpreter} here: make micropython says why")
        self.compiles, self.architecture = True, native_architecture(program)
        otrt = await self.api.make_token(d1)
        release = self.chip_release(self.architecture, "1.0.0", 1, *changes)
        files = {
            **chip_application.vfs_files(release, self.architecture),
            **factory_files(d1, server or self.server.url, self.keys, otrt=otrt, **words),
        }
        flash = self.folder / f"{d1}.bin"
        write_flash(flash, board_named(board), files, {**NETWORK, "board": board.encode()})
        chip = Chip(d1, flash, tuple(micropython_command(program, interpreter, HEAPS[interpreter])))
        chip.control("wifi site secret%201 -61", keeps=True)
        self.lives.append(asyncio.create_task(chip.run()))
        return chip


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
