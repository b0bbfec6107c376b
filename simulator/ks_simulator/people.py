"""People at the terminals of a fleet: punches now and then, storms, an outage meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .punching import ACCEPTED, Answer, Ledger
from .terminal import Terminal

# a shift change at one terminal
STORM_RATE = 5
# of the punches that are a person's second within a moment
REPEATED = 0.05
SETTLE_LIMIT_S = 120.0
SETTLE_POLL_S = 0.05


@dataclass(frozen=True)
class Traffic:
    """What people do: `per_minute` punches at each terminal, `storm` more in a row at five a
    second, and the network away for `outage_s`. Storm and outage begin together, at a third of the
    run's longest duration."""

    per_minute: float = 0.0
    storm: int = 0
    outage_s: float = 0.0

    @property
    def has_punches(self) -> bool:
        return self.per_minute > 0 or self.storm > 0

    @property
    def is_any(self) -> bool:
        return self.has_punches or self.outage_s > 0


class People:
    """Hold cards to terminals as `traffic` says, and remember every answer."""

    def __init__(self, traffic: Traffic, seed: int) -> None:
        self.ledger = Ledger()
        self._traffic = traffic
        self._seed = seed
        self._cards: dict[str, int] = {}
        self._recorded: dict[str, tuple[str, int]] = {}
        self._acknowledged: dict[str, tuple[str, int]] = {}

    def observe(self, d1: str, event: str, detail: Mapping[str, str]) -> None:
        """Hear what a terminal shows."""
        if event == "punch":
            self._recorded[d1] = (detail["JID"], int(detail["SEQ"]))
        elif event == "punches_uploaded":
            self._acknowledged[d1] = (detail["JID"], int(detail["ACK_SEQ"]))

    async def wander(self, d1: str, terminal: Terminal) -> None:
        """Punch at one terminal now and then, until cancelled."""
        if not self._traffic.per_minute:
            return
        dice = random.Random(f"{self._seed}|{d1}|people")
        while True:
            await asyncio.sleep(dice.expovariate(self._traffic.per_minute / 60))
            if dice.random() >= REPEATED or d1 not in self._cards:
                self._cards[d1] = self._cards.get(d1, 0) + 1
            self.hold(d1, terminal, f"{self._cards[d1]:08d}")

    async def storm(self, d1: str, terminal: Terminal) -> None:
        """The shift changes."""
        for number in range(self._traffic.storm):
            self.hold(d1, terminal, f"S{number:07d}")
            await asyncio.sleep(1 / STORM_RATE)

    def hold(self, d1: str, terminal: Terminal, credential: str) -> Answer:
        """One card to one reader."""
        start_ns = time.perf_counter_ns()
        outcome = terminal.punch(credential)
        latency_ms = (time.perf_counter_ns() - start_ns) / 1_000_000
        jid, seq = self._recorded[d1] if outcome == ACCEPTED else ("", 0)
        return self.ledger.add(d1, Answer(credential, outcome, jid, seq), latency_ms)

    def is_settled(self, d1: str) -> bool:
        """Whether the terminal knows the server to have all that it has recorded."""
        return self._recorded.get(d1) == self._acknowledged.get(d1)

    async def settled(self, limit_s: float = SETTLE_LIMIT_S) -> bool:
        """Wait until all are; False when that takes too long."""
        deadline = time.monotonic() + limit_s
        while not all(self.is_settled(d1) for d1 in self._recorded):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(SETTLE_POLL_S)
        return True
