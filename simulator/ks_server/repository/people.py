"""Whose punch it is: E1 is an employee's external id, or a credential that a terminal did not know.

A punch of nobody known, or of somebody who was not active at that time, is stored and accepted as
any other: the person was there. Its `remark` says so: `unknown_person`, `inactive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BindParameter, bindparam, literal_column, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.bulk import Among, Bulk
from ..db.punch_schema import credentials, employees, punches

UNKNOWN: Final = "unknown_person"
INACTIVE: Final = "inactive"
_CHUNK: Final = 1_000

_periods: Final = (
    employees.c.active_from_ms,
    employees.c.active_to_ms,
    employees.c.deleted_ms,
)
_some: Final[BindParameter[str]] = bindparam("texts", expanding=True)
# An external id goes before a credential of the same text.
_find: Final = Among(
    select(
        credentials.c.credential.label("e1"),
        employees.c.id,
        *_periods,
        credentials.c.active_from_ms.label("from_ms"),
        credentials.c.active_to_ms.label("to_ms"),
        literal_column("0").label("rank"),
    )
    .join(employees, employees.c.id == credentials.c.employee_id)
    .where(credentials.c.credential.in_(_some))
    .union_all(
        select(
            employees.c.external_id,
            employees.c.id,
            *_periods,
            null(),
            null(),
            literal_column("1"),
        ).where(employees.c.external_id.in_(_some))
    )
    .order_by("rank"),
    "texts",
)
_set: Final = Bulk(
    update(punches)
    .where(
        punches.c.d1 == bindparam("its_d1"),
        punches.c.jid == bindparam("its_jid"),
        punches.c.seq == bindparam("its_seq"),
    )
    .values(employee_id=bindparam("its_employee_id"), remark=bindparam("its_remark"))
)


class Person(NamedTuple):
    """Somebody whom an E1 names, and when that is so: `from <= time < to` of each pair."""

    employee_id: int
    active_from_ms: int | None
    active_to_ms: int | None
    deleted_ms: int | None
    credential_from_ms: int | None
    credential_to_ms: int | None

    def is_active(self, time_ms: int) -> bool:
        """Whether employee and credential were active at that time."""
        starts = (self.active_from_ms, self.credential_from_ms)
        ends = (self.active_to_ms, self.deleted_ms, self.credential_to_ms)
        return all(start is None or start <= time_ms for start in starts) and all(
            end is None or time_ms < end for end in ends
        )


async def find(connection: AsyncConnection, texts: Sequence[str]) -> dict[str, Person]:
    """Those of the E1 that name somebody."""
    if not texts:
        return {}
    rows = await _find.fetch(connection, texts)
    return {row[0]: Person(*row[1:7]) for row in rows}


def attribute(person: Person | None, time_ms: int | None) -> tuple[int | None, str | None]:
    """`employee_id` and `remark` of a punch of that person at that time."""
    if person is None:
        return None, UNKNOWN
    is_active = time_ms is None or person.is_active(time_ms)
    return person.employee_id, None if is_active else INACTIVE


async def resolve_again(
    connection: AsyncConnection, texts: Sequence[str] = (), employee_ids: Sequence[int] = ()
) -> int:
    """Attribute stored punches anew: those with one of these E1 that have nobody yet, and all of
    these employees (whose ids, credentials or periods changed). In the transaction of that change.

    Returns how many punches were looked at.
    """
    count = 0
    for where in (
        *(punches.c.e1.in_(part) & punches.c.employee_id.is_(None) for part in _parts(texts)),
        *(punches.c.employee_id.in_(part) for part in _parts(employee_ids)),
    ):
        query = select(
            punches.c.d1, punches.c.jid, punches.c.seq, punches.c.e1, punches.c.time_ms
        ).where(where, punches.c.state == "accepted", punches.c.erased_ms.is_(None))
        rows = (await connection.execute(query)).all()
        count += len(rows)
        for start in range(0, len(rows), _CHUNK):
            await _attribute_all(connection, rows[start : start + _CHUNK])
    return count


async def _attribute_all(connection: AsyncConnection, rows: Sequence[Any]) -> None:
    people = await find(connection, sorted({row.e1 for row in rows}))
    changes = []
    for row in rows:
        employee_id, remark = attribute(people.get(row.e1), row.time_ms)
        changes.append(
            {
                "its_d1": row.d1,
                "its_jid": row.jid,
                "its_seq": row.seq,
                "its_employee_id": employee_id,
                "its_remark": remark,
            }
        )
    if changes:
        await _set.execute(connection, changes)


def _parts(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]
