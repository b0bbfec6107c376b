"""POST events: punches, identified by (D1, JID, SEQ), stored once however often they come.

A punch that must be rejected is kept in quarantine and counts as settled; what is missing below
SEQ_MIN is recorded as a gap: a journal can never get stuck. PREV is stored, not yet checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import schema, signing, tokens
from ks_agent.errors import Malformed

from ...db.schema import journals, punch_gaps, punches, storable
from ...log import get_logger
from ..call import Call, Outcome
from ..operation import Operation
from ..wire import compose

_FIELDS: Final = tuple(field for field in schema.EVENT_FIELDS if field != "SEQ")
_REQUIRED: Final = ("A1", "E1", "A2", "A3")
_CHOICES: Final = {
    "A2": ("IN", "OUT", "BREAK_START", "BREAK_END", "OVERTIME_IN", "OVERTIME_OUT"),
    "CLK": ("SYNCED", "UNSYNCED"),
    "METHOD": ("RFID", "PIN", "QR", "FINGERPRINT", "FACE", "BUTTON"),
}
_ID_MAX_CHARACTERS: Final = 64
# what binding adds, and ACK_SEQ; the list is cut to fit: ACK_SEQ alone settles punches
_RESULT_ROOM_BYTES: Final = tokens.ANSWER_MAX_BYTES - 1536

log = get_logger("ks_server.events")


class Events(Operation):
    """ACK_SEQ is the highest SEQ up to which nothing is missing."""

    op = "events"

    def check(self, message: dict[str, Any]) -> None:
        if int(message.get("SEQ_MIN", "1")) < 1:
            raise Malformed("SEQ_MIN counts from 1")
        numbers = [row.get("SEQ", "0") for row in message["EVENT"]]
        if any(int(number) < 1 for number in numbers):
            raise Malformed("a punch without its number")
        if len(set(numbers)) != len(numbers):
            raise Malformed("a punch twice in one batch")

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        jid = call.message["JID"]
        ack_seq = await _open_journal(call, connection, jid)
        rows = call.rows("EVENT")
        stored = await _stored(connection, call.d1, jid, [int(row["SEQ"]) for row in rows])
        new = []
        results = []
        for row in rows:
            if int(row["SEQ"]) in stored:
                results.append({"A1": row.get("A1", ""), "S1": "duplicate"})
                continue
            err1 = _fault(row)
            if err1 is not None:
                results.append({"A1": row.get("A1", ""), "S1": "rejected", "ERR1": err1})
            new.append(_values(call, jid, row, err1))
        if new:
            await connection.execute(insert(punches), new)
        ack_seq = await _settle(call, connection, jid, ack_seq)
        answer: dict[str, Any] = {"S1": "ok", "ACK_SEQ": str(ack_seq)}
        answer["RESULT"] = _that_fit(results)
        return Outcome(answer)


def _fault(row: dict[str, str]) -> str | None:
    """Why a punch cannot be accepted, as an error code."""
    if any(not row.get(name) for name in _REQUIRED):
        return "MISSING_TOKEN"
    if any(name in row and row[name] not in allowed for name, allowed in _CHOICES.items()):
        return "MALFORMED"
    if any(len(row[name]) > _ID_MAX_CHARACTERS for name in ("A1", "E1")):
        return "MALFORMED"
    try:
        for name, text in row.items():
            tokens.check_value(name, text)
    except Malformed:
        return "MALFORMED"
    return None


def _values(call: Call, jid: str, row: dict[str, str], err1: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        name.lower(): storable(row[name]) if name in row else None for name in _FIELDS
    }
    values["d1"] = call.d1
    values["jid"] = jid
    values["seq"] = int(row["SEQ"])
    values["state"] = "accepted" if err1 is None else "quarantine"
    values["err1"] = err1
    values["received_ms"] = call.now_ms
    return values


async def _open_journal(call: Call, connection: AsyncConnection, jid: str) -> int:
    """The journal's ACK_SEQ so far; a new journal begins at 0."""
    mine = (journals.c.d1 == call.d1, journals.c.jid == jid)
    ack_seq = (await connection.execute(select(journals.c.ack_seq).where(*mine))).scalar()
    if ack_seq is not None:
        return int(ack_seq)
    await connection.execute(
        insert(journals).values(
            d1=call.d1, jid=jid, ack_seq=0, first_ms=call.now_ms, last_ms=call.now_ms
        )
    )
    return 0


async def _stored(
    connection: AsyncConnection, d1: str, jid: str, numbers: Sequence[int]
) -> set[int]:
    query = select(punches.c.seq).where(
        punches.c.d1 == d1, punches.c.jid == jid, punches.c.seq.in_(numbers)
    )
    return set((await connection.execute(query)).scalars())


async def _settle(call: Call, connection: AsyncConnection, jid: str, ack_seq: int) -> int:
    """Record what is missing below SEQ_MIN, and advance ACK_SEQ over all that is stored."""
    query = (
        select(punches.c.seq)
        .where(punches.c.d1 == call.d1, punches.c.jid == jid, punches.c.seq > ack_seq)
        .order_by(punches.c.seq)
    )
    numbers = list((await connection.execute(query)).scalars())
    seq_min = int(call.message.get("SEQ_MIN", "1"))
    gaps = list(_missing(numbers, ack_seq + 1, seq_min))
    if gaps:
        log.warning("punches_missing", d1=call.d1, jid=jid, gaps=len(gaps), below=seq_min)
        await connection.execute(
            insert(punch_gaps),
            [
                {
                    "d1": call.d1,
                    "jid": jid,
                    "first_seq": first,
                    "last_seq": last,
                    "recorded_ms": call.now_ms,
                }
                for first, last in gaps
            ],
        )
    ack_seq = max(ack_seq, seq_min - 1)
    for number in numbers:
        if number == ack_seq + 1:
            ack_seq = number
        elif number > ack_seq:
            break
    await connection.execute(
        update(journals)
        .where(journals.c.d1 == call.d1, journals.c.jid == jid)
        .values(ack_seq=ack_seq, seq_min=seq_min, last_ms=call.now_ms)
    )
    return ack_seq


def _missing(numbers: Iterable[int], first: int, end: int) -> Iterable[tuple[int, int]]:
    """The ranges (inclusive) of [first, end) that hold none of the ascending numbers."""
    for number in numbers:
        if number >= end:
            break
        if number > first:
            yield first, number - 1
        first = number + 1
    if first < end:
        yield first, end - 1


def _that_fit(results: list[dict[str, str]]) -> list[dict[str, str]]:
    while results and _too_large(results):
        results = results[: len(results) // 2]
    return results


def _too_large(results: list[dict[str, str]]) -> bool:
    return any(
        len(compose({"RESULT": results}, syntax)) > _RESULT_ROOM_BYTES
        for syntax in (signing.TOON, signing.LINES)
    )
