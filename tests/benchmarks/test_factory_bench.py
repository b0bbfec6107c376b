"""What the benchmark of the factory line is made of: its cable, its watches, its figures."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import serial

from benchmarks import factory_run
from benchmarks.factory_line import SIDE_BY_SIDE, Found, port_figures, unit_figures
from benchmarks.factory_run import Clock, Turn, Watch, WatchedEsptool, work
from benchmarks.factory_station import write_micropython
from benchmarks.figure import Unavailable
from benchmarks.paced import ERASE_FLASH, USB_FRAME_S, Pace, PacedRack
from benchmarks.process import computer_cpu_s
from ks_chip.chip import Setup
from ks_chip.models import model_named
from ks_chip.slip import frame
from ks_tools.board_file import find_board
from ks_tools.factory.steps import NAMES
from ks_tools.image_micropython import read_image
from tests.factory.line_support import PORT, World, a_line

BOARD = "esp32_generic"


# The cable.


def test_bytes_take_ten_bits_each_after_those_before_them() -> None:
    pace = Pace()
    first = pace.due(10.0, 1000, 10_000)
    assert first == pytest.approx(10.0 + USB_FRAME_S + 1.0)
    assert pace.due(10.5, 1000, 20_000) == pytest.approx(first + 0.5)
    assert pace.due(20.0, 10, 100) == pytest.approx(20.0 + USB_FRAME_S + 1.0)


def test_nothing_arrives_at_the_same_time_as_what_was_sent_before_it() -> None:
    pace = Pace()
    assert pace.due(1.0, 5, 115_200) < pace.due(1.0, 0, 115_200)


def test_what_is_held_back_is_sent_in_order_later() -> None:
    pace = Pace()
    pace.hold(20.0)
    first = pace.due(1.0, 1, 115_200)
    assert 20.0 < first < pace.due(1.0, 1, 115_200)


def test_a_chip_at_the_end_of_such_a_cable_is_heard_word_by_word(tmp_path: Path) -> None:
    setup = Setup(model_named("esp32"), bytes(6), tmp_path / "chip.bin", 4 << 20, ["true"])
    with PacedRack([setup]) as (place,), closing(serial.Serial(place.url, 921_600)) as port:
        port.timeout = 60
        with place.control() as control:
            control.ask("reset")
        assert port.read_until(b"boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n").startswith(b"ets Jul 29")
        assert port.readline() == b"invalid header: 0xffffffff\r\n"


def test_only_esptools_erasure_of_the_whole_flash_is_slow() -> None:
    assert frame(struct.pack("<BBHI", 0, 0xD0, 0, 0)).startswith(ERASE_FLASH)
    assert not frame(struct.pack("<BBHI", 0, 0xD1, 8, 0) + bytes(8)).startswith(ERASE_FLASH)


# The image.


def test_the_stand_in_for_micropython_packs_like_a_program(tmp_path: Path) -> None:
    board = find_board(BOARD)
    write_micropython(tmp_path / "image.bin", board, 100_000)
    application = read_image(tmp_path / "image.bin", board).application
    assert 100_000 < len(application) < 110_000
    assert 0.6 < len(zlib.compress(application)) / len(application) < 0.7


# The watches.


class Power:
    """In place of the chips' controls: notes what is asked of which."""

    asked: list[tuple[int, str]]

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Power:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, command: str) -> None:
        self.asked.append((self._port, command))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(factory_run, "Control", Power)
    monkeypatch.setattr(Power, "asked", [], raising=False)
    with a_line(tmp_path / "batch") as made:
        yield made


def test_a_unit_is_watched_step_by_step_and_loses_its_power(world: World) -> None:
    unit, clock = world.unit(), Clock({PORT: 4711})
    line = replace(clock.on(world.line), make_flasher=unit.flasher, open_link=unit.link)
    clock.watches[PORT].begun_s = 0.0
    (turn,) = work(line, [[PORT]])
    watch = clock.watches[PORT]
    assert watch.verdict == "PASS"
    assert set(watch.steps_s) == {"", *NAMES}
    assert 0 < sum(watch.steps_s.values()) <= turn.wall_s
    assert turn.cpu_s > 0
    assert Power.asked == [(4711, "power off")]


def test_each_process_of_esptool_is_timed_also_one_that_fails(world: World) -> None:
    clock = Clock({PORT: 4711})
    flasher = clock.flasher(PORT, [921_600], lambda line: None, lambda percent: None)
    assert isinstance(flasher, WatchedEsptool)
    with pytest.raises(Exception, match=PORT):
        flasher.detect()  # there is no such port
    (spent_s,) = clock.watches[PORT].esptool_s
    assert spent_s > 0


def test_what_the_line_does_itself_is_left_beside_esptool_and_answers() -> None:
    watch = Watch()
    with watch.esptool(), watch.answer():
        pass
    assert len(watch.esptool_s) == 1
    assert watch.answers_s > 0


# The figures.


def said(verdict: str = "PASS") -> dict[str, Any]:
    """Two units of 30 s in turn, eight at once in 40 s."""
    watch = Watch(whole_s=30.0, answers_s=0.5, esptool_s=[2.0, 26.0], verdict=verdict)
    units = {str(port): asdict(watch) for port in range(2 + SIDE_BY_SIDE)}
    turns = [asdict(Turn(wall_s, 5.0)) for wall_s in (30.0, 30.0, 40.0)]
    found: dict[str, Any] = json.loads(json.dumps({"turns": turns, "units": units}))
    return found


def test_the_figures_of_single_units_are_parts_of_their_time() -> None:
    found = {figure.name: figure for figure in unit_figures(Found.of(said(), 101.5))}
    assert found["factory/unit/over-esptool"].value == 2000
    assert found["factory/unit/over-esptool"].goal == 3000
    assert found["factory/unit/answers"].value == 500
    assert found["factory/unit/esptool"].value == 28_000
    assert found["factory/unit/cpu"].value == 5000
    assert found["factory/start"].value == 1500


def test_ports_side_by_side_are_compared_with_as_many_units_in_turn() -> None:
    (eight,) = port_figures(Found.of(said(), 101.5, others=0.2))
    assert (eight.name, eight.value) == ("factory/8-side-by-side", 40.0)
    assert (eight.ratio, eight.goal_ratio, eight.ok) == (6.0, 5, True)


def test_a_computer_that_is_busy_otherwise_tells_nothing_of_ports_side_by_side() -> None:
    with pytest.raises(Unavailable, match="others had 40% of the processors"):
        list(port_figures(Found.of(said(), 101.5, others=0.4)))


def test_what_a_process_uses_the_computer_has_used() -> None:
    before_s, used_s = computer_cpu_s(), time.process_time()
    while time.process_time() < used_s + 0.1:
        zlib.compress(bytes(100_000))
    assert computer_cpu_s() - before_s > 0.05


def test_a_unit_that_has_not_passed_gives_no_figure() -> None:
    with pytest.raises(AssertionError, match="FAIL"):
        Found.of(said("FAIL its flash is bad"), 101.5)
