"""Features are made as the board's record lists them, and no other code is loaded."""

import sys

from feature_bench import Bench, Installed, features
from feature_machine import UART, Pin

from ks_agent import toon

# As ks_tools.board_file writes the example of a real terminal.
RECORD = b"""\
CHIP: esp32
FEATURE[6]{KIND,OPTIONS,PINS}:
  wiegand,"bits=26,34","d0=34 d1=35"
  keypad,keys=123456789*0#,"cols=25,33,32 rows=13,14,27,26"
  button,active=low role=setup,pin=36
  led,"",pin=2
  buzzer,"",pin=4
  ssd1306,address=60 height=64 width=128,scl=22 sda=21
NAME: ks_clock
"""


def loaded(record):
    bench = Bench()
    with Installed():
        features.load(record, bench)
    return bench


def row(kind, pins, options=""):
    return {"KIND": kind, "PINS": pins, "OPTIONS": options}


def test_a_whole_terminal_is_made_of_its_record():
    bench = loaded(toon.decode(RECORD, len(RECORD)))
    assert sorted(bench.features) == ["button", "buzzer", "keypad", "led", "ssd1306", "wiegand"]
    assert bench.faults == {}
    assert None not in bench.features.values()
    assert sorted(Pin.made) == [2, 4, 13, 14, 21, 22, 25, 26, 27, 32, 33, 34, 35, 36]


def test_every_kind_can_be_loaded():
    record = {
        "FEATURE": [
            row("wiegand", "d0=34 d1=35"),
            row("rdm6300", "rx=16", "uart=2"),
            row("mfrc522", "cs=5 miso=19 mosi=23 rst=17 sck=18", "spi=1"),
            row("keypad", "cols=25,33,32 rows=13,14,27,26"),
            row("button", "pin=36"),
            row("led", "green=4 red=2"),
            row("buzzer", "pin=12"),
            row("ssd1306", "scl=22 sda=21"),
        ]
    }
    bench = loaded(record)
    assert bench.faults == {}
    assert len([each for each in bench.features.values() if each is not None]) == 8
    assert UART.last.number == 2


def test_a_board_without_features_has_none():
    assert loaded({"NAME": "esp32_generic"}).features == {}
    assert loaded({}).features == {}


def test_two_of_a_kind_have_two_names():
    rows = [row("button", "pin=%d" % pin, "role=" + role) for pin, role in ((4, "in"), (5, "out"))]
    bench = loaded({"FEATURE": rows})
    assert sorted(bench.features) == ["button", "button2"]
    bench.begin("button2")
    bench.features["button2"]._pressed()
    bench.features["button"]._pressed()
    assert bench.end("button2") == ["out"]


def test_what_cannot_be_made_is_a_fault_and_the_others_work():
    rows = [
        row("camera", "pin=1"),
        row("wiegand", "d0=34"),
        row("keypad", "cols=1,2 rows=3,4", "keys=1"),
        row("led", "pin=x"),
        {"KIND": "buzzer"},
        row("button", "pin=36"),
    ]
    bench = loaded({"FEATURE": rows})
    assert sorted(bench.faults) == ["buzzer", "camera", "keypad", "led", "wiegand"]
    assert bench.faults["camera"] == "no feature camera"
    assert [name for name in bench.features if bench.features[name] is not None] == ["button"]


def test_only_the_code_of_what_is_there_is_loaded():
    kept = {}
    for name in list(sys.modules):
        if name.startswith("ks_board.features."):
            kept[name] = sys.modules.pop(name)
    try:
        loaded({"FEATURE": [row("wiegand", "d0=34 d1=35")]})
        found = [name for name in sys.modules if name.startswith("ks_board.features.")]
        assert found == ["ks_board.features.wiegand"]
        loaded({"FEATURE": [row("led", "pin=2")]})
        assert "ks_board.features.player" in sys.modules
        assert "ks_board.features.buzzer" not in sys.modules
    finally:
        for name in list(sys.modules):
            if name.startswith("ks_board.features."):
                del sys.modules[name]
        sys.modules.update(kept)
