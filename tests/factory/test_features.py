"""The factory test of a real terminal's board: reader, every key, lights and tones, its limits."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ks_tools.factory.feature_tests import named
from ks_tools.factory.people import Fixture
from ks_tools.factory.run import Verdict
from ks_tools.factory.steps import REJECT

from .fake_unit import FakeUnit
from .line_support import FakePeople, World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
KEYS = "123456789*0#"
HEAP = {"FREE": "3000000"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_line(tmp_path / "batch", board="ks_clock") as made:
        yield made


def clock(world: World) -> FakeUnit:
    """A terminal at which everything works, once it is used."""
    unit = world.unit()
    unit.readings["memory"] = HEAP
    unit.seen = {"wiegand": ["26 1234567"], "keypad": list(KEYS), "button": ["down", "up"]}
    return unit


def readings_of(world: World) -> dict[str, Any]:
    (row,) = [row for row in world.store.attempts() if row["step"] == "tested"]
    return dict(row["detail"])


def test_every_part_of_the_board_is_tested_and_its_readings_are_recorded(world: World) -> None:
    assert world.plug(clock(world)) is Verdict.PASS
    readings = readings_of(world)
    parts = [name for name, _ in named(world.line.board)]
    assert set(parts) == {"wiegand", "keypad", "button", "led", "buzzer", "ssd1306"}
    assert list(readings) == ["flash", "clock", "memory", "wifi", *parts]
    assert readings["wifi"] == {"rssi_dbm": -50, "least_dbm": -70}
    assert readings["memory"] == {"free_bytes": 3_000_000, "least_bytes": 1_000_000}
    assert readings["clock"]["limit_ms"] >= abs(readings["clock"]["took_ms"] - 50)
    assert readings["wiegand"]["seen"] == ["26 1234567"]
    assert set(readings["keypad"]["seen"]) == set(KEYS)
    for light in ("led", "buzzer", "ssd1306"):
        assert readings[light] == {"confirmed": True}
    assert world.people.acts == ["wiegand", "keypad", "button"]


@pytest.mark.parametrize("key", KEYS)
def test_each_key_that_does_not_work_is_named(world: World, key: str) -> None:
    unit = clock(world)
    unit.seen["keypad"] = [each for each in KEYS if each != key]
    assert world.plug(unit) is Verdict.FAIL
    assert world.said == f"keypad: no key {key}"


@pytest.mark.parametrize("name", ["wiegand", "keypad", "button"])
def test_what_sees_nothing_is_a_reject(world: World, name: str) -> None:
    unit = clock(world)
    unit.seen[name] = []
    assert world.plug(unit) is Verdict.FAIL
    assert world.said == f"{name}: nothing was seen"
    assert world.record(unit).state == REJECT
    assert world.record(unit).serial is None and unit.seed is None, "it has got no key"


@pytest.mark.parametrize("name", ["led", "buzzer", "ssd1306"])
def test_what_nobody_sees_or_hears_is_a_reject(world: World, name: str) -> None:
    world.people.answers[name] = False
    assert world.plug(clock(world)) is Verdict.FAIL
    assert world.said == f"{name}: not confirmed"


def test_what_was_read_before_a_part_failed_is_recorded_too(world: World) -> None:
    unit = clock(world)
    unit.seen["keypad"] = []
    world.plug(unit)
    readings = readings_of(world)
    assert readings["wifi"]["rssi_dbm"] == -50 and readings["wiegand"]["seen"] == ["26 1234567"]
    assert readings["reason"] == "keypad: nothing was seen"


def test_keys_that_were_missed_at_first_are_pressed_again(world: World) -> None:
    unit = clock(world)
    unit.seen["keypad"] = list("123456789")

    class Presses(FakePeople):
        def act(self, port: str, kind: str, text: str) -> None:
            super().act(port, kind, text)
            if "(#*0)" in text:
                unit.seen["keypad"] = list("*0#")

    assert world.plug(unit, people=Presses()) is Verdict.PASS
    assert readings_of(world)["keypad"]["seen"] == list(KEYS)


def test_a_reader_chip_that_is_not_there_is_a_reject(world: World) -> None:
    unit = clock(world)
    unit.readings["wiegand"] = {"VERSION": "FF"}  # as the MFRC522's bus reads without one
    assert world.plug(unit) is Verdict.FAIL
    assert world.said == "wiegand: there is no chip"


def test_what_is_left_out_is_recorded_as_left_out(tmp_path: Path) -> None:
    with a_line(tmp_path / "b", board="ks_clock", test={"skip": ["keypad", "wifi"]}) as world:
        unit = clock(world)
        unit.seen["keypad"] = []
        assert world.plug(unit) is Verdict.PASS
        assert (readings_of(world)["keypad"], readings_of(world)["wifi"]) == (
            "left out",
            "left out",
        )


FIXTURE = """
import sys
from pathlib import Path
with open(Path(__file__).with_name("done"), "a") as file:
    print(*sys.argv[1:], file=file)
sys.exit(sys.argv[2] == {fails!r})
"""


def fixture(folder: Path, world: World, fails: str = "") -> Fixture:
    path = folder / "fixture.py"
    path.write_text(FIXTURE.format(fails=fails))
    return Fixture([sys.executable, "-I", "-S", os.fspath(path)], world.people)


def test_a_fixture_does_what_a_person_would(world: World, tmp_path: Path) -> None:
    assert world.plug(clock(world), people=fixture(tmp_path, world)) is Verdict.PASS
    parts = [name for name, _ in named(world.line.board)]
    done = (tmp_path / "done").read_text().splitlines()
    assert done == [f"/dev/ttyTEST0 {name}" for name in parts]
    assert world.people.acts == []


def test_a_fixture_that_fails_keeps_the_unit_waiting(world: World, tmp_path: Path) -> None:
    unit = clock(world)
    assert world.plug(unit, people=fixture(tmp_path, world, "keypad")) is Verdict.WAIT
    assert world.said.startswith("the fixture fails at keypad")
    assert world.plug(unit, people=fixture(tmp_path, world)) is Verdict.PASS


def test_a_fixture_that_sees_no_light_makes_a_reject(world: World, tmp_path: Path) -> None:
    assert world.plug(clock(world), people=fixture(tmp_path, world, "led")) is Verdict.FAIL
    assert world.said == "led: not confirmed"
