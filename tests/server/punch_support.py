"""Punches in the database, chained as a terminal chains them, without a terminal."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import insert

from ks_agent import timetext
from ks_agent.punch import prev_of, punch_hash
from ks_server.db.punch_schema import journals, punches

from .admin_support import NOW_MS, Admin

JID = "00112233445566ff"
FIELDS = ("A1", "A2", "A3", "BOOT", "CLK", "E1", "METHOD", "PREV", "UP")


def chain(count: int, d1: str = "dev_1", jid: str = JID, **values: Any) -> list[dict[str, Any]]:
    """Rows of the table, SEQ from 1, a minute apart. `values` may be functions of SEQ."""
    rows = []
    prev = ""
    for seq in range(1, count + 1):
        given = {name: value(seq) if callable(value) else value for name, value in values.items()}
        time_ms = given.get("time_ms", NOW_MS + seq * 60_000)
        sent = {
            "A1": f"{jid}-{seq}",
            "A2": "IN" if seq % 2 else "OUT",
            "A3": str(timetext.format_ms(time_ms or 0)),
            "BOOT": "1",
            "CLK": "SYNCED",
            "E1": given.get("e1", f"card-{seq % 3}"),
            "METHOD": "RFID",
            "PREV": prev,
            "UP": str(seq * 60_000),
        }
        digest = punch_hash(hashlib.sha256, {**sent, "SEQ": str(seq), "JID": jid})
        prev = str(prev_of(digest))
        rows.append(
            {
                **{"d1": d1, "jid": jid, "seq": seq, "state": "accepted", "err1": None},
                **{name.lower(): sent[name] for name in FIELDS},
                **{"received_ms": NOW_MS, "hash": prev, "time_ms": time_ms, "uncertainty_ms": 50},
                **{"time_source": "clock", "employee_id": None, "remark": None, "erased_ms": None},
                **given,
            }
        )
    return rows


async def store(admin: Admin, rows: list[dict[str, Any]]) -> None:
    async with admin.context.engine.begin() as connection:
        await connection.execute(insert(punches), rows)


async def add_journal(admin: Admin, d1: str = "dev_1", jid: str = JID, **values: Any) -> None:
    row = {
        **{"d1": d1, "jid": jid, "ack_seq": 0, "first_ms": NOW_MS, "last_ms": NOW_MS},
        **values,
    }
    async with admin.context.engine.begin() as connection:
        await connection.execute(insert(journals).values(**row))


async def add(admin: Admin, table: Any, **values: Any) -> None:
    async with admin.context.engine.begin() as connection:
        await connection.execute(insert(table).values(d1="dev_1", jid=JID, **values))
