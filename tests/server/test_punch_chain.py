"""Punches as links of a chain: what does not fit is stored, settled, and found."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_agent import timetext
from ks_agent.errors import Malformed
from ks_agent.punch import prev_of, punch_hash
from ks_agent.schema import EVENT_FIELDS
from ks_agent.tokens import is_integer
from ks_server import punch_chain
from ks_server.db.bulk import Query
from ks_server.db.punch_schema import (  # fmt: skip
    journals,
    punch_conflicts,
    punch_findings,
    punch_gaps,
    punches,
)
from ks_server.db.schema import raw_messages
from ks_server.repository import punches as punches_of
from tests.server.client import Device, Server
from tests.server.journal_support import Journal

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "%", "a|b", "A1:x", "card\n", "4711", "\x7f", "é", "\u2028"]),
)
moments = st.integers(0, timetext.LAST_MS).map(timetext.format_ms)
near_moments = st.builds(
    lambda text, at, other: text[:at] + other + text[at + 1 :],
    moments, st.integers(0, 24), st.sampled_from(["", "x", "9", ":", "6", "\u0663", "0Z", " "]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(EVENT_FIELDS), texts), texts)
def test_a_punch_is_hashed_as_the_terminal_hashes_it(row: dict[str, str], jid: str) -> None:
    row["SEQ"] = "7"
    digest = prev_of(punch_hash(hashlib.sha256, row | {"JID": jid}))
    assert punch_chain.read(jid, row).hash == digest


@given(st.one_of(moments, near_moments, texts))
def test_a_time_is_read_as_everywhere_else(text: str) -> None:
    row = {"SEQ": "1", "A1": "a", "E1": "e", "A2": "IN", "A3": text}
    punch = punch_chain.read("0" * 16, row)
    try:
        expected = timetext.parse_ms(text)
    except Malformed:
        assert punch.err1 is not None
    else:
        assert (punch.err1, punch.raw_ms) == (None, expected)


@given(st.one_of(st.integers(-5, 10**17).map(str), texts))
def test_a_number_is_read_as_everywhere_else(text: str) -> None:
    row = {"SEQ": "1", "A1": "a", "E1": "e", "A2": "IN", "A3": "2026-11-20T10:00:00Z", "UP": text}
    punch = punch_chain.read("0" * 16, row)
    is_right = is_integer(text) and int(text) >= 0 and text != "-0"
    assert punch.up_ms == (int(text) if is_right else None)
    assert (punch.err1 is None) == is_right


async def found(server: Server) -> list[tuple[str, Any, Any]]:
    rows = await server.rows(punch_findings)
    return [(row["kind"], row["first_seq"], row["last_seq"]) for row in rows]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
async def test_a_chain_that_is_whole_is_not_complained_about_in_any_order(
    server: Server, device: Device, order: tuple[int, ...]
) -> None:
    journal = Journal(device)
    journal.punches(3)
    for number in order:
        await journal.send(number)
    assert await found(server) == []
    assert (await server.rows(journals))[0]["ack_seq"] == 3


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_a_punch_whose_predecessor_was_another_is_found_in_any_order_of_arrival(
    server: Server, device: Device, order: tuple[int, ...]
) -> None:
    journal = Journal(device)
    journal.punches(2)
    journal.punch(PREV="f" * 16)
    for number in order:
        answer = await journal.send(number)
    assert (answer.message["ACK_SEQ"], answer.message["RESULT"]) == ("3", [])
    assert await found(server) == [("broken_chain", 3, 3)]
    assert [row["state"] for row in await server.rows(punches)] == ["accepted"] * 3


async def test_the_first_punch_of_a_journal_follows_nothing(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch(PREV="0" * 16)
    await journal.send()
    assert await found(server) == [("broken_chain", 1, 1)]


async def test_a_quarantined_punch_is_a_link_like_any_other(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch()
    journal.punch(A2="LUNCH")
    journal.punch()
    answer = await journal.send()
    assert answer.message["ACK_SEQ"] == "3"
    assert await found(server) == []


async def test_other_content_under_a_taken_number_is_kept_and_settled_as_a_conflict(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punches(3)
    await journal.send()
    other = journal.branch(2)
    other.punch(E1="somebody else")
    for _ in range(2):
        answer = await other.send(3)
        assert answer.message["ACK_SEQ"] == "3"
        assert answer.message["RESULT"] == [
            {"A1": f"{journal.jid}-3", "S1": "rejected", "ERR1": "CONFLICT"}
        ]
    assert await found(server) == [("fork", 3, 3)]
    (kept,) = await server.rows(punch_conflicts)
    assert (kept["seq"], kept["e1"]) == (3, "somebody else")
    assert (await server.rows(punches))[2]["e1"] == "04A2B3C4"


async def test_a_fork_is_one_finding_however_far_it_goes(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(5)
    await journal.send()
    other = journal.branch(2)
    other.punches(4, A2="OUT")
    answer = await other.send()
    assert answer.message["ACK_SEQ"] == "6"
    assert await found(server) == [("broken_chain", 6, 6), ("fork", 3, 5)]


async def test_a_record_that_was_changed_where_it_lay_is_found_as_rewritten(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punches(4)
    await journal.send()
    journal.rows[1] = journal.rows[1] | {"A3": "2020-01-01T00:00:00.000Z"}
    answer = await journal.send()
    assert answer.message["ACK_SEQ"] == "4"
    assert await found(server) == [("rewritten", 2, 2)]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
@pytest.mark.parametrize("wrong", [{"UP": "1"}, {"BOOT": "2", "UP": "999999999"}])
async def test_a_time_base_that_goes_back_is_found_in_either_order(
    server: Server, device: Device, order: tuple[int, ...], wrong: dict[str, str]
) -> None:
    journal = Journal(device)
    journal.punch()
    journal.punch(**wrong)
    for number in order:
        await journal.send(number)
    assert await found(server) == [("reordered", 2, 2)]


async def test_a_new_boot_begins_its_time_base_anew(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch()
    journal.punch(BOOT="4", UP="1")
    await journal.send()
    assert await found(server) == []


async def test_what_is_missing_is_a_finding_until_it_comes(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(9)
    await journal.send(1, 9, SEQ_MIN="8")
    assert await found(server) == [("gap", 2, 7)]
    await journal.send(4, 5)
    gaps = await server.rows(punch_gaps)
    assert [(gap["first_seq"], gap["last_seq"]) for gap in gaps] == [(2, 3), (6, 7)]
    assert (await server.rows(punch_findings))[0]["resolved_ms"] is None
    answer = await journal.send(2, 3, 6, 7, 8)
    assert answer.message["ACK_SEQ"] == "9"
    assert await server.rows(punch_gaps) == []
    assert (await server.rows(punch_findings))[0]["resolved_ms"] == server.clock()


async def test_findings_are_announced_and_counted_without_a_person(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punch()
    journal.punch(PREV="f" * 16, E1="secret-card")
    await journal.send()
    (fields,) = [fields for name, fields in server.events if name == "punch_finding"]
    assert fields == {
        "d1": "dev_1", "jid": journal.jid, "kind": "broken_chain", "first_seq": 2, "last_seq": 2,
        "detail": "PREV is not the hash of the punch before", "at_ms": server.clock(),
    }  # fmt: skip
    metrics = server.context.metrics.render()
    assert b'ks_punch_findings_total{kind="broken_chain"} 1.0' in metrics
    assert b'ks_punches_total{result="accepted"} 2.0' in metrics


@pytest.mark.parametrize("syntax", ["text/toon", "text/plain"])
async def test_the_audit_names_nobody(server: Server, syntax: str) -> None:
    journal = Journal(await server.registered(syntax=syntax))
    journal.punch(E1="secret|card")
    journal.punch(E1="other-card")
    await journal.send()
    text = (await server.rows(raw_messages))[-1]["message"]
    assert "card" not in text
    assert "EVENT[0].E1:[redacted]|" in text
    assert "EVENT[1].E1:[redacted]|" in text
    assert "|EVENT[0].A2:IN|" in text


async def test_what_comes_again_is_counted(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(3)
    await journal.send()
    await journal.send()
    assert (await server.rows(journals))[0]["duplicates"] == 3


async def test_numbers_far_apart_are_as_good_as_others(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch()
    far = [journal.rows[0] | {"SEQ": str(10**number), "PREV": "0" * 16} for number in range(1, 15)]
    answer = await device.call("events", JID=journal.jid, EVENT=[*journal.rows, *far])
    assert answer.message["ACK_SEQ"] == "1"
    assert len(await server.rows(punches)) == 15
    answer = await device.call("events", JID=journal.jid, SEQ_MIN=str(10**14), EVENT=[])
    assert answer.message["ACK_SEQ"] == str(10**14)
    assert len(await server.rows(punch_gaps)) == 14


async def test_the_acknowledgement_goes_on_over_more_than_one_look_can_see(
    server: Server, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(punches_of, "WALK_MAX", 8)
    monkeypatch.setattr(punches_of, "_above", Query(punches_of._above._statement.limit(8)))
    journal = Journal(device)
    journal.punches(40)
    await journal.send(*range(2, 41))
    acknowledged = []
    answer = await journal.send(1)
    while answer.message["ACK_SEQ"] != "40":
        acknowledged.append(int(answer.message["ACK_SEQ"]))
        assert len(acknowledged) < 10
        answer = await journal.send(acknowledged[-1] + 1)
    assert acknowledged == sorted(set(acknowledged))


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_batches_lost_answers_and_repetitions_ends_with_each_punch_once(
    server: Server, device: Device, seed: int
) -> None:
    chance = random.Random(seed)
    journal = Journal(device)
    journal.punches(60)
    unsent = set(range(1, 61))
    while unsent:
        first = chance.choice(sorted(unsent))
        batch = list(range(first, min(61, first + chance.randint(1, 20))))
        if chance.random() < 0.3:
            batch = chance.sample(range(1, 61), 12)
        answer = await journal.send(*batch)
        unsent -= set(batch)
        whole = min(unsent, default=61) - 1
        assert answer.message["ACK_SEQ"] == str(whole)
    assert sorted(row["seq"] for row in await server.rows(punches)) == list(range(1, 61))
    assert await found(server) == []
    (stored,) = await server.rows(journals)
    assert (stored["ack_seq"], stored["seq_top"]) == (60, 60)
