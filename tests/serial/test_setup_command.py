"""`ks setup` at ports where there is nothing to set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from ks_tools import setup_command
from ks_tools.cli import run
from tests.serial.desk import Terminal, on_a_pty


def test_a_terminal_that_is_nobody_yet_is_told_and_asked_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with on_a_pty(Terminal().boot) as path:
        assert run(["setup", path]) == 0
        assert "no id yet" in capsys.readouterr().out
        assert run(["setup", path, "--ssid", "Site 7", "--open"]) == 1
    said = capsys.readouterr()
    assert "not provisioned yet; the factory gives it its first network" in said.err
    assert "trying" not in said.out


def test_a_terminal_that_nobody_has_touched_is_silent_and_what_to_do_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_command, "WAIT_S", 0.1)
    with on_a_pty(Terminal().boot, lambda data: b"") as path:
        assert run(["setup", path, "--ssid", "Site 7", "--open"]) == 1
    assert "hold its button for five seconds" in capsys.readouterr().err


def test_a_password_file_that_cannot_be_read_is_said_before_the_port_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert run(["setup", "/dev/ks-none", "--ssid", "x", "--password-file", missing]) == 1
    assert "cannot be read" in capsys.readouterr().err
