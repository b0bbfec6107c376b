"""The scene of the punch storm tells what it finds, the bad too."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from ks_agent import timetext
from ks_simulator.punching import CLOSED, UNHEARD, Answer
from ks_tools import demo_punches
from ks_tools.demo_punches import Storm
from ks_tools.demo_stage import Scene, Stage

JID = "00000000000000aa"
DAY_MS = 86_400_000


class Terminal:
    """Numbers what is held to it; the first try of each card is not heard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: list[str] = []
        self.stored: list[dict[str, Any]] = []

    async def punch(self, card: str) -> Answer:
        self.held.append(card)
        tries = self.held.count(card)
        if tries < 3:
            return Answer(card, (UNHEARD, CLOSED)[tries - 1])
        seq = len(self.stored) + 1
        now = timetext.format_ms(int(time.time() * 1000))
        self.stored.append(
            {
                "jid": JID, "seq": seq, "e1": card, "chain": "linked", "clk": "UNSYNCED",
                "time": now, "raw_time": now, "uncertainty_ms": 50, "time_source": "reference",
            }
        )  # fmt: skip
        return Answer(card, "accepted", JID, seq)


class Api:
    def __init__(self, terminals: list[Terminal]) -> None:
        self._terminals = {terminal.name: terminal for terminal in terminals}

    async def punches(self, d1: str) -> list[dict[str, Any]]:
        return self._terminals[d1].stored

    async def journals(self, d1: str) -> list[dict[str, Any]]:
        return [{"gaps": [], "unsent": 0, "conflicts": 0, "quarantine": 0, "duplicates": 1}]


@pytest.fixture
def storm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storm:
    monkeypatch.setattr(demo_punches, "AGAIN_S", 0)
    monkeypatch.setattr(demo_punches, "STORM_RATE", 10_000)
    monkeypatch.setattr(demo_punches, "PATIENCE_S", 0.3)
    stage: Any = Stage(tmp_path)
    stage.terminals = [Terminal("terminal-1"), Terminal("terminal-2")]
    stage.api = Api(stage.terminals)
    stage.scenes.append(Scene("storm"))
    made = Storm(stage)
    asyncio.run(made.all_shifts())
    return made


def outcome(storm: Storm, *parts: Any) -> list[bool]:
    async def tell() -> None:
        for part in parts:
            await part(storm.stage, storm)

    asyncio.run(tell())
    return [check.ok for check in storm.stage.scenes[-1].checks]


BOTH = (demo_punches._reconciliation, demo_punches._corrected_times)


def test_whoever_hears_nothing_holds_the_card_again_until_it_beeps(storm: Storm) -> None:
    assert storm.people == 2 * demo_punches.STORM
    outcomes = storm.ledger.outcomes()
    assert outcomes == {"accepted": 60, UNHEARD: 60, CLOSED: 60}
    assert outcome(storm, *BOTH) == [True] * 4


def test_a_punch_that_is_not_stored_fails_the_reconciliation(storm: Storm) -> None:
    del stored_by(storm)[-1]
    assert outcome(storm, demo_punches._reconciliation) == [False]


def test_a_time_beyond_its_uncertainty_fails_the_times(storm: Storm) -> None:
    row = stored_by(storm)[0]
    row["time"] = timetext.format_ms(timetext.parse_ms(row["time"]) + 200)
    assert outcome(storm, demo_punches._corrected_times) == [False, True]
    row["uncertainty_ms"] = None
    assert outcome(storm, demo_punches._corrected_times)[2:] == [False, True]


def test_a_time_that_should_be_exact_and_is_not_fails_the_times(storm: Storm) -> None:
    row = stored_by(storm)[0]
    row["time"] = timetext.format_ms(timetext.parse_ms(row["time"]) - DAY_MS)
    row["uncertainty_ms"] = 2 * DAY_MS
    assert outcome(storm, demo_punches._corrected_times) == [True, False]


def stored_by(storm: Storm) -> list[dict[str, Any]]:
    terminal: Any = storm.stage.terminals[0]
    rows: list[dict[str, Any]] = terminal.stored
    return rows
