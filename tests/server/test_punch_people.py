"""Whose punch it is: told at once, and again when people change."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from ks_server.db.punch_schema import credentials, employees, punches
from ks_server.repository import people
from tests.server.client import Device, Server
from tests.server.journal_support import Journal


async def told(server: Server) -> list[tuple[str, Any, Any]]:
    rows = sorted(await server.rows(punches), key=lambda row: row["seq"])
    return [(row["e1"], row["employee_id"], row["remark"]) for row in rows]


async def person(server: Server, number: int, card: str, **values: Any) -> None:
    values = {"external_id": f"E{number}", "name": "N", "created_ms": 0} | values
    await server.insert(employees, id=number, **values)
    await server.insert(
        credentials, credential=card, hash=f"{number:016x}", employee_id=number, created_ms=0
    )


async def test_a_punch_names_its_person_by_external_id_or_by_card(
    server: Server, device: Device
) -> None:
    await person(server, 1, "card-1")
    await person(server, 2, "E1")  # a card whose number looks like somebody's id
    journal = Journal(device)
    for e1 in ("E1", "card-1", "E2", "nobody"):
        journal.punch(E1=e1)
    assert (await journal.send()).message["RESULT"] == []
    assert await told(server) == [
        ("E1", 1, None), ("card-1", 1, None), ("E2", 2, None), ("nobody", None, "unknown_person"),
    ]  # fmt: skip


async def test_a_punch_outside_its_persons_time_is_accepted_and_remarked(
    server: Server, device: Device
) -> None:
    await person(server, 1, "card-1", active_from_ms=server.clock())
    await person(server, 2, "card-2", active_to_ms=server.clock())
    await person(server, 3, "card-3", deleted_ms=server.clock() - 1)
    await person(server, 4, "card-4")
    await server.execute(
        update(credentials).where(credentials.c.employee_id == 4).values(active_to_ms=1)
    )
    journal = Journal(device)
    for e1 in ("card-1", "card-2", "card-3", "card-4", "E4"):
        journal.punch(E1=e1)
    assert (await journal.send()).message["RESULT"] == []
    assert [remark for _, _, remark in await told(server)] == [
        None, "inactive", "inactive", "inactive", None,
    ]  # fmt: skip


async def test_stored_punches_follow_when_people_change(server: Server, device: Device) -> None:
    journal = Journal(device)
    journal.punch(E1="card-1")
    journal.punch(E1="E1")
    journal.punch(E1="card-2")
    await journal.send()
    await person(server, 1, "card-1")
    count = await server.context.writer.run(
        lambda connection: people.resolve_again(connection, texts=["card-1", "E1"])
    )
    assert count == 2
    assert [number for _, number, _ in await told(server)] == [1, 1, None]
    await server.execute(update(credentials).values(active_to_ms=1))
    await server.context.writer.run(
        lambda connection: people.resolve_again(connection, employee_ids=[1])
    )
    assert [remark for _, _, remark in await told(server)] == ["inactive", None, "unknown_person"]
