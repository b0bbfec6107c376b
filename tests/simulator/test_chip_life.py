"""The software chip's life: starts, resets, the loader, the line, and the world around it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ks_chip.boot import TABLE_OFFSET
from ks_chip.client import Control
from ks_chip.flash import Flash, WrongSize
from ks_chip.rack import Place, Rack, mac_after, mac_of
from ks_chip.sync import SYNC_FRAME
from ks_chip.world import BadCommand
from tests.simulator.chip_support import (
    APPLICATION,
    FLASH_BYTES,
    LIMIT_S,
    MAC,
    VFS,
    esptool,
    flashed,
    hear,
    image,
    port,
    running,
    setup,
)

SYNCED = b"\xc0\x01\x08\x04\x00\x07\x07\x12\x20\x00\x00\x00\x00\xc0"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A chip whose flash holds something to start."""
    flashed(tmp_path / "flash.bin")
    with running(setup(tmp_path)) as made:
        yield made


@pytest.fixture
def control(place: Place) -> Iterator[Control]:
    with place.control() as made:
        yield made


def test_a_blank_chip_says_that_it_finds_no_header(tmp_path: Path) -> None:
    with running(setup(tmp_path)) as place, port(place) as line, place.control() as control:
        hear(line, "invalid header: 0xffffffff\r\n")
        assert control.ask("state").startswith("halted ")


@pytest.mark.parametrize(
    ("offset", "data", "said"),
    [
        (TABLE_OFFSET + 28, b"\1", "partition table MD5 is wrong"),
        (TABLE_OFFSET + 32, b"\0\0", "partition 1 invalid magic"),
        (TABLE_OFFSET + 7, b"\0", "partition beyond the flash"),
        (APPLICATION, b"\0", "No bootable app partitions"),
        (VFS, b"\xff" * 8, "invalid header: 0xffffffff"),
    ],
)
def test_a_flash_that_is_not_whole_does_not_start(
    tmp_path: Path, offset: int, data: bytes, said: str
) -> None:
    contents = bytearray(b"\xff" * TABLE_OFFSET + image())
    contents[offset : offset + len(data)] = data
    if said == "partition beyond the flash":
        contents[TABLE_OFFSET + 7] = 0x7F
        contents[TABLE_OFFSET + 64 : TABLE_OFFSET + 96] = b"\xff" * 32
    made = setup(tmp_path)
    made.flash.write_bytes(contents.ljust(FLASH_BYTES, b"\xff"))
    with running(made) as place, port(place) as line, place.control() as control:
        hear(line, said)
        assert control.ask("state").startswith("halted ")


def test_a_flashed_chip_runs_its_program_on_the_line(place: Place, control: Control) -> None:
    with port(place) as line:
        control.ask("reset")
        hear(line, "rst:0x1 (POWERON_RESET)")
        hear(line, f"cause 1 esp32 {MAC.hex()} flash.bin")
        line.write(b"good day\n")
        hear(line, "heard good day")


def test_over_tcp_it_is_the_same(tmp_path: Path) -> None:
    flashed(tmp_path / "flash.bin")
    with running(setup(tmp_path), tcp=True) as place, port(place) as line:
        line.write(b"good day\n")
        hear(line, "heard good day")


@pytest.mark.parametrize(
    ("word", "cause", "text"),
    [("exit 75", 2, "rst:0xc (SW_CPU_RESET)"), ("bite", 3, "rst:0x8 (TG1WDT_SYS_RESET)")],
)
def test_a_reset_from_inside_starts_the_program_again(
    place: Place, word: str, cause: int, text: str
) -> None:
    with port(place) as line:
        line.write(word.encode() + b"\n")
        hear(line, text)
        hear(line, f"cause {cause} ")


def test_a_program_that_ends_leaves_the_chip_halted(place: Place, control: Control) -> None:
    with port(place) as line:
        line.write(b"exit 1\n")
        hear(line, "program ended with status 1\r\n")
        control.wait_for("state halted")
        line.write(SYNC_FRAME)
        assert line.read(len(SYNCED)) == SYNCED


