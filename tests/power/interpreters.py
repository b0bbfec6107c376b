"""Power cuts in a process of MicroPython: a script of tests/power/device, and its last line."""

import re
import subprocess
from pathlib import Path

from tools.micropython import ROOT

DEVICE = ROOT / "tests" / "power" / "device"
LIMIT_S = 120


def cut(
    program: Path, heap: str, script: str, arguments: tuple[str, ...], last: re.Pattern[str]
) -> tuple[str, re.Match[str]]:
    """What was said, and `last` as it matched the end of it: its group `failed` is "0" if and only
    if the script was content.
    """
    done = subprocess.run(
        [program, "-X", f"heapsize={heap}", DEVICE / script, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    found = last.search(done.stdout)
    assert found, said
    assert (done.returncode == 0) == (found["failed"] == "0"), said
    return said, found
