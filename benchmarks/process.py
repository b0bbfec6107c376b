"""CPU time of another process."""

from __future__ import annotations

import os
from pathlib import Path

from .figure import Unavailable


def cpu_s(pid: int) -> float:
    """CPU seconds that the process has used, all threads, the kernel's part included.

    Raises Unavailable where there is no /proc.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        raise Unavailable("CPU time of the server needs Linux's /proc") from None
    fields = text.rpartition(")")[2].split()  # from the third on, the state
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
