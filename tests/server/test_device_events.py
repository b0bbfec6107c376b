"""POST events and POST logs: stored once however often they come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_agent import lines, toon
from ks_agent.tokens import ANSWER_MAX_BYTES
from ks_server.db.punch_schema import journals, punch_gaps, punches
from ks_server.db.schema import log_rows, log_uploads
from ks_server.punch_chain import missing
from tests.server.client import LINES, TOON, Answer, Device, Server

JID = "0123456789abcdef"


def punch(seq: int, **values: str) -> dict[str, str]:
    row = {
        "A1": f"ev-{seq}", "E1": "04A2B3C4", "A2": "IN", "A3": "2026-11-20T10:00:00.000Z",
        "SEQ": str(seq), "PREV": "", "BOOT": "3", "UP": "123456", "CLK": "SYNCED",
        "METHOD": "RFID",
    }  # fmt: skip
    return row | values


async def upload(device: Device, *numbers: int, **tokens: Any) -> Answer:
    tokens.setdefault("EVENT", [punch(number) for number in numbers])
    return await device.call("events", JID=tokens.pop("JID", JID), **tokens)


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_punches_are_stored_as_they_came_and_acknowledged(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    answer = await upload(device, 1, 2, 3)
    assert (answer.message["S1"], answer.message["ACK_SEQ"]) == ("ok", "3")
    assert answer.message["RESULT"] == []
    rows = await server.rows(punches)
    assert [(row["seq"], row["a1"], row["state"]) for row in rows] == [
        (1, "ev-1", "accepted"), (2, "ev-2", "accepted"), (3, "ev-3", "accepted"),
    ]  # fmt: skip
    assert rows[0]["a3"] == "2026-11-20T10:00:00.000Z"
    assert (rows[0]["boot"], rows[0]["up"], rows[0]["received_ms"]) == (
        "3", "123456", server.clock(),
    )  # fmt: skip


async def test_a_batch_that_comes_again_is_stored_once_and_said_to_be_known(
    server: Server, device: Device
) -> None:
    await upload(device, 1, 2)
    answer = await upload(device, 1, 2, 3)
    assert answer.message["ACK_SEQ"] == "3"
    assert answer.message["RESULT"] == [
        {"A1": "ev-1", "S1": "duplicate"}, {"A1": "ev-2", "S1": "duplicate"},
    ]  # fmt: skip
    assert len(await server.rows(punches)) == 3


async def test_the_acknowledgement_stops_at_what_is_missing_and_goes_on_when_it_comes(
    device: Device,
) -> None:
    assert (await upload(device, 1, 2, 4, 5)).message["ACK_SEQ"] == "2"
    assert (await upload(device, 7)).message["ACK_SEQ"] == "2"
    assert (await upload(device, 3)).message["ACK_SEQ"] == "5"
    assert (await upload(device, 6)).message["ACK_SEQ"] == "7"


async def test_an_empty_batch_tells_where_the_server_is(device: Device) -> None:
    assert (await upload(device)).message["ACK_SEQ"] == "0"
    await upload(device, 1)
    assert (await upload(device)).message["ACK_SEQ"] == "1"


async def test_what_the_terminal_no_longer_has_is_recorded_as_a_gap_and_passed(
    server: Server, device: Device
) -> None:
    await upload(device, 1, 4)
    answer = await upload(device, 9, SEQ_MIN="8")
    assert answer.message["ACK_SEQ"] == "7"
    gaps = await server.rows(punch_gaps)
    assert [(gap["first_seq"], gap["last_seq"]) for gap in gaps] == [(2, 3), (5, 7)]
    assert (await upload(device, 8, SEQ_MIN="8")).message["ACK_SEQ"] == "9"
    assert len(await server.rows(punch_gaps)) == 2


async def test_journals_and_devices_are_counted_apart(server: Server, device: Device) -> None:
    other = await server.registered(d1="dev_2", seed=b"2" * 32)
    await upload(device, 1, 2)
    assert (await upload(device, 1, JID="f" * 16)).message["ACK_SEQ"] == "1"
    assert (await upload(other, 1)).message["ACK_SEQ"] == "1"
    assert len(await server.rows(journals)) == 3


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"A2": "LUNCH"}, "MALFORMED"), ({"E1": ""}, "MISSING_TOKEN"), ({"CLK": "x"}, "MALFORMED"),
        ({"METHOD": "NOSE"}, "MALFORMED"), ({"E1": "x" * 65}, "MALFORMED"),
    ],
)  # fmt: skip
async def test_a_punch_that_must_be_rejected_is_kept_in_quarantine_and_settled(
    server: Server, device: Device, wrong: dict[str, str], code: str
) -> None:
    answer = await upload(device, EVENT=[punch(1), punch(2, **wrong), punch(3)])
    assert answer.message["ACK_SEQ"] == "3"
    assert answer.message["RESULT"] == [{"A1": "ev-2", "S1": "rejected", "ERR1": code}]
    states = [(row["seq"], row["state"], row["err1"]) for row in await server.rows(punches)]
    assert states[1] == (2, "quarantine", code)


@pytest.mark.parametrize(
    "tokens",
    [
        {"EVENT": [punch(1, SEQ="0")]}, {"EVENT": [{"A1": "x"}]}, {"EVENT": [punch(1), punch(1)]},
        {"EVENT": [punch(1)], "SEQ_MIN": "0"}, {"EVENT": [punch(1)], "JID": "short"},
        {"EVENT": "text"},
    ],
)  # fmt: skip
async def test_a_batch_whose_punches_cannot_be_told_apart_is_malformed(
    server: Server, device: Device, tokens: dict[str, Any]
) -> None:
    answer = await upload(device, **tokens)
    assert (answer.code, answer.signed) == ("MALFORMED", False)
    assert await server.rows(punches) == []


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_the_answer_to_the_largest_batch_stays_within_its_limit(
    server: Server, syntax: str
) -> None:
    device = await server.registered(syntax=syntax)
    rows = [{"SEQ": str(number), "A1": "%|" * 32} for number in range(1, 257)]
    answer = await upload(device, EVENT=rows)
    assert answer.message["ACK_SEQ"] == "256"
    assert 0 < len(answer.message["RESULT"]) <= 256
    assert len(answer.response.content) <= ANSWER_MAX_BYTES
    assert len(await server.rows(punches)) == 256


async def test_more_rows_or_bytes_than_a_batch_may_have_are_refused(device: Device) -> None:
    rows = [{"SEQ": str(number)} for number in range(1, 258)]
    assert (await upload(device, EVENT=rows)).code == "MALFORMED"
    rows = [punch(number, NOTE="x" * 400) for number in range(1, 200)]
    assert (await upload(device, EVENT=rows)).code == "TOO_LARGE"


@given(st.sets(st.integers(min_value=1, max_value=40)), st.integers(1, 40), st.integers(1, 42))
def test_gaps_and_numbers_together_are_the_whole_range(
    numbers: set[int], first: int, end: int
) -> None:
    above = sorted(number for number in numbers if number >= first)
    covered = [number for number in above if number < end]
    for start, last in missing(above, first, end):
        assert start <= last
        covered.extend(range(start, last + 1))
    assert sorted(covered) == list(range(first, end))


LOG = [
    {"LOG2": "INFO", "LOG3": "started|fine", "LOG4": "2026-11-20T10:00:00.000Z"},
    {"LOG2": "ERROR", "LOG3": "nul \x00 in it"},
    {"LOG3": "only text"},
]


@pytest.mark.parametrize("syntax", [TOON, LINES])
async def test_a_log_is_stored_row_by_row(server: Server, syntax: str) -> None:
    device = await server.registered(syntax=syntax)
    tokens = {"LOG1": "up-1", "LOG2": "ERROR", "LOG4": "2026-11-20T10:00:00Z", "CMD1": "c-1"}
    answer = await device.call("logs", LOG=LOG, **tokens)
    assert (answer.message["S1"], answer.message["LOG1"]) == ("ok", "up-1")
    (head,) = await server.rows(log_uploads)
    assert (head["log1"], head["log2"], head["cmd1"], head["fw1"]) == (
        "up-1", "ERROR", "c-1", None,
    )  # fmt: skip
    rows = await server.rows(log_rows)
    assert [row["position"] for row in rows] == [0, 1, 2]
    assert [row["log3"] for row in rows] == ["started|fine", "nul \ufffd in it", "only text"]
    assert rows[2]["log2"] is None


async def test_an_upload_that_comes_again_is_stored_once(server: Server, device: Device) -> None:
    for _ in range(2):
        answer = await device.call("logs", LOG1="up-1", LOG2="INFO", LOG=LOG)
        assert answer.code == "ok"
    assert len(await server.rows(log_uploads)) == 1
    assert len(await server.rows(log_rows)) == 3


async def test_two_devices_may_name_their_uploads_alike(server: Server, device: Device) -> None:
    other = await server.registered(d1="dev_2", seed=b"2" * 32)
    for one in (device, other):
        assert (await one.call("logs", LOG1="up-1", LOG2="INFO", LOG=[])).code == "ok"
    assert len(await server.rows(log_uploads)) == 2


@pytest.mark.parametrize("tokens", [{"LOG1": ""}, {"LOG1": "x" * 256}, {"LOG2": "LOUD"}])
async def test_a_log_without_a_proper_name_or_level_is_malformed(
    device: Device, tokens: dict[str, str]
) -> None:
    answer = await device.call("logs", **({"LOG1": "up-1", "LOG2": "INFO"} | tokens))
    assert answer.code == "MALFORMED"


async def test_both_syntaxes_carry_the_same_batch(device: Device) -> None:
    message = device.build("events", JID=JID, EVENT=[punch(1), punch(2)])
    assert lines.decode(lines.encode(message), 65_536) == toon.decode(
        toon.encode(message, lambda *_: "text"), 65_536
    )
