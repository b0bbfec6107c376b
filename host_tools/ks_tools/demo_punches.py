"""The scene in which people punch while the network and the power go, and what is left of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ks_agent import timetext
from ks_simulator.admin import AdminError, eventually
from ks_simulator.punching import CLOSED, UNHEARD, Ledger, Reconciliation, reconcile

if TYPE_CHECKING:
    from ks_simulator.process import ProcessTerminal

    from .demo_stage import Stage

TITLE = "A punch storm through an outage and a power cut"
STORM = 30
STORM_RATE = 5  # a second, at the first and the last terminal; elsewhere a fifth of it
CALM = 5
OUTAGE_AFTER_S = 1.5
CUT_AFTER_S = 3.0
AGAIN_S = 0.25
PATIENCE_S = 40.0
# where the server knows a moment of the same boot
EXACT = ("record", "reference")
EXACT_MS = 1000


class Storm:
    """Who punches, when, and what they hear."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ledger = Ledger()
        self.people = 0
        # of each beep (JID, SEQ): the ms between which the card was held, by our clock
        self.moments: dict[tuple[str, int], tuple[float, float]] = {}

    async def person(self, terminal: ProcessTerminal, card: str) -> None:
        """Hold the card to the reader until it says something; whoever hears nothing does it
        again."""
        self.people += 1
        while True:
            held_ms = time.time() * 1000
            answer = await terminal.punch(card)
            self.ledger.add(terminal.name, answer, time.time() * 1000 - held_ms)
            if answer.beeped:
                self.moments[answer.jid, answer.seq] = (held_ms, time.time() * 1000)
            if answer.outcome not in (UNHEARD, CLOSED):
                return
            await asyncio.sleep(AGAIN_S)

    async def shift(self, terminal: ProcessTerminal, count: int, rate: float) -> None:
        """So many people, so many of them a second, whatever the one before is told."""
        async with asyncio.TaskGroup() as people:
            for number in range(count):
                people.create_task(self.person(terminal, f"{terminal.name}-{number:04d}"))
                await asyncio.sleep(1 / rate)

    async def all_shifts(self) -> None:
        """At the first and at the last terminal the shift changes; the others see people too."""
        terminals = self.stage.terminals
        busy = (terminals[0], terminals[-1])
        async with asyncio.TaskGroup() as shifts:
            for terminal in terminals:
                count, rate = (STORM, STORM_RATE) if terminal in busy else (CALM, STORM_RATE / 5)
                shifts.create_task(self.shift(terminal, count, rate))

    async def everywhere(self, name: str) -> None:
        """One person at each terminal."""
        terminals = self.stage.terminals
        await asyncio.gather(*(self.person(one, f"{one.name}-{name}") for one in terminals))

    async def rows(self, terminal: ProcessTerminal) -> list[dict[str, Any]]:
        return await self.stage.api.punches(d1=terminal.name)

    async def reconciled(self) -> Reconciliation:
        """What the server has of all that was held."""
        total = Reconciliation()
        for terminal in self.stage.terminals:
            journals = await self.stage.api.journals(terminal.name)
            answers = self.ledger.answers.get(terminal.name, [])
            total += reconcile(answers, await self.rows(terminal), journals)
        return total

    def errors_ms(self, row: Mapping[str, Any]) -> tuple[float, float] | None:
        """How far the corrected and the raw time of a punch are from when the card was held; None
        for one whose beep nobody heard."""
        moment = self.moments.get((row["jid"], int(row["seq"])))
        if moment is None:
            return None
        corrected, raw = (_outside_ms(row[name], *moment) for name in ("time", "raw_time"))
        return corrected, raw


def _outside_ms(text: str, first_ms: float, last_ms: float) -> float:
    moment_ms = timetext.parse_ms(text)
    return float(max(first_ms - moment_ms, moment_ms - last_ms, 0))


