"""A site's network changes: the button, `ks setup`, and a heartbeat over the new one. All real but
the chip: the release that was flashed, the server, the command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ks_chip.client import Control
from ks_chip.rack import Rack, setup_of
from ks_simulator import chip_application
from ks_simulator.admin import AdminApi, eventually
from ks_simulator.keys import RoleKeys
from ks_simulator.server import ServerProcess, server_settings
from ks_tools.cli import run
from ks_tools.device_link import DeviceLink, DeviceSilent
from tests.chip.flash_file import board_named, factory_files, release_of, write_flash
from tests.only_once import Compiler
from tests.serial.test_on_the_software_chip import BOARD, architecture

BUTTON = 0
LABEL = "label-4711"
OLD, NEW = ("site", "secret 1"), ("Site 7", "the new one")
PATIENCE_S = 300.0


def air(control: Control, network: tuple[str, str]) -> None:
    """From now on there is this network, and no other."""
    control.ask(f"wifi {network[0].replace(' ', '%20')} {network[1].replace(' ', '%20')} -60")


async def heartbeats(api: AdminApi, after: str = "") -> str:
    """When the next one came."""

    async def ask() -> str:
        device: dict[str, Any] | None = await api.device("dev-1")
        return (device or {}).get("last_heartbeat") or ""

    return await eventually(ask, lambda found: found > after, PATIENCE_S)


def write_unit(flash: Path, url: str, otrt: str, keys: RoleKeys, compiler: Compiler) -> None:
    arch = architecture()
    sources = compiler(chip_application.application_files(), architecture=arch)
    release = release_of(sources, keys)
    words = factory_files("dev-1", url, keys, otrt=otrt)
    files = {**chip_application.vfs_files(release, arch), **words}
    vault = {"wifi_ssid": OLD[0], "wifi_password": OLD[1], "setup": LABEL}
    board = board_named(BOARD)
    write_flash(flash, board, files, {name: text.encode() for name, text in vault.items()})


def give_the_network(port: str, control: Control, secret: Path) -> Callable[[], None]:
    """What a person does at the terminal, for a thread of its own."""

    def person() -> None:
        with DeviceLink(port) as device, pytest.raises(DeviceSilent):
            device.hello(0.5)  # provisioned, and nobody has touched it
        control.ask(f"pin {BUTTON} 0")
        control.wait_for(f"ap dev-1 {LABEL}", timeout_s=PATIENCE_S)
        control.ask(f"pin {BUTTON} 1")
        assert run(["setup", port]) == 0
        air(control, NEW)
        command = ["setup", port, "--ssid", NEW[0], "--password-file", str(secret)]
        assert run(command) == 0
        control.wait_for("ap off", timeout_s=PATIENCE_S)

    return person


@pytest.mark.long
async def test_the_button_and_ks_setup_move_a_terminal_to_another_network(
    tmp_path: Path, compiler: Compiler, capfd: pytest.CaptureFixture[str]
) -> None:
    flash, secret = tmp_path / "unit.bin", tmp_path / "password"
    secret.write_text(NEW[1] + "\n", encoding="utf-8")
    keys = RoleKeys.make()
    chosen = {"REGISTRATION_MODE": "token", "HEARTBEAT_RTO_S": "10"}
    server = ServerProcess(server_settings(tmp_path / "server", keys, **chosen))
    async with server.running(), AdminApi.connect(server.url, server.admin_token) as api:
        write_unit(flash, server.url, await api.make_token("dev-1"), keys, compiler)
        board = board_named(BOARD)
        rack = Rack([setup_of(board.chip, flash, board.flash)])
        with rack as (place,), place.control() as control:
            air(control, OLD)
            await heartbeats(api)
            await asyncio.to_thread(give_the_network(place.url, control, secret))
            left = await heartbeats(api)
            await heartbeats(api, after=left)
            assert control.events()[-1] != "wifi left"
    said = capfd.readouterr().out
    assert "dev-1" in said
    assert "provisioned" in said
    assert "Site 7 is kept" in said
    assert NEW[1] not in said
