"""The factory line: what it adds to esptool, and what ports side by side are worth.

The line, the server and esptool are real; units are software chips behind lines with a real one's
pace, at the baud rate of a new batch. Their Wi-Fi takes no time, and their processor is this
computer's: what a real unit takes for boot, tests and key comes on top of what is found here.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ks_simulator.server import ServerFailed
from ks_tools.factory.run import Verdict

from .factory_run import Turn, Watch
from .factory_station import chips, station
from .figure import Figure, Unavailable

SIDE_BY_SIDE: Final = 8
# They do not know of each other: all eight would take as long as these, and the rest as many times.
IN_TURN: Final = 2
OVER_MOST_MS: Final = 3000
FASTER_LEAST: Final = 5
UNIT: Final = "ms, software chip"


@dataclass(frozen=True)
class Found:
    """Seconds from an empty bench to the last unit's end, and each unit's own."""

    in_turn: list[Watch]
    in_turn_s: float
    side_by_side: list[Watch]
    side_by_side_s: float
    start_s: float
    unit_cpu_s: float

    @classmethod
    def of(cls, said: Mapping[str, Any], whole_s: float) -> Self:
        """From what benchmarks.factory_run printed after so many seconds."""
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
        )

    @property
    def ratio(self) -> float:
        """How many times as long the same number of units takes one after another."""
        return self.in_turn_s / len(self.in_turn) * len(self.side_by_side) / self.side_by_side_s


def measure() -> Iterator[Figure]:
    """Raises Unavailable."""
    try:
        found = asyncio.run(_measure())
    except ServerFailed as error:
        raise Unavailable(f"the server did not start: {error}") from None
    yield from figures(found)


def figures(found: Found) -> Iterator[Figure]:
    """Of single units: the median. `answers` is the part of `over-esptool` that waits for them."""
    units = found.in_turn
    over = [unit.whole_s - sum(unit.esptool_s) for unit in units]
    yield Figure.limited("factory/unit/over-esptool", _ms(over), UNIT, OVER_MOST_MS)
    yield Figure.limited("factory/unit/answers", _ms([unit.answers_s for unit in units]), UNIT)
    yield Figure.limited("factory/unit/esptool", _ms([sum(unit.esptool_s) for unit in units]), UNIT)
    yield Figure.limited("factory/unit/cpu", _ms([found.unit_cpu_s]), "ms, with esptool's")
    yield Figure.limited("factory/start", _ms([found.start_s]), "ms, once a run")
    yield Figure.cheaper(
        f"factory/{len(found.side_by_side)}-side-by-side",
        found.side_by_side_s,
        "s",
        "one after another",
        found.ratio,
        FASTER_LEAST,
    )


async def _measure() -> Found:
    with tempfile.TemporaryDirectory(prefix="ks-bench-factory-") as name:
        folder = Path(name)
        async with station(folder) as made:
            with chips(folder, IN_TURN + SIDE_BY_SIDE) as places:
                turns = [[place] for place in places[:IN_TURN]]
                begun_s = time.monotonic()
                said = await made.work(places, [*turns, places[IN_TURN:]])
                return Found.of(said, time.monotonic() - begun_s)


def _ms(seconds: list[float]) -> float:
    return round(1000 * statistics.median(seconds))
