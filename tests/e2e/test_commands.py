"""The commands of `ks`, as a person runs them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

LIMIT_S = 240


def ks(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(arguments),
        cwd=folder,
        input=stdin,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "ks_tools", *arguments]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """`ks serve` on a free port; gives its address, and interrupts it at the end."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            _command(["serve", "--port", "0", *options]),
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        url = ""
        for line in process.stdout:
            if line.startswith("KS server"):
                url = line.split()[-1]
            if line.startswith("Ctrl-C"):
                break
        assert url, (folder / "log").read_text()
        yield url
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT_S)
        assert process.returncode == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_fresh_server_is_good_for_a_terminal_a_release_and_a_fleet(tmp_path: Path) -> None:
    with serving(tmp_path) as url:
        first = ks(tmp_path, "simulate", "--server", url, "--seconds", "6", "--json")
        assert first.returncode == 0, first.stderr
        events = [json.loads(line).get("event") for line in first.stdout.splitlines()]
        assert "registered" in events
        assert "heartbeat" in events
        again = ks(tmp_path, "simulate", "--server", url, "--seconds", "1")
        assert "power on" in again.stdout
        assert "registered" not in again.stdout

        assert ks(tmp_path, "release", "build", "1.1.0", "--counter", "2").returncode == 0
        assert ks(tmp_path, "release", "sign", "app-1.1.0").returncode == 0
        published = ks(tmp_path, "release", "publish", "app-1.1.0", "--server", url)
        assert published.returncode == 0, published.stderr

        fleet = ks(tmp_path, "fleet", "-n", "3", "--heartbeats", "1", "--server", url, "--json")
        assert fleet.returncode == 0, fleet.stdout + fleet.stderr
        assert json.loads(fleet.stdout)["figures"]["registered"] == 3
    token = (tmp_path / ".ks" / "admin.token").read_text()
    assert token not in (tmp_path / "log").read_text()


def test_a_second_start_finds_the_keys_of_the_first(tmp_path: Path) -> None:
    with serving(tmp_path):
        trust = (tmp_path / ".ks" / "trust.toon").read_bytes()
    with serving(tmp_path):
        assert (tmp_path / ".ks" / "trust.toon").read_bytes() == trust


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with serving(tmp_path / "a") as url:
        port = url.rpartition(":")[2]
        second = ks(tmp_path / "b", "serve", "--port", port)
    assert second.returncode == 1
    last = second.stderr.splitlines()[-1]
    assert last.startswith(f"ks: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in second.stderr


def test_a_fleet_brings_its_own_server_and_writes_a_junit_report(tmp_path: Path) -> None:
    options = ["-n", "4", "--heartbeats", "2", "--pace", "20", "--report", "fleet.xml"]
    done = ks(tmp_path, "fleet", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ all 4 terminals did their work" in done.stdout
    suite = ElementTree.parse(tmp_path / "fleet.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["tests"] == "4"
    assert suite.attrib["failures"] == "0"


def test_a_fleet_punches_through_an_outage_and_is_reconciled(tmp_path: Path) -> None:
    people = ["--punches", "120", "--storm", "10", "--outage", "1", "--loss", "0.05"]
    done = ks(tmp_path, "fleet", "-n", "3", "--duration", "6", "--pace", "20", *people, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["punches_beeped"] == figures["punches_stored"] >= 30
    assert figures["punch_gaps"] == 0


def test_cards_are_held_to_a_simulated_terminal_by_lines(tmp_path: Path) -> None:
    with serving(tmp_path) as url, cards_held(tmp_path, url) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown: list[dict[str, str]] = []
        for line in process.stdout:
            event = json.loads(line)
            if event.get("event") == "heartbeat" and not shown:
                process.stdin.write("04A1B2C3\n04A1B2C3\n\n1234 PIN OUT\n")
                process.stdin.flush()
            if event.get("event", "").startswith("punch"):
                shown.append({"name": event["event"], **event["detail"]})
            if shown and shown[-1]["name"] == "punches_uploaded":
                break
    told = [(one["name"], one.get("S1") or one.get("ACK_SEQ")) for one in shown]
    assert told == [
        ("punch", "accepted"),
        ("punch_refused", "duplicate"),
        ("punch", "accepted"),
        ("punches_uploaded", "2"),
    ]


@contextmanager
def cards_held(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """`ks simulate` with its stdin open."""
    process = subprocess.Popen(
        _command(["simulate", "--server", url, "--json"]),
        cwd=folder,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130


def test_a_fleet_that_cannot_do_its_work_ends_with_1(tmp_path: Path) -> None:
    done = ks(tmp_path, "fleet", "-n", "2", "--duration", "2", "--loss", "1", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["ok"] is False
    assert "not registered" in report["checks"][0]["detail"]


def test_the_demonstration_holds_every_expectation(tmp_path: Path) -> None:
    done = ks(tmp_path, "demo", "--report", "demo.json", "--svg", "demo.svg")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "demo.json").read_text())
    assert report["ok"] is True
    assert len(report["checks"]) >= 30
    assert "✗" not in done.stdout
    assert (tmp_path / "demo.svg").read_text().startswith("<svg")


@contextmanager
def fleet_without_end(folder: Path, *, in_background: bool) -> Iterator[subprocess.Popen[str]]:
    """`ks fleet` for ten minutes, at its first line, with its server's data in `folder`.

    In the background is as `nohup ks fleet &` in a script: with SIGINT and SIGHUP ignored. A test
    run started so would hand that on: it is decided here.
    """
    ours = {
        number: signal.signal(number, signal.SIG_IGN if in_background else _caught)
        for number in (signal.SIGINT, signal.SIGHUP)
    }
    try:
        process = subprocess.Popen(
            _command(["fleet", "-n", "2", "--duration", "600"]),
            cwd=folder,
            env=_environment() | {"TMPDIR": str(folder), "PYTHONFAULTHANDLER": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        for number, before in ours.items():
            signal.signal(number, before)
    assert process.stdout is not None
    try:
        assert "registered" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def _caught(*_: object) -> None:
    """What is caught here is back at its default in a child."""


def end_of(process: subprocess.Popen[str]) -> str:
    """What it says on stderr until it ends. If it does not, fails and tells what it does."""
    try:
        return process.communicate(timeout=LIMIT_S)[1]
    except subprocess.TimeoutExpired:
        status = Path(f"/proc/{process.pid}/status")
        signals = re.findall("^Sig.*$", status.read_text(), re.M) if status.exists() else []
        process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER: the stacks on stderr
        said, stacks = process.communicate(timeout=LIMIT_S)
        pytest.fail("\n".join(["it goes on", *signals, stacks, *said.splitlines()[-5:]]))


def test_an_interrupted_command_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    with fleet_without_end(tmp_path, in_background=False) as process:
        process.send_signal(signal.SIGINT)
        err = end_of(process)
    assert process.returncode == 130, err
    assert err == "ks: interrupted\n"
    assert list(tmp_path.iterdir()) == []


def test_a_command_in_the_background_goes_on_until_it_is_asked_to_end(tmp_path: Path) -> None:
    with fleet_without_end(tmp_path, in_background=True) as process:
        for of_somebody_else in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(of_somebody_else)
        assert process.stdout is not None
        assert "registered" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        err = end_of(process)
    assert process.returncode == 130, err
    assert err == "ks: interrupted\n"
    assert list(tmp_path.iterdir()) == []
