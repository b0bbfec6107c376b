"""The same phases on the interpreter that terminals have, with its own LittleFS: 64 and 32 bit."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sweep_phases

from tools.micropython import ARCHITECTURES, ROOT

SCRIPT = ROOT / "tests" / "power" / "device" / "sweep_run.py"
# The flashes and their copies are in it.
HEAP = {"amd64": "24m", "i386": "16m"}
CUTS = 8
LIMIT_S = 120
LAST = re.compile(r"sweep: (\d+) cuts, (\d+) failed, of (\d+) operations\n$")


def sweep(program: Path, architecture: str, *arguments: str) -> tuple[str, int, int]:
    """What was said, how many cuts, how many failed."""
    done = subprocess.run(
        [program, "-X", f"heapsize={HEAP[architecture]}", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    last = LAST.search(done.stdout)
    assert last, said
    assert (done.returncode == 0) == (last.group(2) == "0"), said
    return said, int(last.group(1)), int(last.group(2))


@pytest.mark.parametrize(
    "phase", [phase.name for phase in sweep_phases.PHASES if not phase.needs_images]
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_power_cut_on_micropython_leaves_a_terminal_that_goes_on(
    architecture: str, phase: str, micropython: Callable[[str], Path]
) -> None:
    first = ARCHITECTURES.index(architecture)  # other operations on each
    said, cuts, failed = sweep(
        micropython(architecture), architecture, phase, str(CUTS), str(first)
    )
    assert failed == 0, said
    assert cuts >= 5


def test_a_planted_bug_is_caught_on_micropython(micropython: Callable[[str], Path]) -> None:
    program = micropython("i386")
    said, _, failed = sweep(program, "i386", "config-proven", "80", "0", "WrittenInPlace")
    assert failed > 0, said
