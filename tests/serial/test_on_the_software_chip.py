"""The factory's console and setup mode on the software ESP32: the release that was flashed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from ks_chip.rack import NoInterpreter, Place, Rack, program_command, setup_of
from ks_simulator import chip_application
from ks_simulator.keys import RoleKeys
from ks_tools.device_link import DeviceLink, DeviceSilent
from tests.chip.flash_file import board_named, release_of, write_flash
from tests.only_once import Compiler
from tests.serial.desk import NETWORK, provision

LIMIT_S = 20
BOARD = "esp32_generic"


def architecture() -> str:
    try:
        command = program_command()
    except NoInterpreter as error:
        pytest.skip(str(error))
    return "x86" if any("i386" in word for word in command) else "x64"


@contextmanager
def flashed(folder: Path, compiler: Compiler) -> Iterator[Place]:
    """A chip with firmware that nobody has provisioned, switched on."""
    arch = architecture()
    files = compiler(chip_application.application_files(), architecture=arch)
    release = release_of(files, RoleKeys.make())
    flash = folder / "unit.bin"
    board = board_named(BOARD)
    write_flash(flash, board, chip_application.vfs_files(release, arch), {})
    with Rack([setup_of(board.chip, flash, board.flash)]) as (place,):
        yield place


@pytest.mark.long
def test_a_flashed_chip_is_provisioned_and_closes_its_serial_line(
    tmp_path: Path, compiler: Compiler
) -> None:
    printed: list[str] = []
    with (
        flashed(tmp_path, compiler) as place,
        DeviceLink(place.url, on_console=printed.append) as device,
    ):
        with place.control() as control:
            control.ask(f"wifi {quote(NETWORK[0])} {quote(NETWORK[1])} -61")
        told = device.hello(LIMIT_S)
        assert (told.state, told.board, told.chip) == ("blank", BOARD, "esp32")
        assert told.mac == place.mac.hex()
        assert told.release == "1.0.0"
        assert told.heap > 8_000
        assert int(device.test("flash")["FREE"]) > 100_000
        assert device.test_wifi(*NETWORK) == -61
        provision(device)
        for _ in range(LIMIT_S):
            if any(line.startswith("EVENT offline") for line in printed):
                break
            device.listen(1)
        else:
            pytest.fail(f"no life of its own: {printed}")
        with pytest.raises(DeviceSilent):
            device.hello(0.5)
