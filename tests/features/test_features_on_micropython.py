"""The features' tests once more, on the interpreter that terminals have: 64 and 32 bit."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.micropython import ARCHITECTURES

DEVICE = Path(__file__).parent / "device"
HEAP = {"amd64": "512k", "i386": "256k"}  # the fakes and the tests take most of it
LIMIT_S = 120


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_pass_on_micropython(
    architecture: str, micropython: Callable[[str], Path]
) -> None:
    program = micropython(architecture)
    files = sorted(DEVICE.glob("test_*.py"))
    done = subprocess.run(
        [program, "-X", f"heapsize={HEAP[architecture]}", DEVICE / "run_features.py", *files],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    last = (done.stdout.strip().splitlines() or [""])[-1]
    outcome = re.fullmatch(r"core: (\d+) passed, 0 failed, (\d+) skipped", last)
    assert outcome, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(outcome.group(1)) > len(files)
