"""At each step in turn, of a real esptool and firmware, something ends the work; it goes on."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from ks_chip.client import Control
from ks_chip.rack import Place
from ks_tools.factory.opening import open_batch, opened
from ks_tools.factory.run import Line, UnitRun, Verdict, View
from ks_tools.factory.steps import DONE, NAMES
from ks_tools.factory.store import Unit
from ks_tools.workspace import Workspace

from .station import Station, boards

pytestmark = pytest.mark.long
# A unit that starts between writing and comparing may be written a second time.
RUNS_TO_THE_END = 3
# In percent of what esptool has done of it.
HALF_WAY = {"flashed": 40}
# In these, the chip writes its flash.
WRITING = ("flashed", "booted", "tested", "keyed", "written", "sealed")
# What happens to the unit then ends no run; nor does Ctrl-C in the last.
WITHOUT_THE_PORT = {"labelled", "done"}


class Fault(View):
    """Does something when one step begins, or when it is half done."""

    def __init__(self, name: str, harm: Callable[[], object]) -> None:
        self._name = name
        self._harm = harm
        self._percent = HALF_WAY.get(name, 0)
        self._is_due = False
        self.has_come = False
        self.verdict_text = ""

    def step(self, port: str, unit: Unit | None, name: str) -> None:
        self._is_due = name == self._name
        if not self._percent:
            self._come()

    def progress(self, port: str, percent: int) -> None:
        if percent >= self._percent:
            self._come()

    def _come(self) -> None:
        if self._is_due and not self.has_come:
            self.has_come = True
            self._harm()

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None:
        self.verdict_text = text


def pull_the_cable(name: str, control: Control, stop: threading.Event) -> None:
    control.ask("unplug")


def cut_the_power(name: str, control: Control, stop: threading.Event) -> None:
    """In the midst of the next operation of the flash; at once where there is none."""
    if name in WRITING:
        control.ask("cut after 0 unplug")
        return
    control.ask("power off")
    control.ask("unplug")


def press_ctrl_c(name: str, control: Control, stop: threading.Event) -> None:
    stop.set()


HARMS = {"cable": pull_the_cable, "power": cut_the_power, "ctrl-c": press_ctrl_c}


def repair(control: Control) -> None:
    for command in ("cut -", "plug", "power on"):
        control.ask(command)


def disturbed(line: Line, place: Place, control: Control, kind: str) -> list[tuple[str, Verdict]]:
    """A run for each step, which is disturbed there; how each ended."""
    ends = []
    for name in NAMES:
        stop = threading.Event()
        fault = Fault(name, partial(HARMS[kind], name, control, stop))
        verdict = UnitRun(replace(line, view=fault, stop=stop), place.url).run()
        ends.append((name, verdict))
        assert verdict is not Verdict.FAIL, (name, fault.verdict_text)
        repair(control)
    return ends


def finished(line: Line, place: Place) -> Unit:
    """Undisturbed runs to the end."""
    for _ in range(RUNS_TO_THE_END):
        if UnitRun(line, place.url).run() in (Verdict.PASS, Verdict.ALREADY):
            break
    (unit,) = line.store.units()
    return unit


@pytest.mark.parametrize("kind", HARMS)
async def test_a_unit_goes_on_from_whichever_step_it_was_disturbed_at(
    line: Station, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in line.settings.items():
        monkeypatch.setenv(name, text)
    await line.new_batch()
    workspace = Workspace(line.folder / ".ks", line.folder / ".ks-offline")
    batch = open_batch(line.folder / "batch", "")
    with (
        boards(line.folder) as (place,),
        place.control() as control,
        opened(batch, View(), workspace) as made,
    ):
        ends = await asyncio.to_thread(disturbed, made, place, control, kind)
        unit = await asyncio.to_thread(finished, made, place)
        assert unit.state == DONE, ends
        waits = {name for name, verdict in ends if verdict is Verdict.WAIT}
        assert set(NAMES) - WITHOUT_THE_PORT - waits == set(), ends
        device = await line.heard_of("KS-000001")
        assert (unit.serial, device["public_key"]) == ("KS-000001", unit.public_key)
        with made.store.transaction() as database:
            assert database.execute("SELECT count(*) FROM serial").fetchone()[0] == 1
