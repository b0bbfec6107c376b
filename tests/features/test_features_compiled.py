"""Features as a terminal has them: as bytecode, linked and with short names, in little memory."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ks_simulator.compiled import compiled
from ks_tools.boards_chips import HEAP_BYTES
from tools.micropython import ROOT

FIRMWARE = ROOT / "firmware"
DEVICE = Path(__file__).parent / "device"
LIMIT_S = 60
# Live bytes of 32 bit, code and objects, the fakes of buses included.
MOST_BYTES = 3584
DESK_BYTES = 3072

ROWS = {
    "wiegand": "d0=34 d1=35",
    "rdm6300": "rx=16",
    "mfrc522": "cs=5 miso=19 mosi=23 rst=17 sck=18",
    "keypad": "cols=25,33,32 rows=13,14,27,26",
    "button": "pin=36",
    "led": "green=2 red=15",
    "buzzer": "pin=12",
    "ssd1306": "scl=22 sda=21",
}

ENTRY = """\
import gc
import sys

sys.path[:0] = [%r, %r]
import feature_machine



class Pins:
    # A chip's take no memory: they lie in the image.
    IN = OUT = OPEN_DRAIN = PULL_UP = PULL_DOWN = IRQ_FALLING = 1

    def __call__(self, *words, **named):
        return self

    def irq(self, *words):
        pass


found = feature_machine.modules()
for name in found:
    sys.modules[name] = found[name]
found["machine"].Pin = Pins()
feature_machine.SPI.chip = feature_machine.I2C.panel = None
import asyncio

asyncio.sleep, asyncio.Event, asyncio.create_task
gc.collect()
before = gc.mem_alloc()
from ks_board.desk import Desk
from ks_board.features import load

Desk()
gc.collect()
print("desk", gc.mem_alloc() - before)
rows = %r
for kind in sys.argv[1:]:
    desk = Desk()
    record = {"FEATURE": [{"KIND": kind, "PINS": rows[kind], "OPTIONS": ""}]}
    known = list(sys.modules)
    gc.collect()
    before = gc.mem_alloc()
    load(record, desk)
    gc.collect()
    taken = gc.mem_alloc() - before
    print(kind, taken, len([name for name in sys.modules if name not in known]), desk.faults)
    if kind in ("wiegand", "keypad", "button"):
        desk.begin(kind)
        asyncio.run(desk.pause(1))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An application that loads features by its arguments."""
    root = tmp_path_factory.mktemp("compiled")
    paths = [FIRMWARE / "ks_board" / "desk.py", *(FIRMWARE / "ks_board" / "features").glob("*.py")]
    files = {path.relative_to(FIRMWARE).as_posix(): path.read_bytes() for path in paths}
    entry = ENTRY % (str(root), str(DEVICE), ROWS)
    for name, content in compiled({**files, "main.py": entry.encode()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def loaded(program: Path, folder: Path, *kinds: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [program, "-X", "heapsize=400k", folder / "main.py", *kinds],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    lines = [line.split(" ", 3) for line in done.stdout.splitlines()]
    return {words[0]: words[1:] for words in lines}


@pytest.mark.parametrize("kind", ROWS)
def test_a_feature_takes_little_memory(
    kind: str, folder: Path, micropython: Callable[[str], Path]
) -> None:
    told = loaded(micropython("i386"), folder, kind)
    taken, _, faults = told[kind]
    assert faults == "{}"
    assert int(taken) <= MOST_BYTES
    assert 0.8 * HEAP_BYTES[kind] <= int(taken) <= HEAP_BYTES[kind]  # by which boards are judged
    assert int(told["desk"][0]) <= DESK_BYTES


def test_a_feature_brings_its_own_code_and_no_other_s(
    folder: Path, micropython: Callable[[str], Path]
) -> None:
    told = loaded(micropython("i386"), folder, *ROWS)
    modules = {kind: int(told[kind][1]) for kind in ROWS}
    # The first of those with patterns loads what plays them.
    assert modules == {**dict.fromkeys(ROWS, 1), "led": 2}
