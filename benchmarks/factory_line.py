"""The factory line: what it adds to esptool, and what ports side by side are worth.

The line, the server and esptool are real; units are software chips behind lines with a real one's
pace, at the baud rate of a new batch. Their Wi-Fi takes no time, and their processor is this
computer's: what a real unit takes for boot, tests and key comes on top of what is found here.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from ks_simulator.server import ServerFailed
from ks_tools.factory.run import Verdict

from .factory_run import Turn, Watch
from .factory_station import chips, station
from .figure import Figure, Unavailable
from .process import computer_cpu_s

SIDE_BY_SIDE: Final = 8
# They do not know of each other: all eight would take as long as these, and the rest as many times.
IN_TURN: Final = 2
OVER_MOST_MS: Final = 3000
FASTER_LEAST: Final = 5
UNIT: Final = "ms, software chip"
# Eight ports want half of two processors. Where others take more than this share of them, it is
# the others that are measured.
OTHERS_MOST: Final = 0.25


@dataclass(frozen=True)
class Found:
    """Seconds from an empty bench to the last unit's end, and each unit's own."""

    in_turn: list[Watch]
    in_turn_s: float
    side_by_side: list[Watch]
    side_by_side_s: float
    start_s: float
    unit_cpu_s: float
    others: float

    @classmethod
    def of(cls, said: Mapping[str, Any], whole_s: float, others: float = 0.0) -> Self:
        """From what benchmarks.factory_run printed after so many seconds, while others had that
        share of the processors."""
        units = [Watch(**fields) for fields in said["units"].values()]
        turns = [Turn(**fields) for fields in said["turns"]]
        failed = [unit.verdict for unit in units if unit.verdict != Verdict.PASS.value]
        assert not failed, f"units have failed: {failed}"
        *single, together = turns
        return cls(
            in_turn=units[: len(single)],
            in_turn_s=sum(turn.wall_s for turn in single),
            side_by_side=units[len(single) :],
            side_by_side_s=together.wall_s,
            start_s=whole_s - sum(turn.wall_s for turn in turns),
            unit_cpu_s=statistics.median(turn.cpu_s for turn in single),
            others=others,
        )

    @property
    def ratio(self) -> float:
        """How many times as long the same number of units takes one after another."""
        return self.in_turn_s / len(self.in_turn) * len(self.side_by_side) / self.side_by_side_s


def measure_unit() -> Iterator[Figure]:
    """Raises Unavailable."""
    yield from unit_figures(_found())


def measure_ports() -> Iterator[Figure]:
    """Raises Unavailable, also where the computer was busy with something else."""
    yield from port_figures(_found())


def unit_figures(found: Found) -> Iterator[Figure]:
    """The median of single units. `answers` is the part of `over-esptool` that waits for them."""
    units = found.in_turn
    over = [unit.whole_s - sum(unit.esptool_s) for unit in units]
    yield Figure.limited("factory/unit/over-esptool", _ms(over), UNIT, OVER_MOST_MS)
    yield Figure.limited("factory/unit/answers", _ms([unit.answers_s for unit in units]), UNIT)
    yield Figure.limited("factory/unit/esptool", _ms([sum(unit.esptool_s) for unit in units]), UNIT)
    yield Figure.limited("factory/unit/cpu", _ms([found.unit_cpu_s]), "ms, with esptool's")
    yield Figure.limited("factory/start", _ms([found.start_s]), "ms, once a run")


def port_figures(found: Found) -> Iterator[Figure]:
    """How much sooner ports side by side are through. Raises Unavailable, see OTHERS_MOST."""
    count = len(found.side_by_side)
    if found.others > OTHERS_MOST:
        raise Unavailable(
            f"others had {found.others:.0%} of the processors meanwhile; with them, {count} ports "
            f"were {found.ratio:.1f} times as fast as one"
        )
    name, peer = f"factory/{count}-side-by-side", "one after another"
    yield Figure.cheaper(name, found.side_by_side_s, "s", peer, found.ratio, FASTER_LEAST)


@cache
def _found() -> Found:
    """Both topics are about the same units."""
    try:
        return asyncio.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None


async def _measure() -> Found:
    with tempfile.TemporaryDirectory(prefix="ks-bench-factory-") as name:
        folder = Path(name)
        async with station(folder) as made:
            with chips(folder, IN_TURN + SIDE_BY_SIDE) as places:
                turns = [[place] for place in places[:IN_TURN]]
                begun_s, all_s, own_s = time.monotonic(), computer_cpu_s(), _own_cpu_s()
                said = await made.work(places, [*turns, places[IN_TURN:]])
                whole_s, own_s = time.monotonic() - begun_s, _own_cpu_s() - own_s
                others_s = computer_cpu_s() - all_s - own_s
                return Found.of(said, whole_s, others_s / whole_s / (os.cpu_count() or 1))


def _own_cpu_s() -> float:
    """Of this program, the line, esptool and the chips' programs, once they have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds))
