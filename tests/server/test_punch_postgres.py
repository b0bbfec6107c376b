"""Punches, findings, allow lists and people on PostgreSQL, where the machine has one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from ks_server.db.punch_schema import (  # fmt: skip
    credentials,
    employees,
    journals,
    punch_findings,
    punch_gaps,
    punches,
)
from ks_server.db.schema import devices, sites
from ks_server.repository import people
from tests.server.client import Clock, running_server
from tests.server.journal_support import Journal
from tests.server.test_device_postgres import postgres

__all__ = ("postgres",)


async def test_journals_live_on_postgresql_as_on_sqlite(
    postgres: str,
    tmp_path: Path,
) -> None:
    async with running_server(tmp_path, Clock(), database_url=postgres) as server:
        device = await server.registered()
        await server.insert(
            sites, site="hq", name="HQ", time_zone="UTC", allow_list=True, created_ms=0
        )
        await server.execute(update(devices).values(site="hq"))
        await server.insert(employees, id=1, external_id="E1", name="N", created_ms=0)
        await server.insert(
            credentials, credential="04A2B3C4", hash="1" * 16, employee_id=1, created_ms=0
        )
        journal = Journal(device)
        journal.punch(CLK="UNSYNCED", BOOT="2", UP="5")
        journal.punch(CLK="UNSYNCED", BOOT="3", UP="10")
        journal.punches(4)
        journal.punch(PREV="f" * 16, E1="x")
        for numbers in ((1,), (3, 5), (2,), (2, 3, 7)):
            await journal.send(*numbers)
        other = journal.branch(2)
        other.punch(E1="other")
        answer = await other.send(3, BOOT="3", UP="500000", CLK="SYNCED", SEQ_MIN="7")
        assert answer.message["ACK_SEQ"] == "7"
        assert answer.message["RESULT"][0]["ERR1"] == "CONFLICT"
        await journal.send(4)
        beat = await journal.beat(SEQ="9", J1="100", J2="0", SEQ_MIN="7")
        assert beat.message["ACK_SEQ"] == "7"
        version = beat.message["AL1"]
        index = await device.call("allow-list", AL1=version)
        assert index.message["AL3"] == "1"
        page = await device.call("allow-list", AL1=version, AL2="0")
        assert page.message["AL5"] == "1" * 16 + "=E1"
        cmd1 = await server.command("WIPE", state="delivered")
        await device.call("command-ack", CMD1=cmd1, ACK1="OK")
        kinds = {row["kind"] for row in await server.rows(punch_findings)}
        assert kinds == {"gap", "fork", "journal_full", "lost"}
        gaps = [(row["first_seq"], row["last_seq"]) for row in await server.rows(punch_gaps)]
        assert sorted(gaps) == [(6, 6), (8, 9)]
        rows = sorted(await server.rows(punches), key=lambda row: row["seq"])
        assert [row["time_source"] for row in rows[:3]] == ["raw", "record", "clock"]
        assert [row["employee_id"] for row in rows] == [1, 1, 1, 1, 1, None]
        count = await server.context.writer.run(
            lambda connection: people.resolve_again(connection, ["x"], [1])
        )
        assert count == 6
        assert (await server.rows(journals))[0]["closed_by"] == cmd1
