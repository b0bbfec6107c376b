"""What the people at the line see: a table with a lane for each port, or plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..asking import printable
from ..console import say
from .run import Verdict, View
from .steps import BY_NAME, NAMES, number
from .store import Unit

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

REFRESH_HZ: Final = 8
STYLES: Final = {
    Verdict.PASS: "bold white on green",
    Verdict.FAIL: "bold white on red",
    Verdict.WAIT: "bold black on yellow",
    Verdict.ALREADY: "bold white on blue",
}


@dataclass
class _Lane:
    unit: str = ""
    step: str = ""
    note: str = ""
    percent: int = 0
    begun_s: float = 0.0
    took_s: float = 0.0
    verdict: Verdict | None = None


class PlainView(View):
    """A line for each thing that happens, for pipes and logs."""

    def __init__(self, write: Callable[[str], None] = say, explain: bool = False) -> None:
        self._write = write
        self._explain = explain
        self._lock = threading.Lock()

    def step(self, port: str, unit: Unit | None, name: str) -> None:
        self._line(port, unit, f"{name}: {BY_NAME[name].does}" if self._explain else name)

    def show(self, port: str, text: str) -> None:
        self._line(port, None, text)

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None:
        self._line(port, unit, f"{verdict.value} {text}".rstrip())
        if verdict in (Verdict.FAIL, Verdict.WAIT):
            self._line(port, unit, f"what to do: {advice(unit)}")

    def notice(self, text: str) -> None:
        with self._lock:
            self._write(printable(text))

    def question(self, port: str, text: str) -> None:
        if text:
            self._line(port, None, text)

    def _line(self, port: str, unit: Unit | None, text: str) -> None:
        name = f" {unit.name}" if unit is not None else ""
        with self._lock:
            self._write(printable(f"{port}{name}: {text}"))


class TableView(View):
    """Lanes of a table that is drawn anew a few times a second."""

    def __init__(self, ports: list[str], console: Console) -> None:
        self._lanes = {port: _Lane() for port in ports}
        self._console = console
        self._live: Live | None = None
        self._notice = ""
        self._question = ""
        self._lock = threading.Lock()
        self.counts = dict.fromkeys(Verdict, 0)

    def __enter__(self) -> TableView:
        from rich.live import Live

        self._live = Live(
            get_renderable=self.table, console=self._console, refresh_per_second=REFRESH_HZ
        )
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        assert self._live is not None
        self._live.__exit__(*error)

    def step(self, port: str, unit: Unit | None, name: str) -> None:
        with self._lock:
            lane = self._lane(port)
            if name == NAMES[0]:
                lane.verdict, lane.begun_s = None, time.monotonic()
            lane.unit, lane.step, lane.note, lane.percent = _name(unit), name, "", 0

    def progress(self, port: str, percent: int) -> None:
        with self._lock:
            self._lane(port).percent = percent

    def show(self, port: str, text: str) -> None:
        with self._lock:
            self._lane(port).note = printable(text)

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None:
        with self._lock:
            lane = self._lane(port)
            lane.unit, lane.verdict, lane.note = _name(unit), verdict, printable(text)
            if verdict in (Verdict.FAIL, Verdict.WAIT):
                lane.note += f"; what to do: {advice(unit)}"
            lane.took_s = time.monotonic() - lane.begun_s
            self.counts[verdict] += 1

    def notice(self, text: str) -> None:
        with self._lock:
            self._notice = printable(text)

    def question(self, port: str, text: str) -> None:
        with self._lock:
            self._question = printable(f"{port}: {text}") if text else ""

    def _lane(self, port: str) -> _Lane:
        return self._lanes.setdefault(port, _Lane())

    def table(self) -> RenderableType:
        """The lanes as they are now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("port", "unit", "step", "", "time", "what", expand=True)
        with self._lock:
            for port, lane in self._lanes.items():
                table.add_row(port, lane.unit, *_progress(lane), _time(lane), _what(lane))
            counts = "  ".join(f"{kind.value} {count}" for kind, count in self.counts.items())
            counts += f"  {self._notice}" if self._notice else ""
            return Group(table, Text(counts), Text(self._question, style="bold yellow"))


def advice(unit: Unit | None) -> str:
    """What a person does about the step that did not get done."""
    step = NAMES[min(number(unit.step) + 1, len(NAMES) - 1)] if unit is not None else NAMES[0]
    return BY_NAME[step].advice


def _name(unit: Unit | None) -> str:
    return unit.name if unit is not None else ""


def _progress(lane: _Lane) -> tuple[str, str]:
    place = number(lane.step) + 1 if lane.step else 0
    percent = f" {lane.percent} %" if lane.percent and lane.verdict is None else ""
    return lane.step + percent, "■" * place + "·" * (len(NAMES) - place)


def _time(lane: _Lane) -> str:
    if not lane.step:
        return ""
    took_s = lane.took_s if lane.verdict else time.monotonic() - lane.begun_s
    return f"{took_s:.0f} s"


def _what(lane: _Lane) -> RenderableType:
    from rich.text import Text

    if lane.verdict is None:
        return Text(lane.note)
    text = Text(f"  {lane.verdict.value}  ", style=STYLES[lane.verdict])
    return text.append(f" {lane.note}" if lane.note else "", style="default on default")
