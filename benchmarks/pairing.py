"""Measuring bodies of work against each other in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS = 9
SLICE_S = 0.06

Work = Callable[[], object]


@dataclass(frozen=True)
class Rates:
    """Runs per second of CPU time of each body of work, one number a round."""

    rounds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, peer: str) -> float:
        """The median of the rounds' ratios."""
        pairs = zip(self.rounds[name], self.rounds[peer], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)


def rate(work: Work, slice_s: float = SLICE_S) -> float:
    """Runs per second of this thread's CPU time, over at least `slice_s` of it."""
    count = 1
    while True:
        start = time.thread_time()
        for _ in range(count):
            work()
        spent = time.thread_time() - start
        if spent >= slice_s:
            return count / spent
        count = max(count * 2, int(count * 1.1 * slice_s / spent) if spent else 0)


def in_turns(bodies: Mapping[str, Work], rounds: int = ROUNDS) -> Rates:
    """Measure each body once a round, in an order that turns from round to round."""
    names = list(bodies)
    found: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        rate(bodies[name])  # caches and branch predictors warm up
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(rate(bodies[name]))
    return Rates(found)
