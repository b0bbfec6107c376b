"""Many ports side by side: a thread for each, esptool as a process of its own in each."""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Sequence
from typing import Final

from .run import Line, UnitRun, Verdict

PATTERNS: Final = ("/dev/ttyUSB*", "/dev/ttyACM*")
POLL_S: Final = 0.5
# After Ctrl-C: what takes longer is left to the next run, which finds it begun.
LEAVE_S: Final = 3.0

Runs = dict[str, Verdict]


def run_once(line: Line, ports: Sequence[str]) -> Runs:
    """One unit at each port, all at the same time: how each ended. Raises KeyboardInterrupt."""
    verdicts: Runs = {}
    threads = [
        threading.Thread(target=_into, args=(line, port, verdicts), daemon=True) for port in ports
    ]
    _run_threads(line, threads)
    return verdicts


def watch(line: Line, find: Callable[[], list[str]], after: Callable[[Runs], bool]) -> None:
    """A unit at every port that comes up, until Ctrl-C; the next one once it was unplugged, also
    if that was while the last one was still being given up.

    `after` is told of the verdicts so far; True ends it.
    """
    verdicts: Runs = {}
    busy: dict[str, threading.Thread] = {}
    unplugged: set[str] = set()
    try:
        while not after(verdicts):
            there = set(find())
            unplugged |= set(busy) - there
            for port in [port for port in unplugged if not busy[port].is_alive()]:
                unplugged.remove(port)
                del busy[port]
            for port in there - set(busy):
                busy[port] = threading.Thread(
                    target=_into, args=(line, port, verdicts), daemon=True
                )
                busy[port].start()
            line.stop.wait(POLL_S)
    finally:
        line.stop.set()
        for thread in busy.values():
            thread.join(LEAVE_S)


def serial_ports(patterns: Sequence[str] = PATTERNS) -> list[str]:
    """The serial ports that are there, by name."""
    return sorted({port for pattern in patterns for port in glob.glob(pattern)})


def _into(line: Line, port: str, verdicts: Runs) -> None:
    try:
        verdicts[port] = UnitRun(line, port).run()
    except Exception as error:  # one lane's crash is not the others'
        verdicts[port] = Verdict.WAIT
        line.view.verdict(port, None, Verdict.WAIT, f"{type(error).__name__}: {error}")


def _run_threads(line: Line, threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(POLL_S)  # with a limit, so that Ctrl-C comes through
    except KeyboardInterrupt:
        line.stop.set()
        for thread in threads:
            thread.join(LEAVE_S)
        raise
