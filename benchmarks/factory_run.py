"""`python -m benchmarks.factory_run JOB`: a batch's units through the factory line, by the clock.

JOB is a JSON file: `batch` and `data`, folders; `turns`, lists of ports, each list side by side and
one list after the other; `controls`, by port, the control port of the software chip there. What is
printed is JSON: `turns`, a `Turn` for each, and `units`, a `Watch` of each port.
A unit that has its verdict loses its power: as a terminal it would go on to use this computer.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ks_chip.client import Control
from ks_tools.device_link import DeviceLink
from ks_tools.factory import lanes
from ks_tools.factory.batch import read_batch
from ks_tools.factory.esptool import Esptool
from ks_tools.factory.opening import opened
from ks_tools.factory.run import Line, Verdict, View
from ks_tools.factory.store import Unit
from ks_tools.workspace import Workspace


@dataclass
class Watch:
    """Seconds of one unit: of all, of each esptool process, of waiting for its firmware's answers,
    and of each step; what it has come to."""

    begun_s: float = 0.0
    whole_s: float = 0.0
    answers_s: float = 0.0
    esptool_s: list[float] = field(default_factory=list)
    steps_s: dict[str, float] = field(default_factory=dict)
    verdict: str = ""

    @contextmanager
    def esptool(self) -> Iterator[None]:
        """While one of its processes runs."""
        begun_s = time.monotonic()
        try:
            yield
        finally:
            self.esptool_s.append(time.monotonic() - begun_s)

    @contextmanager
    def answer(self) -> Iterator[None]:
        """While the firmware is to answer."""
        begun_s = time.monotonic()
        try:
            yield
        finally:
            self.answers_s += time.monotonic() - begun_s


class WatchedEsptool(Esptool):
    """esptool, each process from its start to its end."""

    watch: Watch

    def _run(self, module: str, arguments: list[str], limit_s: float) -> str:
        with self.watch.esptool():
            return super()._run(module, arguments, limit_s)


class WatchedLink(DeviceLink):
    """The conversation with the firmware."""

    watch: Watch

    def _await(self, seq: str | None, answer_s: float) -> dict[str, Any] | None:
        with self.watch.answer():
            return super()._await(seq, answer_s)


class Clock(View):
    """Keeps the watches; takes the power from what is through."""

    def __init__(self, controls: Mapping[str, int]) -> None:
        self.watches = {port: Watch() for port in controls}
        self._controls = controls
        self._step: dict[str, tuple[str, float]] = {}

    def on(self, line: Line) -> Line:
        """The same line, watched."""
        return replace(line, view=self, make_flasher=self.flasher, open_link=self.link)

    def flasher(self, port: str, *rest: Any) -> WatchedEsptool:
        made = WatchedEsptool(port, *rest)
        made.watch = self.watches[port]
        made.watch.begun_s = time.monotonic()
        return made

    def link(self, port: str, on_console: Any) -> WatchedLink:
        made = WatchedLink(port, on_console=on_console)
        made.watch = self.watches[port]
        made.open()
        return made

    def step(self, port: str, unit: Unit | None, name: str) -> None:
        now_s, watch = time.monotonic(), self.watches[port]
        last, since_s = self._step.get(port, ("", now_s))
        watch.steps_s[last] = watch.steps_s.get(last, 0.0) + now_s - since_s
        self._step[port] = (name, now_s)

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None:
        self.step(port, unit, "")
        watch = self.watches[port]
        watch.whole_s = time.monotonic() - watch.begun_s
        watch.verdict = f"{verdict.value} {text}".rstrip()
        with Control(self._controls[port]) as control:
            control.ask("power off")


@dataclass(frozen=True)
class Turn:
    """Seconds by the clock, and of processors: this program's and esptool's."""

    wall_s: float
    cpu_s: float


def work(line: Line, turns: list[list[str]]) -> list[Turn]:
    """One list of ports after the other."""
    spent = []
    for ports in turns:
        begun_s, used_s = time.monotonic(), _cpu_s()
        lanes.run_once(line, ports)
        spent.append(Turn(time.monotonic() - begun_s, _cpu_s() - used_s))
    return spent


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main(path: str) -> None:
    """Raises ToolError for a batch that cannot be worked."""
    job = json.loads(Path(path).read_text("utf-8"))
    clock = Clock(job["controls"])
    workspace = Workspace.of(Path(job["data"]))
    with opened(read_batch(Path(job["batch"])), clock, workspace) as line:
        spent = work(clock.on(line), job["turns"])
    units = {port: asdict(watch) for port, watch in clock.watches.items()}
    print(json.dumps({"turns": [asdict(turn) for turn in spent], "units": units}))


if __name__ == "__main__":
    main(sys.argv[1])
