"""Shared by all tests: where the repository stands and which interpreters it has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.micropython import ROOT, interpreter, works


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
