"""Power cuts on the interpreter that terminals have, with its own LittleFS: 64 and 32 bit.

Fewer cuts than on CPython (tests/power), of the same scenarios. That LittleFS does the same on both
interpreters, operation by operation, is what makes those count for terminals.
"""

import re
from binascii import crc32
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cut_allow_lists
import cut_journals
import cut_records
import pytest

from ks_simulator.nor import Program
from tests.power.interpreters import cut
from tests.power.sweep import record
from tests.power.worlds import prepared
from tools.micropython import ARCHITECTURES

SCRIPT = "cut_run.py"
SCENARIOS = cut_records.SCENARIOS + cut_journals.SCENARIOS + cut_allow_lists.SCENARIOS
# The flash and its copies are in it.
HEAP = {"amd64": "8m", "i386": "6m"}
EVERY = 37
# What statvfs says of a flash with less than nothing left is a huge number on 64 bit, where the
# journal tries what on 32 bit, as on the chip, it knows not to fit.
NOT_ALIKE = {("amd64", "no space")}
LAST = re.compile(
    r"run: (?P<digest>[0-9a-f]{8})\npower: (?P<cuts>\d+) cuts, (?P<failed>\d+) failed,"
    r" of (?P<operations>\d+) operations\n$"
)


def operations_on_cpython(scenario: Any) -> tuple[int, int]:
    """How many, and their checksum as cut_run.py makes it."""
    cut_journals.Rng.count = 0
    recording = record(scenario.run, prepared(scenario))
    digest = 0
    for operation in recording.operations:
        if isinstance(operation, Program):
            digest = crc32(b"%d %d " % (operation.block, operation.offset), digest)
            digest = crc32(operation.data, digest)
        else:
            digest = crc32(b"%d " % operation.block, digest)
    return len(recording.operations), digest


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_power_cuts_on_micropython_lose_nothing_and_littlefs_does_what_it_does_on_cpython(
    architecture: str, scenario: Any, micropython: Callable[[str], Path]
) -> None:
    program = micropython(architecture)
    first = ARCHITECTURES.index(architecture)  # other operations on each
    arguments = (scenario.name, str(EVERY), str(first))
    said, last = cut(program, HEAP[architecture], SCRIPT, arguments, LAST)
    assert last["failed"] == "0", said
    assert int(last["cuts"]) > 0
    if (architecture, scenario.name) in NOT_ALIKE:
        return
    operations, digest = operations_on_cpython(scenario())
    assert (int(last["operations"]), last["digest"]) == (operations, f"{digest:08x}")


def test_a_planted_mistake_is_caught_on_micropython(micropython: Callable[[str], Path]) -> None:
    arguments = ("append", "1", "1", "BeepBeforeSync")
    said, last = cut(micropython("i386"), HEAP["i386"], SCRIPT, arguments, LAST)
    assert int(last["failed"]) > 0
    assert "beep of SEQ" in said
