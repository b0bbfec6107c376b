"""CPU time of another process, and of the whole computer."""

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


def computer_cpu_s() -> float:
    """CPU seconds that anything on this computer has used, all processors, since its start.

    Raises Unavailable where there is no /proc.
    """
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except FileNotFoundError:
        raise Unavailable("CPU time of the computer needs Linux's /proc") from None
    # proc(5): user nice system idle iowait irq softirq steal; guest is in user already.
    user, nice, system, _idle, _wait, *interrupts = (int(word) for word in first.split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
