"""What esptool wrote is what runs: a LittleFS with a boot.py, under MicroPython, on one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ks_chip.rack import NoInterpreter, Place, program_command, setup_of
from tests.chip.flash_file import board_named, write_flash
from tests.simulator.chip_support import MAC, esptool, hear, port, running

# Tells of itself, and does what it reads.
BOOT = b"""
import machine, network, os, sys, time
from esp32 import NVS
print("boot", machine.reset_cause(), machine.unique_id().hex(), machine.Pin(4).value())
count = NVS("ks")
try:
    starts = count.get_i32("starts")
except OSError:
    starts = 0
print("starts", starts)
while True:
    try:
        line = sys.stdin.readline().strip()
        print("heard", line)
        if line == "count":
            count.set_i32("starts", starts + 1)
            count.commit()
            print("counted")
        elif line == "reset":
            machine.reset()
        elif line == "hang":
            machine.WDT(timeout=300)
            while True:
                pass
        elif line == "write":
            with open("/file", "w") as file:
                file.write("x" * 20000)
            print("written", os.stat("/file")[6])
        elif line == "size":
            print("size", os.stat("/file")[6] if "file" in os.listdir("/") else None)
        elif line == "lamp":
            machine.Pin(2, machine.Pin.OUT).value(1)
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.fixture(scope="module")
def flash_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What esptool is given: the flash from the partition table to the end of `vfs`."""
    board = board_named("esp32_generic")
    whole = tmp_path_factory.mktemp("image") / "whole"
    write_flash(whole, board, {"boot.py": BOOT}, {})
    vfs = board.partitions["vfs"]
    image = whole.with_name("image")
    image.write_bytes(whole.read_bytes()[0x8000 : vfs.offset + vfs.size])
    return image


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A blank chip, which would run what is flashed under MicroPython."""
    try:
        program_command()
    except NoInterpreter as error:
        pytest.skip(str(error))
    made = setup_of("esp32", tmp_path / "flash.bin", board_named("esp32_generic").flash, MAC)
    with running(replace(made, mac=MAC)) as switched_on:
        yield switched_on


def test_a_flashed_chip_lives_and_is_flashed_again(place: Place, flash_image: Path) -> None:
    with place.control() as control:
        control.ask("pin 4 1")
        esptool(place, "write-flash", "0x8000", str(flash_image))
        control.wait_for("state running")
        with port(place) as line:
            control.ask("reset")
            hear(line, f"boot 1 {MAC.hex()} 1\n")
            hear(line, "starts 0\n")
            line.write(b"count\n")
            hear(line, "counted\n")
            line.write(b"reset\n")
            hear(line, f"boot 2 {MAC.hex()} 1\n")
            hear(line, "starts 1\n")
            line.write(b"lamp\n")
            assert control.wait_for("pin 2") == "pin 2 1"
            line.write(b"\x03")
            hear(line, "interrupted\n")
            line.write(b"hang\n")
            hear(line, "rst:0x8 (TG1WDT_SYS_RESET)")
            hear(line, f"boot 3 {MAC.hex()} 1\n")
        assert "Verification successful" not in esptool(
            place, "verify-flash", "0x8000", str(flash_image), check=False
        )
        esptool(place, "write-flash", "0x8000", str(flash_image))
        with port(place) as line:
            control.ask("reset")
            hear(line, "starts 0\n")


def test_a_power_cut_in_the_programs_own_flash_write_leaves_a_flash_that_starts(
    place: Place, flash_image: Path
) -> None:
    esptool(place, "write-flash", "0x8000", str(flash_image))
    with place.control() as control, port(place) as line:
        control.ask("cut after 3 unplug")
        control.ask("reset")
        hear(line, "starts 0\n")
        line.write(b"write\n")
        control.wait_for("state off")
        control.ask("plug")
    with place.control() as control, port(place) as line:
        control.ask("power on")
        hear(line, "starts 0\n")
        line.write(b"size\n")
        hear(line, "size ")
        assert line.readline() in (b"None\n", b"0\n")
        line.write(b"write\n")
        hear(line, "written 20000\n")
