"""What the demonstration shows follows from what held, and what did not."""

from pathlib import Path

import pytest

from ks_simulator.events import Event
from ks_simulator.process import ProcessTerminal
from ks_simulator.report import Check, Report
from ks_tools import demo_command, demo_view
from ks_tools.cli import run
from ks_tools.demo import Demo
from ks_tools.demo_stage import Scene


@pytest.fixture
def told(tmp_path: Path) -> Demo:
    demo = Demo(tmp_path)
    terminal = ProcessTerminal("terminal-1", tmp_path, ["python3"])
    terminal.events += [
        Event("boot"),
        Event("update_confirmed", {"FW2": "1.1.0"}),
        Event("heartbeat", {"TS": "now"}),
    ]
    demo.terminals.append(terminal)
    demo.interpreters["terminal-1"] = "CPython"
    demo.scenes.append(Scene("The good part", [Check("it works", True)], True))
    demo.scenes.append(Scene("The bad part", [Check("it holds", False, "it broke")], True))
    return demo


def report_of(demo: Demo) -> Report:
    return Report("demo", [check for scene in demo.scenes for check in scene.checks])


def test_plain_lines_come_once_each_and_in_order(told: Demo) -> None:
    lines: list[str] = []
    view = demo_view.Plain(lines.append)
    later = told.scenes.pop()
    view.update(told)
    told.scenes.append(later)
    view.update(told)
    view.update(told)
    assert [line.strip() for line in lines[1::2]] == ["✓ it works", "✗ it holds: it broke"]
    assert len(lines) == 4


def test_the_svg_holds_the_terminals_and_the_checks(told: Demo, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "demo.svg"
    demo_view.save_svg(told, report_of(told), path)
    text = path.read_text().replace("&#160;", " ")
    assert "terminal-1" in text
    assert "1.1.0" in text
    assert "✗ it holds: it broke" in text
    assert str(tmp_path) not in text
    assert "url(" not in text.replace("url(#", "")


@pytest.mark.parametrize(("good", "status"), [(True, 0), (False, 1)])
def test_the_status_is_0_only_if_everything_held(
    good: bool, status: int, told: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def outcome(folder: Path, svg: Path | None, as_json: bool) -> Report:
        return Report("demo", [Check("first", True), Check("second", good)])

    monkeypatch.setattr(demo_command, "_run", outcome)
    assert run(["demo"]) == status
