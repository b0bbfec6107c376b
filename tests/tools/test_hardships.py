"""What a person's machine can do to the commands: each ends in one clear line and loses nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ks_server.lock import hold
from ks_server.run import Listening
from ks_server.settings import Settings
from ks_tools.cli import run
from ks_tools.workspace import Workspace

Serve = Callable[..., int]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KS_DATA", "KS_OFFLINE_KEYS", "ADMIN_TOKEN", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """The settings of the servers that would have been started."""
    seen: list[Settings] = []

    async def serve(settings: Settings, ready: Callable[[Listening], None]) -> None:
        seen.append(settings)

    monkeypatch.setattr("ks_server.run.serve", serve)
    yield seen


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    assert said[0].startswith("ks: ")
    for word in words:
        assert word in said[0]


def test_the_data_folder_of_the_option_is_the_one_that_is_used(
    served: list[Settings], tmp_path: Path
) -> None:
    assert run(["serve", "--data", "mine", "--offline", "apart", "--port", "0"]) == 0
    assert served[0].data == Path("mine")
    assert (tmp_path / "mine" / "keys" / "server.pem").is_file()
    assert (tmp_path / "apart" / "release.pem").is_file()
    assert not (tmp_path / ".ks").exists()
    assert served[0].release_public_keys
    assert served[0].port == 0


def test_nobody_else_may_look_into_the_data_folder(served: list[Settings], tmp_path: Path) -> None:
    assert run(["serve", "--data", "a/mine"]) == 0
    assert (tmp_path / "a" / "mine").stat().st_mode & 0o077 == 0


def broken(name: str, content: bytes) -> Callable[[Workspace], None]:
    def break_it(workspace: Workspace) -> None:
        (workspace.data / name).write_bytes(content)

    return break_it


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (broken("server.sqlite3", b"\x00garbage" * 1000), ["database", "not a database"]),
        (broken("keys/server.pem", b""), ["key file"]),
        (broken("keys/download.secret", b"short"), ["download secret"]),
        (broken("trust.toon", b'TRUST[4]{KEY,ROLE,SEQ}:\n  "abc'), ["trust.toon"]),
        (broken("admin.token", b""), ["admin.token", "empty"]),
        (broken("admin.token", b"short"), ["ADMIN_TOKEN"]),
    ],
    ids=["database", "key", "secret", "trust", "no token", "half a token"],
)
def test_a_file_cut_short_is_named(
    damage: Callable[[Workspace], None], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace()
    workspace.make_keys()
    damage(workspace)
    before = {path: path.read_bytes() for path in workspace.data.rglob("*") if path.is_file()}
    assert run(["serve", "--port", "0"]) in (1, 2)
    one_line(capsys, *words)
    for path, content in before.items():
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TLS_CERT", "nowhere", ["TLS_CERT"]),
        ("DATABASE_URL", "nonsense", ["DATABASE_URL"]),
        ("DATABASE_URL", "nonsense://x/y", ["DATABASE_URL"]),
        ("DATABASE_URL", "postgresql://x:geheim@127.0.0.1:1/y", ["database"]),
        ("DATABASE_URL", "sqlite:////nowhere/at/all/x", ["database"]),
        ("RELEASE_PUBLIC_KEYS", "abc", ["RELEASE_PUBLIC_KEYS"]),
        ("ADMIN_PUBLIC_KEYS", "abc", ["ADMIN_PUBLIC_KEYS"]),
        ("SENTRY_DSN", "not-a-dsn", ["SENTRY_DSN"]),
        ("HOST", "nowhere.invalid", ["cannot listen on nowhere.invalid"]),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    name: str,
    value: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    if name == "TLS_CERT":
        monkeypatch.setenv("TLS_KEY", value)
    assert run(["serve", "--port", "0"]) == 1
    captured = capsys.readouterr().err
    said = [line for line in captured.splitlines() if line.startswith("ks: ")]
    assert len(said) == 1
    assert "Traceback" not in captured
    assert "geheim" not in captured
    for word in words:
        assert word in said[0]


def test_a_port_that_is_taken_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    one_line(capsys, f"cannot listen on 127.0.0.1:{port}", "ks serve --port 0")


def test_a_second_server_does_not_start_in_the_same_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Workspace().make_keys()
    with hold(Path(".ks/server.lock")):
        assert run(["serve", "--port", "0"]) == 1
    one_line(capsys, ".ks", "another server")


def test_a_second_terminal_does_not_start_in_the_same_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Workspace().make_keys()
    with hold(Path(".ks/terminals/sim-1.lock")):
        assert run(["simulate"]) == 1
    one_line(capsys, "sim-1", "runs already")
    assert not Path(".ks/terminals/sim-1").exists()


@pytest.mark.parametrize("d1", ["..", ".", "a/b", "", "x" * 65, "a b"])
def test_a_device_id_that_is_none_touches_nothing(
    d1: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Workspace().make_keys()
    before = sorted(tmp_path.rglob("*"))
    assert run(["simulate", "--d1", d1]) == 1
    one_line(capsys, "device id")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "http://[bad", "http://x:999999", "x"])
def test_a_server_that_is_not_there_is_named(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace()
    workspace.make_keys()
    workspace.provide_admin_token()
    assert run(["simulate", "--server", server]) == 1
    one_line(capsys, server.removeprefix("http://").partition(":")[0].strip("["))


def test_keys_are_made_whole_or_not_at_all(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("file").write_text("no folder")
    assert run(["keys", "--offline", "file"]) == 1
    one_line(capsys, "file")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]
    assert run(["keys"]) == 0


def test_an_interrupted_provisioning_is_done_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace()
    workspace.make_keys()
    workspace.provide_admin_token()
    written: list[str] = []
    write_bytes = Path.write_bytes

    def cut_short(path: Path, data: Any) -> int:
        if "terminals" in path.parts:
            written.append(path.name)
            if len(written) == 20:
                raise OSError(28, "No space left on device", str(path))
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", cut_short)
        assert run(["simulate", "--server", "http://127.0.0.1:1"]) == 1
    one_line(capsys, "No space left on device")
    assert run(["simulate", "--server", "http://127.0.0.1:1"]) == 1
    one_line(capsys, "does not answer")
    assert Path(".ks/terminals/sim-1/boot.py").is_file()
    assert (Path(".ks/terminals/sim-1/factory.toon")).is_file()


def ks(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "ks_tools", *arguments], check=False, **options)


def test_a_report_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("no folder")
    wanted = ["fleet", "-n", "1", "--heartbeats", "1", "--duration", "20"]
    assert run([*wanted, "--report", "file/report.json"]) == 1
    one_line(capsys, "file")


def test_an_output_that_takes_no_sign_or_goes_away_is_no_crash() -> None:
    assert run(["keys"]) == 0
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = "from ks_tools.console import rich_console, say; from ks_tools.cli import prepare_output"
    code += "; prepare_output(); say('✓'); rich_console().print('✓')"
    done = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, check=True)
    assert done.stdout.split() == [b"?", b"?"]
    with open("/dev/full", "wb") as full:
        done = ks("keys", "--show", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"No space left" in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = ks("keys", "--show", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_without_a_command_the_help_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: ks")
    assert shown.count("\n  demo") == 1
    assert run(["release"]) == 2
    assert capsys.readouterr().out.startswith("Usage: ks release")
