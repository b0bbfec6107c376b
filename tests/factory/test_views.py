"""What the people at the line see, and what they are told to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ks_tools.factory.errors import Interrupted
from ks_tools.factory.handlers import HANDLERS
from ks_tools.factory.run import UnitRun, Verdict
from ks_tools.factory.steps import BY_NAME, NAMES
from ks_tools.factory.view import PlainView, TableView

from .line_support import PORT, World, a_line

pytestmark = pytest.mark.usefixtures("no_waiting_for_readers")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_line(tmp_path / "batch", label={"person": False}) as made:
        yield made


def test_plain_lines_say_what_every_step_does(world: World) -> None:
    lines: list[str] = []
    world.plug(world.unit(), view=PlainView(lines.append, explain=True))
    for name in NAMES:
        assert any(f"{name}: {BY_NAME[name].does}" in line for line in lines), name
    assert lines[-1] == f"{PORT} KS-0001: PASS"


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_step_says_what_to_do(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: UnitRun) -> dict[str, Any]:
        raise Interrupted("the cable")

    lines: list[str] = []
    unit = world.unit()
    if name == "detected":  # before there is a record of it
        unit.faults["detect"] = Interrupted("the cable")
    monkeypatch.setitem(HANDLERS, name, fails)
    assert world.plug(unit, view=PlainView(lines.append)) is Verdict.WAIT
    assert lines[-2].endswith(": WAIT the cable")
    assert lines[-1].endswith(f"what to do: {BY_NAME[name].advice}")


@contextmanager
def table(*ports: str) -> Iterator[TableView]:
    with (
        open("/dev/null", "w", encoding="utf-8") as nowhere,
        TableView(list(ports), Console(file=nowhere, width=200)) as view,
    ):
        yield view


def printed(view: TableView) -> str:
    """As it stands in a window, with its colours."""
    console = Console(width=200, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(view.table())
    return captured.get()


def rows(view: TableView) -> dict[str, str]:
    """Lines of the table by their port."""
    lines = printed(view).splitlines()
    return {port: line for port in ("usb0", "usb1", "usb2") for line in lines if port in line}


def test_the_table_has_a_lane_for_each_port(world: World) -> None:
    with table("usb0", "usb1", "usb2") as view:
        for port in ("usb0", "usb1"):
            view.step(port, None, "detected")
        view.step("usb1", None, "flashed")
        view.progress("usb1", 42)
        shown = rows(view)
        assert "detected" in shown["usb0"] and "flashed 42 %" in shown["usb1"]
        assert "detected" not in shown["usb2"]


@pytest.mark.parametrize(
    ("verdict", "colour"),
    [(Verdict.PASS, "42"), (Verdict.FAIL, "41"), (Verdict.WAIT, "43"), (Verdict.ALREADY, "44")],
)
def test_a_verdict_is_seen_from_afar(world: World, verdict: Verdict, colour: str) -> None:
    world.plug(world.unit())
    (unit,) = world.store.units()
    with table("usb0") as view:
        view.step("usb0", None, "detected")
        view.verdict("usb0", unit, verdict, "why")
        row = rows(view)["usb0"]
        assert f"{colour}m  {verdict.value}  " in row and "KS-0001" in row and "why" in row
        assert ("what to do" in row) == (verdict in (Verdict.FAIL, Verdict.WAIT))
        assert f"{verdict.value} 1" in printed(view), "and it is counted"


def test_the_question_stands_below_the_table_until_it_is_answered() -> None:
    with table("usb0") as view:
        view.question("usb0", "does the buzzer sound? [Y/n]")
        assert "usb0: does the buzzer sound? [Y/n]" in printed(view)
        view.question("usb0", "")
        assert "buzzer" not in printed(view)


def test_what_is_of_the_station_stands_beside_the_counts() -> None:
    with table("usb0") as view:
        view.notice("42 serial numbers left")
        assert "42 serial numbers left" in printed(view)
        assert set(rows(view)) == {"usb0"}


def test_what_a_chip_says_does_not_steer_the_window(world: World) -> None:
    with table("usb0") as view:
        view.show("usb0", "\x1b[2Jgone")
        view.question("usb0", "\x1b]0;title\x07")
        assert "\x1b[2J" not in printed(view) and "\x1b]0" not in printed(view)
    lines: list[str] = []
    plain = PlainView(lines.append)
    plain.verdict("usb0", None, Verdict.WAIT, "\x1b[2J")
    assert "\x1b" not in "".join(lines)


def test_a_port_that_comes_up_later_gets_a_lane_too() -> None:
    with table() as view:
        view.step("usb1", None, "detected")
        assert "detected" in rows(view)["usb1"]