def test_a_sync_frame_in_pieces_leads_from_the_program_to_the_loader(
    place: Place, control: Control
) -> None:
    with port(place) as line:
        line.write(b"good day\n")
        hear(line, "heard good day\n")
        for start in range(0, len(SYNC_FRAME), 10):
            line.write(SYNC_FRAME[start : start + 10])
            line.flush()
        assert line.read(8 * len(SYNCED)) == 8 * SYNCED
        control.wait_for("state loader")
    control.wait_for("start 2 pin")
    control.wait_for("state running")


def test_what_only_begins_like_a_sync_frame_reaches_the_program(place: Place) -> None:
    with port(place) as line:
        line.write(SYNC_FRAME[:8].replace(b"\xc0", b"") + b"x\n")
        heard = hear(line, "x\n")
        assert "heard" in heard


def test_esptool_takes_over_a_running_chip_and_lets_it_run_again(
    tmp_path: Path, place: Place, control: Control
) -> None:
    new = tmp_path / "new"
    new.write_bytes(image())
    assert control.ask("state").startswith("running ")
    esptool(place, "write-flash", hex(TABLE_OFFSET), str(new))
    control.wait_for("state loader")
    control.wait_for("state running")


def test_ctrl_c_interrupts_the_program_until_it_forbids_that(
    place: Place, control: Control
) -> None:
    with port(place) as line:
        line.write(b"x\n")
        hear(line, "heard x\n")
        line.write(b"o\x03ne\n")
        hear(line, "heard one\n")
        control.wait_for("interrupted")
        line.write(b"tell kbd_intr -1\ntell event\n")
        hear(line, "heard tell event\n")
        line.write(b"\x03two\n")
        hear(line, "heard \x03two\n")


def test_power_goes_and_comes(place: Place, control: Control) -> None:
    with port(place) as line:
        line.write(b"x\n")
        hear(line, "heard x")
        control.ask("power off")
        line.reset_input_buffer()
        line.timeout = 0.2
        line.write(SYNC_FRAME)
        assert line.read(1) == b""
        line.timeout = LIMIT_S
        with pytest.raises(BadCommand, match="no power"):
            control.ask("reset")
        control.ask("power on")
        hear(line, "cause 1 ")


def test_an_unplugged_line_vanishes_and_comes_back_while_the_program_runs(
    place: Place, control: Control
) -> None:
    control.ask("unplug")
    assert not Path(place.url).exists()
    assert control.ask("state").endswith("plugged=0")
    control.ask("plug")
    with port(place) as line:
        line.write(b"still there\n")
        hear(line, "heard still there")
    assert control.ask("state").startswith("running starts=1 ")


def test_a_second_host_is_not_let_in_over_tcp(tmp_path: Path) -> None:
    flashed(tmp_path / "flash.bin")
    with running(setup(tmp_path), tcp=True) as place, port(place) as line:
        line.write(b"x\n")
        hear(line, "heard x")
        host, _, number = place.url.removeprefix("socket://").partition(":")
        second = socket.create_connection((host, int(number)), timeout=LIMIT_S)
        with second, suppress(ConnectionResetError):
            assert second.recv(1) == b""
        line.write(b"y\n")
        hear(line, "heard y")


def test_the_program_learns_what_holds_before_it_starts_and_what_changes(
    place: Place, control: Control
) -> None:
    told = ("pin 4 0", "pin 5 1", "pin 4 1", "wire 6 7 1", "wifi home%20net  -60", "cut after 700")
    for command in told:
        control.ask(command)
    with port(place) as line:
        control.ask("reset")
        heard = hear(line, "cause")
        held = [text[5:] for text in heard.splitlines() if text.startswith("held ")]
        assert sorted(held) == sorted(told[1:])
        line.write(b"world\n")
        hear(line, "heard world")
        control.ask("uart 1 0203")
        hear(line, "came uart 1 0203")


