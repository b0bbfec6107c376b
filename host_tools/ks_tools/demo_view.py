"""How the demonstration looks: lines for a log, a live picture, an SVG for a page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ks_simulator.events import BAD, GOOD, Event, sentence

from . import rollout_view
from .console import rich_console

if TYPE_CHECKING:
    from ks_simulator.process import ProcessTerminal
    from ks_simulator.report import Report

    from .demo import Demo

WIDTH = 100
SVG_TITLE = "ks demo"
# What a look at the table should not be cluttered with.
QUIET = frozenset(("heartbeat", "acknowledged"))


class Plain:
    """Each scene, check and remark as one line, when it comes."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._scenes = 0
        self._checks = 0
        self._remarks = 0

    def update(self, demo: Demo) -> None:
        """Write what is new."""
        for scene in demo.scenes[self._scenes :]:
            self._finish_checks(demo)
            self._write(f"{demo.seconds:5.1f} s  {scene.title}")
            self._scenes += 1
            self._checks = 0
        for remark in demo.log[self._remarks :]:
            self._write(f"           - {remark}")
            self._remarks += 1
        self._finish_checks(demo)

    def _finish_checks(self, demo: Demo) -> None:
        if not self._scenes:
            return
        for check in demo.scenes[self._scenes - 1].checks[self._checks :]:
            self._write(f"         {_mark(check.ok)} {check.name}{_why(check.ok, check.detail)}")
            self._checks += 1


class Picture:
    """The whole state of the demonstration, drawn again and again."""

    def __init__(self) -> None:
        self.live = Live(console=rich_console(), auto_refresh=False, transient=True)
        self._drawn_s = 0.0

    def update(self, demo: Demo) -> None:
        """Draw, at most ten times a second."""
        if demo.seconds - self._drawn_s < 0.1:
            return
        self._drawn_s = demo.seconds
        self.live.update(picture(demo), refresh=True)


def picture(demo: Demo, details: bool = False) -> Group:
    """Scenes with their checks, and the terminals."""
    parts: list[Text | Table] = []
    for scene in demo.scenes:
        good = all(check.ok for check in scene.checks)
        mark = (_mark(good) if scene.checks else " ") if scene.is_over else "▸"
        style = "bold" if not scene.is_over else "bold green" if good else "bold red"
        parts.append(Text(f"{mark} {scene.title}", style=style))
        parts += [
            Text(
                f"│ {_mark(check.ok)} {check.name}{_why(check.ok, check.detail)}",
                style=_quiet(style),
            )
            for check in scene.checks
            if details or not scene.is_over or not check.ok
        ]
    if demo.rollout is not None and not details:
        now_ms = int(time.time() * 1000)
        return Group(*parts, Text(""), rollout_view.picture(demo.rollout, (), now_ms))
    return Group(*parts, Text(""), terminals_table(demo))


def terminals_table(demo: Demo) -> Table:
    """A row for each terminal."""
    table = Table(
        "terminal",
        "runs on",
        "version",
        "boots",
        "heartbeats",
        "punches",
        "last",
        box=box.SIMPLE_HEAD,
    )
    for terminal in demo.terminals:
        events = terminal.events
        last = next((event for event in reversed(events) if event.name not in QUIET), None)
        table.add_row(
            terminal.name,
            demo.interpreters[terminal.name],
            running_version(terminal),
            str(terminal.boots),
            str(sum(event.name == "heartbeat" for event in events)),
            str(sum(event.name == "punch" for event in events)),
            Text(sentence(last), style=_style(last), overflow="ellipsis", no_wrap=True)
            if last
            else "",
        )
    return table


def running_version(terminal: ProcessTerminal) -> str:
    """The release that the terminal last confirmed, as its own events tell it."""
    confirmed = [event for event in terminal.events if event.name == "update_confirmed"]
    return confirmed[-1].detail.get("FW2", "") if confirmed else "1.0.0"


def summary(demo: Demo, report: Report) -> Group:
    """The end: all scenes with all checks, the terminals, the verdict."""
    held = sum(check.ok for check in report.checks)
    verdict = f"{_mark(report.ok)} {held} of {len(report.checks)} expectations held"
    lines = [Text(f"{verdict}, {report.seconds:.1f} s", style="bold green" if report.ok else "red")]
    if demo.left_out:
        lines.append(Text(f"  {demo.left_out}", style="yellow"))
    return Group(picture(demo, details=True), *lines)


def save_svg(demo: Demo, report: Report, path: Path) -> None:
    """The summary as a picture for a web page."""
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text("$ make demo", style="dim"))
        console.print(summary(demo, report))
        path.parent.mkdir(parents=True, exist_ok=True)
        # without Rich's web fonts: a picture in a document must not call anybody
        drawn = re.sub(
            r"@font-face \{.*?\}\s*", "", console.export_svg(title=SVG_TITLE), flags=re.S
        )
        path.write_text(drawn, encoding="utf-8")


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"


def _why(ok: bool, detail: str) -> str:
    return "" if ok or not detail else f": {detail}"


def _quiet(style: str) -> str:
    return style.replace("bold", "").strip()


def _style(event: Event) -> str:
    return "green" if event.name in GOOD else "red" if event.name in BAD else ""
