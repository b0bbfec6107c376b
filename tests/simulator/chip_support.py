"""Software chips for tests: a flash that starts, a program of a few lines, and the real esptool."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

from ks_chip.boot import TABLE_OFFSET
from ks_chip.chip import Setup
from ks_chip.flash import Flash
from ks_chip.models import model_named
from ks_chip.rack import Place, Rack

MAC = bytes.fromhex("240ac4010203")
FLASH_BYTES = 1024 * 1024
APPLICATION, VFS = 0x10000, 0x20000
LIMIT_S = 30

# What the chip runs here: tells why it started and what it reads, and does what it is told.
PROGRAM = """
import os, signal, socket, sys
control = socket.create_connection(("127.0.0.1", int(os.environ["KS_CHIP_CONTROL"]))).makefile("rw")
def tell(text):
    control.write(text + "\\n")
    control.flush()
signal.signal(signal.SIGINT, lambda *_: tell("interrupted"))
while (held := control.readline().strip()) != "go":
    print("held", held, flush=True)
tell("pin 2 1")
print("cause", os.environ["KS_CHIP_CAUSE"], os.environ["KS_CHIP"], os.environ["KS_CHIP_MAC"],
      os.path.basename(sys.argv[1]), flush=True)
while line := sys.stdin.readline():
    word, _, rest = line.strip().partition(" ")
    print("heard", line.strip(), flush=True)
    if word == "exit":
        os._exit(int(rest))
    elif word == "tell":
        tell(rest)
    elif word == "world":
        print("came", control.readline().strip(), flush=True)
    elif word == "bite":
        os.kill(os.getpid(), signal.SIGALRM)
"""


def table(partitions: Iterable[tuple[str, int, int, int, int]]) -> bytes:
    """A partition table: (name, type, subtype, offset, size) each."""
    entries = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, name.encode(), 0)
        for name, kind, subtype, offset, size in partitions
    )
    return entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()


def image() -> bytes:
    """What, written to the flash at TABLE_OFFSET, is something to start."""
    parts = {
        TABLE_OFFSET: table(
            [("factory", 0, 0, APPLICATION, 0x10000), ("vfs", 1, 0x81, VFS, 0x10000)]
        ),
        APPLICATION: b"\xe9",
        VFS: b"littlefs",
    }
    whole = bytearray(b"\xff" * (VFS + 4096 - TABLE_OFFSET))
    for offset, data in parts.items():
        whole[offset - TABLE_OFFSET : offset - TABLE_OFFSET + len(data)] = data
    return bytes(whole)


def flashed(path: Path) -> Path:
    """A flash file with something to start."""
    flash = Flash(path, FLASH_BYTES)
    flash.program(TABLE_OFFSET, image())
    flash.close()
    return path


def setup(folder: Path, name: str = "flash", chip: str = "esp32", mac: bytes = MAC) -> Setup:
    """A chip with PROGRAM, on a flash file that is made when it is missing."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-I", "-S", str(program)]
    return Setup(model_named(chip), mac, folder / f"{name}.bin", FLASH_BYTES, command)


@contextmanager
def running(made: Setup, tcp: bool = False) -> Iterator[Place]:
    """One chip, switched on."""
    with Rack([made], tcp) as places:
        yield places[0]


@contextmanager
def port(place: Place) -> Iterator[serial.Serial]:
    """The host's end of its line."""
    with serial.serial_for_url(place.url, timeout=LIMIT_S) as opened:
        yield opened


def hear(line: serial.Serial, text: str) -> str:
    """What the chip says up to these words. Raises AssertionError when it does not say them."""
    heard = bytes(line.read_until(text.encode())).decode(errors="replace")
    assert heard.endswith(text), heard
    return heard


def esptool(place: Place, *arguments: str, check: bool = True) -> str:
    """What the real esptool says, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--port", place.url, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert not check or done.returncode == 0, said
    assert check or done.returncode != 0, said
    return said
