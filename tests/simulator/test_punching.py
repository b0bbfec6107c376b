"""Answers are matched with what was held, and with what the server has: each fault is seen."""

import hashlib
from typing import Any

import pytest

from ks_agent.punch import prev_of, punch_hash
from ks_simulator.events import Event
from ks_simulator.punching import (
    ACCEPTED,
    UNHEARD,
    Answer,
    Answers,
    Ledger,
    Reconciliation,
    reconcile,
    unbroken,
)

JID = "00000000000000aa"
BEEPED = [Answer(name, ACCEPTED, JID, seq) for seq, name in enumerate("ABC", 1)]


def row(e1: str, seq: int, chain: str = "linked") -> dict[str, Any]:
    return {"jid": JID, "seq": seq, "e1": e1, "chain": chain}


def journal(**changes: Any) -> dict[str, Any]:
    sound = {"gaps": [], "unsent": 0, "conflicts": 0, "quarantine": 0, "duplicates": 2}
    return {**sound, **changes}


ROWS = [row("A", 1), row("B", 2), row("C", 3)]


async def test_answers_come_in_the_order_in_which_cards_were_held() -> None:
    answers = Answers()
    first, second, third = (answers.held(card) for card in "ABC")
    answers.hear(Event("heartbeat"))
    answers.hear(Event("punch", {"S1": "accepted", "JID": JID, "SEQ": "7", "A2": "IN"}))
    answers.hear(Event("punch_refused", {"S1": "duplicate"}))
    assert await first == Answer("A", ACCEPTED, JID, 7)
    assert await second == Answer("B", "duplicate")
    assert not third.done()
    answers.silence()
    assert await third == Answer("C", UNHEARD)
    answers.hear(Event("punch_refused", {"S1": "closed"}))


def test_all_is_well_when_what_beeped_is_what_is_stored() -> None:
    held = [*BEEPED, Answer("C", "duplicate"), Answer("D", "unknown")]
    found = reconcile(held, ROWS, [journal()])
    assert found.ok
    assert (found.held, found.beeped, found.refused, found.stored) == (5, 3, 2, 3)
    assert found.duplicates_dropped == 2
    assert str(found) == "held 5 = beeped 3 + refused 2; stored 3 = beeped 3"


def test_a_punch_whose_beep_was_cut_off_may_be_stored_or_not() -> None:
    held = [*BEEPED, Answer("D", UNHEARD)]
    assert reconcile(held, ROWS, [journal()]).ok
    found = reconcile(held, [*ROWS, row("D", 4)], [journal()])
    assert found.ok
    assert found.extra == 1
    assert "+ 1 whose beep a power cut swallowed" in str(found)


@pytest.mark.parametrize(
    ("held", "rows", "journals", "wrong"),
    [
        (BEEPED, ROWS[:2], [journal()], "1 lost"),
        (BEEPED, [*ROWS, row("C", 4)], [journal()], "1 wrong"),
        ([*BEEPED, Answer("D", UNHEARD)], [*ROWS, row("E", 4)], [journal()], "1 wrong"),
        (BEEPED, [*ROWS, ROWS[0]], [journal()], "1 wrong"),
        ([*BEEPED, BEEPED[0]], ROWS, [journal()], "1 wrong"),
        (BEEPED, [*ROWS[:2], row("X", 3)], [journal()], "1 wrong"),
        (BEEPED, ROWS, [journal(gaps=[{"first_seq": 1, "last_seq": 1}])], "1 gaps"),
        (BEEPED, ROWS, [journal(unsent=2)], "2 gaps"),
        (BEEPED, [*ROWS[:2], row("C", 3, "broken")], [journal()], "1 broken"),
        (BEEPED, ROWS, [journal(conflicts=1)], "1 broken"),
        (BEEPED, ROWS, [journal(quarantine=1)], "1 broken"),
    ],
)
def test_whatever_is_not_as_it_was_held_is_told(
    held: list[Answer], rows: list[dict[str, Any]], journals: list[dict[str, Any]], wrong: str
) -> None:
    found = reconcile(held, rows, journals)
    assert not found.ok
    assert wrong in str(found)
    assert not (found + Reconciliation()).ok


def test_sums_hold_when_their_parts_do() -> None:
    part = reconcile(BEEPED, ROWS, [journal()])
    total = sum([part, part], Reconciliation())
    assert total.ok
    assert (total.beeped, total.stored) == (6, 6)


def chained(count: int) -> list[dict[str, str]]:
    made: list[dict[str, str]] = []
    prev = ""
    for seq in range(1, count + 1):
        texts = {
            "A1": f"{JID}-{seq}", "A2": "IN", "A3": "2026-11-21T07:00:00.000Z", "BOOT": "1",
            "CLK": "SYNCED", "E1": "A", "JID": JID, "METHOD": "RFID", "PREV": prev,
            "SEQ": str(seq), "UP": str(seq * 1000),
        }  # fmt: skip
        made.append(texts)
        prev = prev_of(punch_hash(hashlib.sha256, texts))
    return made


def test_a_chain_is_unbroken_from_the_first_punch_on() -> None:
    punches = chained(4)
    assert unbroken(reversed(punches))
    assert not unbroken(punches[1:])
    assert not unbroken([punches[0], *punches[2:]])
    for key in ("E1", "A2", "A3", "UP", "CLK"):
        changed = [dict(punch) for punch in punches]
        changed[1][key] += "9"
        assert not unbroken(changed), key


def test_percentiles_are_of_what_was_measured() -> None:
    ledger = Ledger()
    assert ledger.percentile_ms(0.5) == 0
    for number in range(100):
        ledger.add("d", Answer(str(number), ACCEPTED, JID, number + 1), float(number))
    assert ledger.percentile_ms(0.5) == 50
    assert ledger.percentile_ms(0.99) == 99
    assert ledger.percentile_ms(1) == 99
    assert len(ledger.beeped("d")) == 100
    assert ledger.outcomes() == {ACCEPTED: 100}