def test_what_the_program_tells_is_an_event_for_every_tester(
    place: Place, control: Control
) -> None:
    with place.control() as other, port(place) as line:
        line.write(b"tell oled Good day\n")
        for tester in (control, other):
            assert tester.wait_for("oled") == "oled Good day"


def test_operations_of_the_program_count_towards_the_cut(place: Place, control: Control) -> None:
    before = int(control.ask("state").split("operations=")[1].split()[0])
    control.ask("cut after 10")
    with port(place) as line:
        line.write(b"tell operations 4\nexit 75\n")
        hear(line, "cause 2 ")
    assert f"operations={before + 4} left=6 " in control.ask("state")


def test_a_program_that_loses_its_power_in_the_flash_leaves_the_chip_off(
    place: Place, control: Control
) -> None:
    control.ask("cut after 3")
    with port(place) as line:
        line.write(b"exit 77\n")
        control.wait_for("state off")
    assert " left=- " in control.ask("state")


@pytest.mark.parametrize(
    "command",
    [
        "pin", "pin 4", "pin x 0", "pin 4 2", "wire 4 5", "wire 4 5 2", "uart 1 xyz", "wifi a",
        "wifi a b c", "cut",
        "cut after", "cut after x", "cut after 1 z", "power", "power up", "noise", "noise -1",
        "slow x", "garbage", "garbage -1", "nonsense",
    ],
)  # fmt: skip
def test_a_command_that_is_none_is_refused(no_program: Control, command: str) -> None:
    with pytest.raises(BadCommand, match="not understood"):
        no_program.ask(command)
    assert no_program.ask("state").startswith("halted ")


@pytest.fixture(scope="module")
def no_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A blank chip, for whoever does not change it."""
    with running(setup(tmp_path_factory.mktemp("blank"))) as place, place.control() as control:
        yield control


def test_garbage_and_noise_reach_the_host(place: Place, control: Control) -> None:
    with port(place) as line:
        line.write(b"x\n")
        hear(line, "heard x\n")
        control.ask("garbage 100")
        assert len(line.read(100)) == 100
        control.ask("noise 2")
        line.write(b"abcd\n")
        heard = line.read(len("heard abcd\n"))
        right = b"heard abcd\n"
        assert sum(a != b for a, b in zip(heard, right, strict=True)) in (5, 6)


def test_the_chips_of_a_rack_are_told_apart_and_run_side_by_side(tmp_path: Path) -> None:
    setups = []
    for number in range(3):
        flashed(tmp_path / f"chip{number}.bin")
        setups.append(setup(tmp_path, f"chip{number}", mac=mac_after(MAC, number)))
    with Rack(setups) as places:
        for place in places:
            with port(place) as line, place.control() as control:
                control.ask("reset")
                hear(line, f" {place.mac.hex()} {place.flash.name}")
    assert len({place.mac for place in places}) == 3
    assert not any(Path(place.url).exists() for place in places)


def test_a_mac_is_that_of_the_flash_file_unless_told(tmp_path: Path) -> None:
    assert mac_of(tmp_path / "a") == mac_of(tmp_path / "a") != mac_of(tmp_path / "b")
    assert mac_after(b"\x24\x0a\xc4\0\0\xff", 1).hex(":") == "24:0a:c4:00:01:00"


def test_a_rack_whose_port_cannot_be_had_says_so(tmp_path: Path) -> None:
    (tmp_path / "flash.pty").write_text("a file")
    with pytest.raises(FileExistsError), Rack([setup(tmp_path)]):
        pass


def test_a_flash_of_another_size_is_refused(tmp_path: Path) -> None:
    Flash(tmp_path / "flash.bin", FLASH_BYTES // 2).close()
    with pytest.raises(WrongSize, match="no flash of"), Rack([setup(tmp_path)]):
        pass
