"""A server that is malicious or confused, with the right key: no punch is lost by its nonsense,
and the terminal neither crashes nor asks without end.

What a server acknowledges it has taken over: what it says about that is believed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import ADMIN_SEEDS, ready

from ks_agent.effects import Response
from ks_agent.journal import Journal
from ks_agent.journal_read import batch
from ks_agent.store import Store

Answer = dict[str, Any]
Bend = Callable[[Answer], None]

HOUR_MS = 3_600_000
# More requests in an hour than this, and it is no waiting.
MOST_AN_HOUR = 1_500


def punching(count: int = 45, **config: str) -> Any:
    """A terminal with punches that were not sent yet."""
    terminal = ready()
    fields = dict(Store(terminal.fs).read("data/state/config.toon"), DUPLICATE_S="0")
    Store(terminal.fs).write("data/state/config.toon", fields | config)
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    for number in range(count):
        assert terminal.agent.punches.take(f"P{number}") == "accepted"
    return terminal


def live(terminal: Any, ms: int = HOUR_MS, most: int = MOST_AN_HOUR) -> None:
    """So much time passes; an AssertionError when it does not, or only by asking."""
    end = terminal.clock.ticks + ms
    asked = len(terminal.server.requests)
    steps = 0
    while terminal.clock.ticks < end:
        assert terminal.step() is not None
        steps += 1
        assert steps < 4 * most, "it goes round and round"
    assert len(terminal.server.requests) - asked < most


def all_sent(terminal: Any, count: int) -> None:
    """With an honest server in the end, all of them come in order."""
    terminal.server.bend = None
    terminal.server.answers.clear()
    terminal.run(lambda: punches_on(terminal.server) >= count, 2_000)
    (rows,) = terminal.server.journals.values()
    sent = [rows[seq]["E1"] for seq in sorted(rows)]
    assert sent[:count] == [f"P{number}" for number in range(count)]


def punches_on(server: Any) -> int:
    return sum(len(rows) for rows in server.journals.values())


def bend(op: str, **values: Iterator[Any]) -> Bend:
    """Give the answers to one operation other tokens; the next ones each time."""

    def change(answer: Answer) -> None:
        if answer["OP"] == op:
            answer.update({key: next(value) for key, value in values.items()})

    return change


ACKS: dict[str, list[str]] = {
    "nothing": ["0"],
    "less than nothing": ["-7"],
    "by turns": ["0", "20"],
    "a little": ["1"],
    "one more each time": [str(number) for number in range(60)],
    "from here to there": ["20", "3", "999999999999999", "0", "41", "-999999999999999"],
}


@pytest.mark.parametrize("case", ACKS)
def test_no_sequence_of_acknowledgements_makes_a_terminal_send_without_end(case: str) -> None:
    terminal = punching()
    terminal.server.bend = bend("events", ACK_SEQ=itertools.cycle(ACKS[case]))
    live(terminal)
    assert terminal.agent.punches.take("more") in ("accepted", "duplicate")


@pytest.mark.parametrize("case", ACKS)
def test_no_sequence_of_acknowledgements_in_heartbeats_does_either(case: str) -> None:
    terminal = punching()
    terminal.server.bend = bend("heartbeat", ACK_SEQ=itertools.cycle(ACKS[case]))
    live(terminal)
    all_sent(terminal, 45 if case in ("nothing", "less than nothing") else 0)


def test_a_server_that_never_has_enough_holds_up_no_wipe() -> None:
    terminal = punching()
    terminal.server.bend = bend("events", ACK_SEQ=itertools.repeat("0"))
    row = terminal.server.command("WIPE", 1, admins=ADMIN_SEEDS)
    live(terminal)
    assert terminal.server.acknowledged()[row["CMD1"]].startswith("PARTIAL")
    assert terminal.agent.identity.state == "ACTIVE"
    all_sent(terminal, 45)


def test_a_server_that_has_more_than_was_ever_punched_makes_journals_begin_but_no_loop() -> None:
    terminal = punching(3)
    terminal.server.bend = bend("events", ACK_SEQ=itertools.repeat("999999999999999"))
    ids = set()
    for number in range(40):
        terminal.agent.punches.take(f"Q{number}")
        ids.add(terminal.agent.punches.journal.tail.jid)
        live(terminal, 120_000, 100)
    assert len(ids) == 40
    # each in a segment of its own, which are dropped like others
    assert len([path for path in terminal.fs.files if path.endswith(".seg")]) < 20


NONSENSE = [
    [],
    [{"A1": "x"}],
    [{"S1": "rejected"}],
    [{"A1": "|\n" * 80, "S1": "rejected", "ERR1": "\u20ac" * 90}],
    [{"A1": "0", "S1": "accepted", "SEQ": "9"}] * 60,
]


@pytest.mark.parametrize("result", NONSENSE)
def test_nonsense_in_the_results_settles_and_breaks_nothing(result: list[dict[str, str]]) -> None:
    terminal = punching()
    terminal.server.bend = bend("events", RESULT=itertools.repeat(result))
    live(terminal, 120_000)
    all_sent(terminal, 45)


@pytest.mark.parametrize(
    "tokens",
    [
        {"RESULT": "no list"},
        {"ACK_SEQ": [{"A1": "1"}]},
        {"ACK_SEQ": "1_0"},
        {"ACK_SEQ": "\u0661"},
        {"ACK_SEQ": ""},
        {"ACK_SEQ": "9" * 16},
        {"S1": [{"A1": "1"}]},
    ],
)
def test_an_answer_of_the_wrong_form_is_not_believed(tokens: Answer) -> None:
    terminal = punching()

    def change(answer: Answer) -> None:
        if answer["OP"] in ("events", "heartbeat"):
            answer.update(tokens)

    terminal.server.bend = change
    live(terminal)
    assert not terminal.agent.punches.journal.is_settled()
    all_sent(terminal, 45)


CODES = ("TOO_LARGE", "MALFORMED", "RATE_LIMIT", "INTERNAL", "NONCE_REUSE", "NOT_FOUND", "NEVER")
WAITS = ("-1", "999999999999999", "0", "1", "x", "")
REFUSALS = list(zip(CODES, itertools.cycle(WAITS), strict=False))


@pytest.mark.parametrize(("code", "wait"), REFUSALS)
def test_refusals_without_end_lose_nothing_and_leave_heartbeats_alone(code: str, wait: str) -> None:
    terminal = punching()
    terminal.server.answers["events"] = {"ERR1": code, "RTY": wait}
    beats = terminal.beats()
    live(terminal, 600_000)
    assert terminal.beats() - beats > 8
    terminal.server.answers.clear()
    live(terminal)
    all_sent(terminal, 45)


def test_a_server_that_finds_batches_too_large_once_is_sent_large_ones_again() -> None:
    terminal = punching(20)
    terminal.server.answers["events"] = {"ERR1": "TOO_LARGE", "RTY": "1"}
    live(terminal, 30_000)
    assert terminal.agent.punches.batch == 1
    all_sent(terminal, 20)
    live(terminal, 120_000)
    assert terminal.agent.punches.batch == 20


def test_what_a_server_lacks_again_is_not_dropped_to_make_room() -> None:
    """A server restored from a backup says so in a heartbeat, and then takes no events."""
    terminal = punching(0, JOURNAL_KIB="16")
    count = fill(terminal)
    terminal.run(lambda: punches_on(terminal.server) == count, 4_000)
    terminal.run(terminal.agent.punches.journal.is_settled)
    terminal.server.journals.clear()
    terminal.server.answers["events"] = {"ERR1": "INTERNAL"}
    live(terminal, 300_000)
    last = count + fill(terminal, count)
    assert last == count
    all_sent(terminal, last)


def fill(terminal: Any, first: int = 0) -> int:
    """Punch until it is full; how many fitted."""
    number = first
    while terminal.agent.punches.take(f"P{number}") == "accepted":
        number += 1
    return number - first


def test_a_damaged_first_segment_is_passed_by_whatever_heartbeats_say() -> None:
    """The head of the oldest segment was needed to understand them: it stopped every boot."""
    terminal = punching(0)
    terminal.link_down = True
    for number in range(900):
        terminal.agent.punches.take(f"{number:08}")
    damage(terminal, 0, 5)
    terminal.link_down = False
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    terminal.run(terminal.agent.punches.journal.is_settled, 2_000)
    (rows,) = terminal.server.journals.values()
    sent = [int(row["E1"]) for row in rows.values() if row is not None]
    assert sorted(sent) == list(range(900 - len(sent), 900)) and len(sent) > 400


def damage(terminal: Any, segment: int, position: int) -> None:
    """One bit of a segment changes."""
    path = sorted(path for path in terminal.fs.files if path.endswith(".seg"))[segment]
    data = bytearray(terminal.fs.files[path])
    data[position] ^= 1
    terminal.fs.files[path] = bytes(data)


def test_punches_go_on_being_sent_after_damage_before_the_place_that_a_server_returns_to() -> None:
    """Else new ones would lie behind it, and count as sent."""
    terminal = punching(60)
    terminal.run(terminal.agent.punches.journal.is_settled)
    damage(terminal, 0, 300)
    terminal.server.journals.clear()
    live(terminal, 300_000)
    before = punches_on(terminal.server)
    assert terminal.agent.punches.take("after the damage") == "accepted"
    live(terminal, 300_000)
    assert punches_on(terminal.server) == before + 1


@pytest.mark.parametrize("credential", ["\ud800", "a\udfffb", "\udcff"])
def test_what_no_message_can_carry_is_no_credential(credential: str) -> None:
    terminal = punching(1)
    assert terminal.agent.punches.take(credential, "QR") == "unknown"
    all_sent(terminal, 1)


AL1 = ["none", "0" * 16, "f" * 16, "", "x", "../../x", "0" * 4000, "NONE", "0" * 15 + "\u0661"]


@pytest.mark.parametrize("answer", [{"ERR1": "NOT_FOUND"}, {"S1": "ok", "AL1": "0" * 16}, {}])
def test_a_server_that_names_ever_another_allow_list_holds_up_no_punch(answer: Answer) -> None:
    terminal = punching()
    terminal.server.bend = bend("heartbeat", AL1=itertools.cycle(AL1))
    terminal.server.answers["allow-list"] = answer
    live(terminal)
    assert terminal.agent.punches.take("more") == "accepted"
    terminal.server.bend = None
    terminal.run(lambda: punches_on(terminal.server) == 46)


def test_the_boot_counter_of_another_release_stops_no_boot() -> None:
    for record in ({"BOOT": [{"X": "1"}]}, {"BOOT": "9" * 5000}, {"BOOT": "-4"}, {"X": "1"}):
        terminal = punching(3)
        before = terminal.agent.punches.boot
        Store(terminal.fs).write("data/state/boots.toon", record)
        terminal.boot()
        terminal.run(lambda: terminal.beats() == 1)  # noqa: B023 -- called at once
        assert terminal.agent.punches.boot == before + 1
        all_sent(terminal, 3)


def test_a_flash_that_takes_no_record_of_a_boot_takes_no_punches_but_heartbeats_go_on() -> None:
    terminal = punching(3)
    good = terminal.fs.open

    def bad(path: str, mode: str) -> Any:
        if mode != "rb":
            raise OSError(28)
        return good(path, mode)

    terminal.fs.open = bad
    terminal.boot()
    terminal.run(lambda: terminal.beats() >= 2)
    assert terminal.agent.punches.take("A") == "closed"
    assert any(row[0] == 4 for row in terminal.agent.log.rows("FATAL", ""))
    all_sent(terminal, 3)


def unsent(terminal: Any) -> list[str]:
    """E1 of the punches on flash that a new boot would send."""
    journal = Journal(terminal.fs, terminal.crypto, terminal.rng)
    journal.recover()
    rows, _, _ = batch(journal, 1_000)
    return [row["E1"] for row in rows]


def test_only_what_the_server_said_is_dropped_whatever_else_it_sends() -> None:
    """Answers that are bound to other requests, unsigned, cut off or of another operation."""
    terminal = punching(25)
    handle = terminal.server.handle
    answers: list[Response] = []

    def meddle(fetch: Any) -> Response:
        response: Response = handle(fetch)
        answers.append(response)
        older = answers[len(answers) // 2 - 1]
        body = [older.body, response.body[:-40], b"", response.body.replace(b"ACK_SEQ", b"ACK_SEX")]
        return Response(200, response.headers, body[len(answers) % len(body)])

    terminal.server.handle = meddle
    live(terminal)
    assert unsent(terminal) == [f"P{number}" for number in range(25)]
    terminal.server.handle = handle
    all_sent(terminal, 25)


def test_a_segment_that_is_there_twice_makes_nobody_send_for_ever() -> None:
    terminal = punching(0)
    terminal.link_down = True
    for number in range(900):
        terminal.agent.punches.take(f"P{number}")
    segments = sorted(path for path in terminal.fs.files if path.endswith(".seg"))
    copied = terminal.fs.files[segments[1]]
    terminal.fs.files["data/journal/00000009.seg"] = copied
    terminal.link_down = False
    terminal.boot()
    live(terminal, HOUR_MS)
    all_sent(terminal, 900)
