"""Features on the software ESP32's own `machine`: both fakes of it mean the same."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.micropython import ROOT

LIMIT_S = 60

PROGRAM = """\
import asyncio
import builtins
import sys

sys.path[:0] = [%r, %r]


class Chip:
    # What machine.py needs of the chip of start.py, without its flash.
    def __init__(self):
        self.handlers = {}
        self.told = []

    def on(self, word, handler):
        self.handlers[word] = handler

    def event(self, text):
        self.told.append(text)

    def bring(self, name, names):
        names.update(__import__("chip_" + name).__dict__)

    def poll(self):
        pass

    def obey(self, line):
        self.handlers[line.split(" ")[0]](line.split(" "))


builtins.CHIP = chip = Chip()
__import__("machine")
from ks_board.desk import Desk
from ks_board.features import load

RECORD = {"FEATURE": [
    {"KIND": "wiegand", "OPTIONS": "bits=26,34", "PINS": "d0=34 d1=35"},
    {"KIND": "keypad", "OPTIONS": "keys=123456789*0#", "PINS": "cols=25,33,32 rows=13,14,27,26"},
    {"KIND": "button", "OPTIONS": "active=low role=in", "PINS": "pin=36"},
    {"KIND": "rdm6300", "OPTIONS": "uart=2", "PINS": "rx=17"},
    {"KIND": "led", "OPTIONS": "", "PINS": "pin=16"},
    {"KIND": "buzzer", "OPTIONS": "", "PINS": "pin=4"},
    {"KIND": "ssd1306", "OPTIONS": "address=60 height=64 width=128", "PINS": "scl=22 sda=21"},
]}


async def story():
    desk = Desk(put=lambda punch: print("punch", *punch))
    load(RECORD, desk)
    desk.start()
    await desk.pause(50)
    for wire in ("13 33", "14 32", "26 32"):  # 2, 6 and #
        chip.obey("wire " + wire + " 1")
        await desk.pause(100)
        chip.obey("wire " + wire + " 0")
        await desk.pause(100)
    chip.obey("pin 36 0")
    await desk.pause(100)
    chip.obey("pin 36 1")
    chip.obey("uart 2 0236324533303836434544303803")
    await desk.pause(100)
    for bit in "10111101110110010011011101":
        for level in "01":
            chip.obey("pin " + ("35 " if bit == "1" else "34 ") + level)
    await desk.pause(100)
    desk.show("punch", {"A2": "IN"})
    await desk.pause(100)
    print("faults", desk.faults)
    desk.close()
    await asyncio.sleep_ms(1)
    for word in ("pin 16 1", "pwm 4 4000", "i2c 60 "):
        print([text for text in chip.told if text.startswith(word)] != [])


asyncio.run(story())
"""


def test_they_work_there_as_on_the_bench(
    tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    program = tmp_path / "program.py"
    folders = (str(ROOT / "firmware"), str(ROOT / "simulator" / "ks_chip" / "device"))
    program.write_text(PROGRAM % folders)
    done = subprocess.run(
        [micropython("i386"), "-X", "heapsize=400k", program],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "punch 26 PIN ",
        "punch 62E3086CED RFID IN",
        "punch 7BB26E RFID ",
        "faults {}",
        "True",
        "True",
        "True",
    ], done.stderr
