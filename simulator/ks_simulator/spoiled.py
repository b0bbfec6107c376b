"""A release that goes wrong on some terminals of a fleet, so that rollouts can be watched failing.

What happens is planted outside the release: its bundle is good, and every other terminal runs it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ks_agent import bundle

from .report import Check

CRASH = "crash"
RESET = "reset"
WAYS = (CRASH, RESET)


class Spoiled(Exception):
    """What a planted crash raises."""


class PlantedReset(Exception):
    """A start that ends as a watchdog's reset does: nobody had the time to say why."""


@dataclass(frozen=True)
class Spoiling:
    """The release `fw1` goes wrong at each start on a `share` (0-1) of the terminals: it crashes
    (CRASH), or the processor is reset (RESET)."""

    fw1: str
    share: float = 1.0
    way: str = CRASH

    def hits(self, seed: int, d1: str) -> bool:
        """Whether this terminal is one of them: the same for the same seed, id and release."""
        return random.Random(f"{seed}|{d1}|{self.fw1}").random() < self.share

    def start(self, fs: Any, slot: str) -> None:
        """Before the application of a slot starts. Raises Spoiled or PlantedReset."""
        if bundle.read_manifest(fs, f"slot_{slot}/manifest.toon")["FW1"] != self.fw1:
            return
        if self.way == RESET:
            raise PlantedReset
        raise Spoiled(f"{self.fw1} is made to fail on this terminal")


class Versions:
    """What a fleet's terminals run, and what became of the updates they tried."""

    def __init__(self, first: str, spoiling: Spoiling | None, seed: int) -> None:
        self.first = first
        self.spoiling = spoiling
        self.seed = seed
        self.running: dict[str, str] = {}
        self.planted: Counter[str] = Counter()
        self.rolled_back: Counter[str] = Counter()

    def observe(self, d1: str, event: str, detail: Mapping[str, str]) -> bool:
        """Hear what a terminal shows; True when it is a failure that was planted."""
        if event == "update_confirmed":
            self.running[d1] = detail["FW2"]
        elif event == "update_rolled_back":
            self.rolled_back[d1] += 1
        elif event == "spoiled" or (event == CRASH and detail.get("CLASS") == Spoiled.__name__):
            self.planted[d1] += 1
            return True
        return False

    def hits(self, d1: str) -> bool:
        return self.spoiling is not None and self.spoiling.hits(self.seed, d1)

    def version_of(self, d1: str) -> str:
        """The version that it runs for good."""
        return self.running.get(d1, self.first)

    def figures(self, ids: list[str]) -> dict[str, object]:
        """Numbers for the report; without a spoiled release, those about it are left out."""
        counts = Counter(map(self.version_of, ids))
        figures: dict[str, object] = {
            "versions": dict(sorted(counts.items())),
            "updates_rolled_back": self.rolled_back.total(),
        }
        if self.spoiling is not None:
            figures |= {
                "spoiled_release": self.spoiling.fw1,
                "spoiled_terminals": sum(self.hits(d1) for d1 in ids),
                "spoiled_tried_it": len(self.planted),
                "spoiled_starts": self.planted.total(),
            }
        return figures

    def checks(self) -> list[Check]:
        """Each terminal that tried the spoiled release must have left it."""
        return [
            Check(
                "is back at the release before the spoiled one",
                bool(self.rolled_back[d1]),
                f"{count} starts of it, no rollback",
                d1,
            )
            for d1, count in self.planted.items()
        ]
