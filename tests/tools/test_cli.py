"""The command line: help, exit statuses, one clear line for each mistake."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ks_tools.cli import run

COMMANDS = [
    ["demo"],
    ["serve"],
    ["simulate"],
    ["fleet"],
    ["keys"],
    ["setup"],
    ["factory"],
    ["factory", "new"],
    ["factory", "run"],
    ["factory", "flash"],
    ["factory", "rework"],
    ["factory", "merge"],
    ["factory", "report"],
    ["factory", "label"],
    ["factory", "inventory"],
    ["factory", "status"],
    ["release"],
    ["release", "build"],
    ["release", "sign"],
    ["release", "bundle"],
    ["release", "publish"],
    ["release", "inspect"],
    ["release", "diff"],
    ["rollout"],
    ["rollout", "create"],
    ["rollout", "list"],
    ["rollout", "show"],
    ["rollout", "devices"],
    ["rollout", "start"],
    ["rollout", "watch"],
    ["command"],
    ["command", "send"],
    ["command", "sign"],
    ["command", "show"],
    ["chip"],
    ["chip", "run"],
    ["chip", "tell"],
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KS_DATA", "KS_OFFLINE_KEYS", "ADMIN_TOKEN", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: ks {' '.join(command)}")
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_the_list_of_commands_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command[0]} " in shown


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"ks {version('ks-terminal')}\n"


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["fleet", "--devices", "many"], 2, "Invalid value"),
        (["fleet", "--devices", "0"], 2, "Invalid value"),
        (["simulate", "--nonsense"], 2, "No such option"),
        (["simulate"], 1, "trust.toon is missing"),
        (["simulate", "--interpreter", "pypy"], 1, "no interpreter 'pypy'"),
        (["fleet", "--server", "http://127.0.0.1:1"], 1, "trust.toon is missing"),
        (["keys", "--show"], 1, "make keys with: ks keys"),
        (["release", "sign", "nowhere"], 1, "release.pem is not there"),
        (["release", "publish", "nowhere"], 1, "make it with: ks release build"),
        (["release", "build", "1.0"], 1, "not a version"),
        (["release", "build", "1.0.0", "--from", "nowhere"], 1, "is not a folder"),
        (["release", "build", "1.0.0", "--built", "soon"], 1, "not a time"),
        (["serve", "--registration", "anybody"], 2, "REGISTRATION_MODE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_a_status(
    command: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == status
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("ks: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_interrupt_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ks_tools.workspace.Workspace.make_keys", interrupted)
    assert run(["keys"]) == 130
    assert capsys.readouterr().err == "ks: interrupted\n"


def test_help_is_quick_because_it_imports_no_server() -> None:
    code = (
        "import sys; from ks_tools.cli import run; run(['--help']);"
        "print([name for name in ('sqlalchemy', 'fastapi', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
