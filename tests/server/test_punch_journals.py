"""Journals as heartbeats tell of them, and their end."""

from __future__ import annotations

import pytest

from ks_server.db.punch_schema import journals, punch_findings, punch_gaps
from tests.server.client import Device, Server
from tests.server.journal_support import Journal


async def kinds(server: Server) -> list[str]:
    return [row["kind"] for row in await server.rows(punch_findings)]


async def test_a_heartbeat_tells_how_far_punches_are_settled(device: Device) -> None:
    journal = Journal(device)
    assert (await journal.beat()).message["ACK_SEQ"] == "0"
    journal.punches(3)
    assert (await journal.beat()).message["ACK_SEQ"] == "0"
    await journal.send(1, 2)
    assert (await journal.beat()).message["ACK_SEQ"] == "2"


async def test_a_heartbeat_without_a_journal_says_nothing_of_one(
    server: Server, device: Device
) -> None:
    answer = await device.call("heartbeat")
    assert "ACK_SEQ" not in answer.message
    assert "AL1" not in answer.message
    assert await server.rows(journals) == []


async def test_what_a_terminal_has_not_sent_is_known(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(5)
    await journal.send(1, 2)
    await journal.beat(SEQ_MIN="1", J1="12", J2="3000")
    (stored,) = await server.rows(journals)
    assert (stored["ack_seq"], stored["seq_top"], stored["j1"], stored["j2"]) == (2, 5, 12, 3000)


async def test_each_level_of_a_filling_journal_is_found_once_until_it_falls(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punch()
    for j1, j2 in ((79, 2_000), (80, 1_000), (81, 900), (95, 400), (99, 99), (99, 98), (100, 0)):
        await journal.beat(J1=str(j1), J2=str(j2))
    assert await kinds(server) == ["journal_warning"] * 3 + ["journal_full"]
    await journal.beat(J1="85", J2="900")
    open_ones = [row for row in await server.rows(punch_findings) if row["resolved_ms"] is None]
    assert [row["kind"] for row in open_ones] == ["journal_warning"] * 3
    await journal.beat(J1="10", J2="9000")
    assert all(row["resolved_ms"] for row in await server.rows(punch_findings))
    await journal.beat(J1="80", J2="1000")
    assert (await kinds(server))[4:] == ["journal_warning"]


async def test_a_journal_behind_the_server_is_found_once(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(5)
    await journal.send()
    for _ in range(2):
        answer = await journal.beat(SEQ="3")
        assert answer.message["ACK_SEQ"] == "5"
    (finding,) = await server.rows(punch_findings)
    assert (finding["kind"], finding["first_seq"], finding["last_seq"]) == ("behind", 4, 5)


@pytest.mark.parametrize("tokens", [{"SEQ": "-1"}, {"J1": "-5", "J2": "-1"}, {"J1": "9" * 15}])
async def test_a_heartbeat_with_senseless_numbers_is_still_one(
    device: Device, tokens: dict[str, str]
) -> None:
    journal = Journal(device)
    journal.punch()
    assert (await journal.beat(**tokens)).code == "ok"


async def test_many_heartbeats_of_one_journal_in_one_moment_are_told_the_same(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punches(2)
    for _ in range(3):
        await journal.beat(J1="90", J2="500")
    assert await kinds(server) == ["journal_warning"]


async def test_what_a_wipe_erased_unsent_is_named(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(9)
    await journal.send(1, 2, 5)
    await journal.beat()
    cmd1 = await server.command("WIPE", cmd3="FORCE:true", state="delivered")
    assert (await device.call("command-ack", CMD1=cmd1, ACK1="OK")).code == "ok"
    rows = await server.rows(punch_findings)
    assert [(row["kind"], row["first_seq"], row["last_seq"]) for row in rows] == [
        ("lost", 3, 4), ("lost", 6, 9),
    ]  # fmt: skip
    assert len(await server.rows(punch_gaps)) == 2
    (stored,) = await server.rows(journals)
    assert (stored["closed_ms"], stored["closed_by"]) == (server.clock(), cmd1)
    assert [fields["kind"] for name, fields in server.events if name == "punch_finding"] == [
        "lost", "lost",
    ]  # fmt: skip


async def test_what_was_punched_between_the_last_heartbeat_and_the_wipe_is_named_too(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punches(9)
    await journal.send(1, 2, 3)
    cmd1 = await server.command("WIPE", cmd3="FORCE:true", state="delivered")
    last = {"JID": journal.jid, "SEQ": "9"}
    assert (await device.call("command-ack", CMD1=cmd1, ACK1="OK", **last)).code == "ok"
    rows = await server.rows(punch_findings)
    assert [(row["kind"], row["first_seq"], row["last_seq"]) for row in rows] == [("lost", 4, 9)]


async def test_what_comes_after_all_is_no_longer_lost(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punches(4)
    await journal.send(1)
    await journal.beat()
    cmd1 = await server.command("WIPE", state="delivered")
    await device.call("command-ack", CMD1=cmd1, ACK1="OK")
    assert (await journal.send(2, 3, 4)).message["ACK_SEQ"] == "4"
    assert await server.rows(punch_gaps) == []
    assert (await server.rows(punch_findings))[0]["resolved_ms"] is not None


@pytest.mark.parametrize("result", ["PARTIAL", "ERROR"])
async def test_a_wipe_that_was_not_done_loses_nothing(
    server: Server, device: Device, result: str
) -> None:
    journal = Journal(device)
    journal.punches(4)
    await journal.beat()
    cmd1 = await server.command("WIPE", state="delivered")
    await device.call("command-ack", CMD1=cmd1, ACK1=result)
    assert await server.rows(punch_findings) == []
    assert (await server.rows(journals))[0]["closed_ms"] is None


async def test_a_journal_that_was_sent_whole_ends_without_loss(
    server: Server, device: Device
) -> None:
    journal = Journal(device)
    journal.punches(4)
    await journal.send()
    await journal.beat()
    cmd1 = await server.command("REVOKE", state="delivered")
    await device.call("command-ack", CMD1=cmd1, ACK1="OK")
    assert await server.rows(punch_findings) == []
    assert (await server.rows(journals))[0]["closed_by"] == cmd1
