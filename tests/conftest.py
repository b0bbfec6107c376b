"""Shared by all tests: where the repository stands and which interpreters it has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.micropython import ARCHITECTURES, ROOT, interpreter, works

ORACLES = ROOT / ".cache" / "npm" / "node_modules" / "@toon-format"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """End with one line on what this machine lacks and was therefore left out."""
    lacking = [f"MicroPython {name}" for name in ARCHITECTURES if not works(interpreter(name))]
    if not (ORACLES / "toon").is_dir():
        lacking.append("TOON's reference from npm")
    if lacking:
        terminalreporter.write_sep("-", f"left out on this machine: {', '.join(lacking)}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return ROOT


@pytest.fixture(scope="session")
def micropython() -> Callable[[str], Path]:
    """Gives the MicroPython for "amd64" or "i386"; skips the test where there is none."""

    def find(architecture: str) -> Path:
        program = interpreter(architecture)
        if not works(program):
            pytest.skip(f"no MicroPython for {architecture} here: make micropython says why")
        return program

    return find
