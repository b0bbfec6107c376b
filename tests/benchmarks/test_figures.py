"""What `python -m benchmarks` writes, and when it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.figure import Figure, Unavailable
from benchmarks.pairing import in_turns
from benchmarks.readme import BEGIN, END

SPEED = Figure.compared("fake/speed", 1234.56, "runs/s", "another", 0.123456)


def topic(*figures: Figure) -> Iterator[Figure]:
    yield from figures


def missing() -> Iterator[Figure]:
    raise Unavailable("there is no chip")
    yield SPEED


def test_a_size_is_ok_up_to_its_goal() -> None:
    assert Figure.limited("size", 450, "bytes", 450).ok
    assert not Figure.limited("size", 451, "bytes", 450).ok
    assert Figure.limited("size", 451, "bytes").ok


def test_all_topics_are_written_with_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = tmp_path / "latest.json"
    monkeypatch.setattr(program, "LATEST", latest)
    monkeypatch.setattr(program, "TOPICS", {"fake": lambda: topic(SPEED), "missing": missing})
    assert program.main([]) == 0
    speed = {
        "name": "fake/speed",
        "value": 1234.6,
        "unit": "runs/s",
        "peer": "another",
        "ratio": 0.1235,
        "goal": None,
        "ok": True,
        "goal_ratio": None,
    }
    assert json.loads(latest.read_text()) == {"fake": [speed]}
    shown = capsys.readouterr().out
    assert "fake/speed" in shown
    assert "missing: left out: there is no chip" in shown


def test_a_missed_goal_is_named_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    too_big = Figure.limited("fake/size", 500, "bytes", 450)
    monkeypatch.setattr(program, "TOPICS", {"fake": lambda: topic(SPEED, too_big)})
    chosen = tmp_path / "chosen.json"
    assert program.main(["fake", "--output", str(chosen)]) == 1
    assert "missed: fake/size" in capsys.readouterr().out
    assert [entry["ok"] for entry in json.loads(chosen.read_text())["fake"]] == [True, False]


def test_what_is_not_measured_anew_stays_as_it_was_measured_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = tmp_path / "latest.json"
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n", "utf-8")
    monkeypatch.setattr(program, "LATEST", latest)
    small, large = Figure.limited("size", 1, "bytes"), Figure.limited("size", 22, "bytes")
    topics = {"old": lambda: topic(small), "new": lambda: topic(SPEED)}
    monkeypatch.setattr(program, "TOPICS", topics)
    assert program.main(["old"]) == 0
    assert program.main(["new", "--readme", str(readme)]) == 0
    assert "| 1 bytes |" in readme.read_text("utf-8")
    monkeypatch.setattr(program, "TOPICS", {"old": lambda: topic(large), "new": missing})
    assert program.main(["old", "--readme", str(readme)]) == 0
    assert "| 22 bytes |" in readme.read_text("utf-8")
    assert "fake/speed" in readme.read_text("utf-8")
    assert list(json.loads(latest.read_text())) == ["old", "new"]


def test_an_unknown_topic_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["nothing-of-ours"])
    assert "nothing-of-ours is none of" in capsys.readouterr().err


def test_each_body_of_work_is_measured_once_a_round() -> None:
    rates = in_turns({"once": lambda: sum(range(200)), "ten": lambda: sum(range(2000))}, rounds=3)
    assert {name: len(found) for name, found in rates.rounds.items()} == {"once": 3, "ten": 3}
    assert rates.ratio("once", "once") == 1
    assert rates.median("once") in rates.rounds["once"]


def test_the_crypto_has_a_page_of_its_own_and_in_the_readme_only_what_has_a_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [
        Figure.limited("crypto/size", 10, "bytes", 20),
        Figure.limited("crypto/aside", 11, "bytes"),
        Figure.limited("wire/size", 12, "bytes"),
    ]
    monkeypatch.setattr(program, "TOPICS", {"all": lambda: iter(figures)})
    pages = [tmp_path / name for name in ("readme.md", "crypto.md")]
    for page in pages:
        page.write_text(f"{BEGIN}\n{END}\n")
    assert program.main(["all", "--readme", str(pages[0]), "--crypto", str(pages[1])]) == 0
    readme, crypto = (page.read_text() for page in pages)
    assert "crypto/size" in readme
    assert "wire/size" in readme
    assert "crypto/aside" not in readme
    assert "crypto/aside" in crypto
    assert "wire/size" not in crypto
