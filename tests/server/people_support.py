"""People and what is stored of them, for tests of the admin API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from ks_server.db.punch_schema import punches

from .admin_support import NOW_MS, Admin

JID = "00112233445566ff"
ANN = {"external_id": "p-1", "name": "Ann Müller", "cards": ["12E45678", "0001"]}


async def site(admin: Admin, name: str = "hq", zone: str = "Europe/Berlin") -> None:
    await admin.call("PUT", f"/sites/{name}", {"name": name, "time_zone": zone})


async def store(admin: Admin, table: Any = punches, **values: Any) -> None:
    row = {
        **{"d1": "dev_1", "jid": JID, "seq": 1, "received_ms": NOW_MS, "e1": "12E45678"},
        **({"state": "accepted", "time_ms": NOW_MS} if table is punches else {"hash": "0" * 16}),
        **values,
    }
    async with admin.context.engine.begin() as connection:
        await connection.execute(insert(table).values(**row))


async def stored(admin: Admin, table: Any = punches) -> list[Any]:
    async with admin.context.engine.connect() as connection:
        return list((await connection.execute(select(table))).all())


async def upload(admin: Admin, text: str, status: int = 200, **query: Any) -> dict[str, Any]:
    shown: dict[str, Any] = await admin.call(
        "POST",
        "/employees/import",
        status=status,
        content=text.encode("utf-8"),
        headers={"Content-Type": "text/csv"},
        params=query,
    )
    return shown


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    names = ("created", "changed", "unchanged", "cards_added", "cards_removed", "error_count")
    return tuple(result[name] for name in names)
