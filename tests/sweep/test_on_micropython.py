"""The same phases on the interpreter that terminals have, with its own LittleFS: 64 and 32 bit."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sweep_phases

from tests.power.interpreters import cut
from tools.micropython import ARCHITECTURES

SCRIPT = "sweep_run.py"
# The flashes and their copies are in it.
HEAP = {"amd64": "24m", "i386": "16m"}
CUTS = 4
PHASES = [phase.name for phase in sweep_phases.PHASES if not phase.needs_images]
LAST = re.compile(r"sweep: (?P<cuts>\d+) cuts, (?P<failed>\d+) failed, of \d+ operations\n$")


@pytest.mark.parametrize(("number", "phase"), list(enumerate(PHASES)))
def test_a_power_cut_on_micropython_leaves_a_terminal_that_goes_on(
    number: int, phase: str, micropython: Callable[[str], Path]
) -> None:
    architecture = ARCHITECTURES[number % len(ARCHITECTURES)]  # in turn
    arguments = (phase, str(CUTS), "0")
    said, last = cut(micropython(architecture), HEAP[architecture], SCRIPT, arguments, LAST)
    assert last["failed"] == "0", said
    assert int(last["cuts"]) >= CUTS


def test_a_planted_bug_is_caught_on_micropython(micropython: Callable[[str], Path]) -> None:
    arguments = ("config-proven", "24", "0", "WrittenInPlace")
    said, last = cut(micropython("i386"), HEAP["i386"], SCRIPT, arguments, LAST)
    assert int(last["failed"]) > 0, said
