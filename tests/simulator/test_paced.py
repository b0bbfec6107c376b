"""A release whose waits are short has short waits, as sources and compiled, on each interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ks_simulator.application import installed_files, paced
from tests.only_once import Compiler

LIMIT_S = 60
# Asks the sleep that the application sleeps with for eight seconds, on a clock that has no time.
PROGRAM = """
import asyncio, sys

sys.path.insert(0, {folder!r})
slept = []
turn = asyncio.sleep

async def sleep(seconds):
    slept.append(seconds)
    await turn(0)

import main

asyncio.sleep = sleep
asyncio.run(main.host_main.WakeableSleep()(8))
print(slept)
"""


def slept(command: list[str], folder: Path, files: dict[str, bytes]) -> str:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    program = folder / "program.py"
    program.write_text(PROGRAM.format(folder=str(folder)))
    done = subprocess.run(
        [*command, program], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_waits_of_sources_are_divided(tmp_path: Path) -> None:
    assert slept([sys.executable, "-B"], tmp_path, paced(installed_files(), 4)) == "[2.0]"


@pytest.mark.parametrize("architecture", ["amd64", "i386"])
def test_waits_of_a_compiled_release_are_divided(
    architecture: str,
    tmp_path: Path,
    micropython: Callable[[str], Path],
    compiler: Compiler,
) -> None:
    files = compiler(paced(installed_files(), 4))
    command = [str(micropython(architecture)), "-X", "heapsize=512k"]
    assert slept(command, tmp_path, files) == "[2.0]"
