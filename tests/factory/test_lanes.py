"""Many ports at once: each has a lane of its own, and what happens in one is not the others'."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from ks_tools.factory import lanes
from ks_tools.factory.errors import Interrupted
from ks_tools.factory.esptool import Chip
from ks_tools.factory.run import Verdict

from .fake_unit import FakeUnit
from .line_support import World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")
LIMIT_S = 20
OVER = object()


class Bench:
    """Ports, and which unit is at each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.at: dict[str, FakeUnit] = {}
        self.line = replace(world.line, make_flasher=self._flasher, open_link=self._link)

    def _flasher(self, port: str, *rest: Any) -> Any:
        return self.at[port].flasher(port, *rest)

    def _link(self, port: str, on_console: Any) -> Any:
        return self.at[port].link(port, on_console)

    def plug(self, port: str, number: int) -> FakeUnit:
        self.at[port] = self.world.unit(f"26:0a:c4:00:00:{number:02x}")
        return self.at[port]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(lanes, "POLL_S", 0.01)
    with a_line(tmp_path / "batch") as world:
        yield Bench(world)


def test_each_port_has_its_unit(bench: Bench) -> None:
    ports = [f"/dev/ttyTEST{number}" for number in range(8)]
    for number, port in enumerate(ports):
        bench.plug(port, number)
    verdicts = lanes.run_once(bench.line, ports)
    assert verdicts == dict.fromkeys(ports, Verdict.PASS)
    serials = {unit.serial for unit in bench.world.store.units()}
    assert serials == {f"KS-000{number}" for number in range(1, 9)}


def test_a_reject_and_a_crash_are_nobody_elses(bench: Bench) -> None:
    bench.plug("good", 1)
    bench.plug("bad", 2).readings["memory"] = {"FREE": "1"}
    bench.plug("crash", 3).faults["detect"] = ZeroDivisionError("a mistake")
    verdicts = lanes.run_once(bench.line, ["good", "bad", "crash"])
    assert verdicts == {"good": Verdict.PASS, "bad": Verdict.FAIL, "crash": Verdict.WAIT}
    assert (Verdict.WAIT, "ZeroDivisionError: a mistake") in bench.world.view.verdicts


def test_ctrl_c_ends_every_lane(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    class Slow:
        def __init__(self, unit: FakeUnit) -> None:
            self._flasher = unit.flasher("")

        def detect(self) -> Any:
            begun.set()
            assert bench.line.stop.wait(LIMIT_S)
            raise Interrupted("interrupted")

    bench.line.make_flasher = lambda port, *rest: Slow(bench.at[port])
    bench.plug("a", 1), bench.plug("b", 2)
    join = threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        if begun.is_set() and not bench.line.stop.is_set():
            raise KeyboardInterrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", joined)
    with pytest.raises(KeyboardInterrupt):
        lanes.run_once(bench.line, ["a", "b"])
    assert bench.world.view.verdicts == [(Verdict.WAIT, "interrupted")] * 2


class Person:
    """Plugs and unplugs while the line watches: `acts` is gone on with at every look at the hub."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.plugged: set[str] = set()

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for verdict, _ in self.bench.world.view.verdicts]

    def plug(self, port: str, number: int) -> FakeUnit:
        unit = self.bench.plug(port, number)
        self.plugged.add(port)
        return unit

    def until(self, holds: Callable[[], bool]) -> Iterator[None]:
        end = time.monotonic() + LIMIT_S
        while not holds():
            assert time.monotonic() < end
            yield

    def watch(self, acts: Iterator[None]) -> None:
        def look() -> list[str]:
            return sorted(self.plugged)

        lanes.watch(self.bench.line, look, lambda verdicts: next(acts, OVER) is OVER)


def test_a_board_begins_by_itself_when_it_is_plugged_in(bench: Bench) -> None:
    person = Person(bench)

    def acts() -> Iterator[None]:
        person.plug("a", 1)
        yield from person.until(lambda: len(person.verdicts) == 1)
        yield from repeat(None, 5)  # it stays plugged in, and is left alone
        person.plug("b", 2)
        yield from person.until(lambda: len(person.verdicts) == 2)
        person.plugged.discard("a")
        yield
        person.plug("a", 3)
        yield from person.until(lambda: len(person.verdicts) == 3)

    person.watch(acts())
    assert person.verdicts == [Verdict.PASS] * 3
    assert [unit.serial for unit in bench.world.store.units()] == ["KS-0001", "KS-0002", "KS-0003"]


def test_a_board_that_lost_its_cable_for_a_moment_goes_on_by_itself(bench: Bench) -> None:
    person = Person(bench)
    is_back = threading.Event()

    class Gone:
        """esptool, which takes a while to find out."""

        def detect(self) -> Chip:
            assert is_back.wait(LIMIT_S)
            raise Interrupted("the port is gone")

    def acts() -> Iterator[None]:
        unit = person.plug("a", 1)
        make, bench.line.make_flasher = bench.line.make_flasher, lambda *_: Gone()
        yield
        person.plugged.discard("a")
        yield
        bench.line.make_flasher = make
        person.plugged.add("a")
        yield
        is_back.set()
        yield from person.until(lambda: bool(unit.sealed) and len(person.verdicts) == 2)

    person.watch(acts())
    assert person.verdicts == [Verdict.WAIT, Verdict.PASS]


def test_ports_are_looked_for_by_their_names(tmp_path: Path) -> None:
    for name in ("ttyUSB1", "ttyUSB0", "ttyS0"):
        (tmp_path / name).touch()
    found = lanes.serial_ports([f"{tmp_path}/ttyUSB*", f"{tmp_path}/ttyUSB0"])
    assert found == [f"{tmp_path}/ttyUSB0", f"{tmp_path}/ttyUSB1"]
