"""The handshake whole: DeviceLink of the host, pyserial, a pty, and the console on MicroPython."""

from __future__ import annotations

import os
import pty
import subprocess
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ks_agent import signing, toon
from ks_server.crypto import NaclCrypto
from ks_tools.device_link import DeviceLink, DeviceRefused
from tests.serial.desk import NETWORK, WORDS, provision
from tools.micropython import ARCHITECTURES, ROOT

RESTART = 75
LIMIT_S = 60
# Sources are compiled at each start, which takes more than a chip's release does.
HEAPS = {"i386": "320k", "amd64": "640k"}
Start = Callable[[], subprocess.Popen[bytes]]


@contextmanager
def terminal(program: Path, architecture: str, folder: Path) -> Iterator[tuple[str, Start]]:
    """The host's path of a pty, and what boots the terminal at its other end."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    heap = f"heapsize={HEAPS[architecture]}"
    script = ROOT / "tests" / "serial" / "on_micropython.py"
    command: list[str | Path] = [program, "-X", heap, script, ROOT / "firmware", folder]
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, stdin=ours, stdout=ours, stderr=ours))
        return started[-1]

    try:
        yield os.ttyname(theirs), start
    finally:
        for process in started:
            process.kill()
            process.wait()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_blank_terminal_is_provisioned_over_a_pty(
    architecture: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    printed: list[str] = []
    with terminal(micropython(architecture), architecture, tmp_path) as (path, start):
        process = start()
        with DeviceLink(path, on_console=printed.append) as device:
            told = device.hello()
            assert (told.state, told.mac, told.board) == ("blank", "30aea4010203", "ks_clock")
            assert told.micropython == "1.25.0"
            assert told.heap > 0
            assert int(device.test("flash")["FREE"]) > 0
            readings = device.test("clock")
            assert int(readings["MS"]) >= 49
            assert device.test_wifi(*NETWORK) == -40 - len("".join(NETWORK))
            with pytest.raises(DeviceRefused, match="NOT_KEYED"):
                device.seal()
            public = provision(device)
        assert process.wait(LIMIT_S) == RESTART
    words = toon.decode((tmp_path / "factory.toon").read_bytes(), 4096)
    assert words == WORDS
    seed = (tmp_path / "nvs" / "key").read_bytes()
    assert signing.b64(NaclCrypto().public_key(seed)) == public
    shown = "\n".join(printed)
    assert "not provisioned" in shown
    for secret in (NETWORK[1], WORDS["OTRT"], "label-4711", seed.hex()):
        assert secret not in shown


def test_a_terminal_that_was_killed_in_the_middle_goes_on(
    micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    with terminal(micropython("i386"), "i386", tmp_path) as (path, start):
        process = start()
        with DeviceLink(path) as device:
            device.hello()
            public = device.make_key()
            process.kill()
            process.wait()
            process = start()
            with pytest.raises(DeviceRefused, match="NO_SESSION"):
                device.prove("KS-000001", public)
            assert device.hello().state == "keyed"
            assert provision(device) == public
        assert process.wait(LIMIT_S) == RESTART