async def punch_storm(stage: Stage) -> None:
    """Tell it on this stage."""
    stage.scene(TITLE)
    storm = Storm(stage)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _people_and_trouble(stage, storm)
    except TimeoutError:
        stage.check("everybody gets an answer in the end", False, str(storm.ledger.outcomes()))
        stage.network.restore()
        return
    outcomes = storm.ledger.outcomes()
    beeped = outcomes["accepted"]
    again = outcomes[UNHEARD] + outcomes[CLOSED]
    text = f"each of {storm.people} people hears a beep in the end, {again} times they tried again"
    stage.check(text, beeped == storm.people, str(outcomes))
    await _reconciliation(stage, storm)
    await _corrected_times(stage, storm)


async def _people_and_trouble(stage: Stage, storm: Storm) -> None:
    shifts = asyncio.create_task(storm.all_shifts())
    try:
        await asyncio.sleep(OUTAGE_AFTER_S)
        stage.network.outage()
        stage.say("network down, and people go on punching")
        await asyncio.sleep(CUT_AFTER_S - OUTAGE_AFTER_S)
        for terminal in (stage.terminals[0], stage.terminals[-1]):
            terminal.power_cycle()
        stage.say("power cut at two terminals, in the middle of it")
        await shifts
    finally:
        shifts.cancel()
        await asyncio.gather(shifts, return_exceptions=True)
    for terminal in stage.terminals:
        terminal.power_cycle()
    stage.say("power cut everywhere: until the network is back, no clock is right")
    await storm.everywhere("late")
    after = stage.marks()
    stage.network.restore()
    stage.say("network up: people go on punching, by clocks that are right")
    await stage.each_shows("comes back by itself", "heartbeat", after)
    await storm.everywhere("next")


async def _reconciliation(stage: Stage, storm: Storm) -> None:
    found = Reconciliation()

    async def ask() -> Reconciliation:
        nonlocal found
        found = await storm.reconciled()
        return found

    try:
        await eventually(ask, lambda total: total.ok, PATIENCE_S)
    except (TimeoutError, AdminError) as error:
        stage.check("the server has what beeped", False, f"{found}: {error}")
        return
    swallowed = f", and {found.extra} whose beep a power cut swallowed" if found.extra else ""
    stage.check(
        f"expected {storm.people} = beeped {found.beeped} = stored {found.beeped}{swallowed}",
        storm.people == found.beeped == found.stored - found.extra,
        str(found),
    )
    stage.check(
        "no gap, no punch stored twice, every chain unbroken"
        f" ({found.duplicates_dropped} sent twice were dropped)",
        not (found.gaps or found.broken or found.wrong or found.lost),
        str(found),
    )


async def _corrected_times(stage: Stage, storm: Storm) -> None:
    rows = [row for terminal in stage.terminals for row in await storm.rows(terminal)]
    found = [(row, storm.errors_ms(row)) for row in rows if row["clk"] == "UNSYNCED"]
    judged = [(row, *errors) for row, errors in found if errors is not None]
    beyond = [
        row
        for row, corrected_ms, _ in judged
        if row["uncertainty_ms"] is None or corrected_ms > row["uncertainty_ms"]
    ]
    raw_ms = max((raw for _, _, raw in judged), default=0)
    stage.check(
        f"{len(judged)} punches of clocks up to {raw_ms / 1000:.1f} s wrong have their true time "
        "within the uncertainty that the server states",
        len(judged) >= len(stage.terminals) and not beyond,
        f"{len(beyond)} are not: {beyond[:2]}",
    )
    exact = [off_ms for row, off_ms, _ in judged if row["time_source"] in EXACT]
    stage.check(
        f"{len(exact)} of them, made since the same power-on as a later one, are right to "
        f"{max(exact, default=0) / 1000:.2f} s",
        len(exact) >= len(stage.terminals) and max(exact, default=0) <= EXACT_MS,
        f"the others: {Counter(row['time_source'] for row, _, _ in judged)}",
    )
