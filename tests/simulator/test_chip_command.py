"""`ks chip`: what a developer starts, flashes and makes fail."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ks_chip.rack import NoInterpreter, Place, program_command
from ks_tools.cli import run
from tests.simulator.chip_support import esptool

KS = [sys.executable, "-c", "from ks_tools.cli import main; main()", "chip"]


@pytest.fixture(autouse=True)
def micropython() -> None:
    try:
        program_command()
    except NoInterpreter as error:
        pytest.skip(str(error))


@contextmanager
def started(folder: Path, *options: str, count: int = 1) -> Iterator[list[Place]]:
    """What `ks chip run` says it started."""
    with subprocess.Popen(
        [*KS, "run", "--flash", str(folder / "unit.bin"), "--count", str(count), *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as chips:
        assert chips.stdout is not None
        places = []
        for _ in range(count):
            url, mac, _, control, _, flash = chips.stdout.readline().split()
            places.append(
                Place(url, int(control), Path(flash), bytes.fromhex(mac.replace(":", "")))
            )
        try:
            yield places
        finally:
            chips.send_signal(signal.SIGINT)
            assert chips.wait(30) == 130


def test_chips_are_run_side_by_side_and_flashed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"for the second one")
    options = ["--board", "esp32c3", "--mac", "24:0a:c4:00:00:09"]
    with started(tmp_path, *options, count=2) as places:
        assert [place.mac_text for place in places] == ["24:0a:c4:00:00:09", "24:0a:c4:00:00:0a"]
        said = esptool(places[1], "write-flash", "0", str(data))
        assert "ESP32-C3" in said
        assert "24:0a:c4:00:00:0a" in said
        assert Path(places[0].url).name == "unit-1.pty"
    assert (tmp_path / "unit-2.bin").read_bytes().startswith(b"for the second one\xff")
    assert (tmp_path / "unit-1.bin").stat().st_size == 4 * 1024 * 1024
    assert not list(tmp_path.glob("*.pty"))


def test_a_chip_on_tcp_does_what_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path, "--tcp", "127.0.0.1:0") as (place,):
        assert place.url.startswith("socket://127.0.0.1:")
        told = str(place.control_port)
        for words, answer in [
            (["pin", "4", "0"], "ok"),
            (["power", "off"], "ok"),
            (["state"], "off starts=1 operations=0 left=- plugged=1"),
        ]:
            assert run(["chip", "tell", told, *words]) == 0
            assert capsys.readouterr().out == f"{answer}\n"
        assert run(["chip", "tell", told, "jump"]) == 1
        assert capsys.readouterr().err == "ks: not understood: jump\n"


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--board", "toaster"], 1, "there is no board toaster; see: ks boards"),
        (["--mac", "24:0a"], 2, "24:0a is no MAC"),
        (["--mac", "24:0a:c4:00:00:0x"], 2, "24:0a:c4:00:00:0x is no MAC"),
        (["--tcp", "7777"], 2, "7777 is no HOST:PORT"),
        (["--tcp", "127.0.0.1:1", "--pty", "link"], 2, "either a pty or TCP"),
    ],
)
def test_what_cannot_be_started_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, said: str
) -> None:
    assert run(["chip", "run", "--flash", str(tmp_path / "unit.bin"), *options]) == status
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_flash_and_a_port_that_is_taken_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flash = tmp_path / "unit.bin"
    flash.write_bytes(b"a letter")
    assert run(["chip", "run", "--flash", str(flash)]) == 1
    assert "is no flash of 4194304 bytes" in capsys.readouterr().err
    flash.unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["chip", "run", "--flash", str(flash), "--tcp", f"127.0.0.1:{port}"]) == 1
    assert "address already in use" in capsys.readouterr().err
