"""POST heartbeat: many at once, in a handful of statements for all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import tokens

from ... import audit, nonces
from ...db.bulk import Bulk
from ...db.schema import devices, heartbeats, storable
from ...repository import commands
from ...repository.devices import DeviceChanged
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal, nonce_reused, too_many

_TOKENS: Final = tuple(f"HB{number}" for number in range(1, 8))
_COLUMNS: Final = tuple((token, token.lower()) for token in (*_TOKENS, "FW2"))
# An UPDATE may not call a parameter by the name of a column that it sets.
_PARAMETERS: Final[dict[str, Any]] = {column: bindparam("its_" + column) for _, column in _COLUMNS}
_TEXTS: Final = {column: _PARAMETERS[column] for column in _PARAMETERS if column != "fw2"}

_insert: Final = Bulk(
    insert(heartbeats)
    .inline()
    .values(d1=bindparam("id"), received_ms=bindparam("now"), **_PARAMETERS)
)
# Only a device that is what the request was judged by.
_update: Final = Bulk(
    update(devices)
    .where(
        devices.c.d1 == bindparam("id"),
        devices.c.public_key == bindparam("known_public_key"),
        devices.c.state == bindparam("known_state"),
        devices.c.server_seq == bindparam("known_server_seq"),
        devices.c.d2 == bindparam("known_d2"),
        devices.c.rto_s.is_not_distinct_from(bindparam("known_rto_s")),
    )
    .values(
        last_seen_ms=bindparam("now"),
        heartbeat_ms=bindparam("now"),
        kid=bindparam("its_kid"),
        fw2=func.coalesce(_PARAMETERS["fw2"], devices.c.fw2),
        **_TEXTS,
    )
)


class Heartbeat(Operation):
    """The answer says what waits: commands, and an update."""

    op = "heartbeat"
    asks_late = True

    async def store(self, call: Call) -> Outcome:
        call.values = _values(call)
        stored = await call.context.writer.batched(_store_all, call)
        if isinstance(stored, Refusal):
            # memory may be old, and key and revocation come before nonce and limit
            raise DeviceChanged if call.remembered else stored
        return Outcome(
            await _answer(call, stored),
            [("heartbeat", {"d1": call.d1, "at_ms": call.now_ms, **call.values})],
        )


def _values(call: Call) -> dict[str, Any]:
    message = call.message
    return {
        column: storable(message[token]) if token in message else None for token, column in _COLUMNS
    }


async def _store_all(
    connection: AsyncConnection, calls: Sequence[Call]
) -> Sequence[Sequence[str] | Refusal]:
    """Store the heartbeats; for each the ids of the commands that a poll would deliver, or why it
    was not stored. Raises DeviceChanged, NonceReused."""
    used = await nonces.used(connection, [nonces.use_of(call.d1, call.nonce) for call in calls])
    refusals = [_refusal(call, used) for call in calls]
    good = [call for call, refusal in zip(calls, refusals, strict=True) if refusal is None]
    waiting = await _store_good(connection, good) if good else {}
    return [
        waiting.get(call.d1, ()) if refusal is None else refusal
        for call, refusal in zip(calls, refusals, strict=True)
    ]


def _refusal(call: Call, used: set[str]) -> Refusal | None:
    """What comes between the freshness of TS and the work (PROTOCOL section 3)."""
    if nonces.use_of(call.d1, call.nonce) in used:
        return nonce_reused()
    if call.wait_s is None:  # a batch that failed is tried again one by one
        call.wait_s = call.context.limits.hit("heartbeat", call.d1)
    return too_many(call.wait_s) if call.wait_s else None


async def _store_good(
    connection: AsyncConnection, calls: Sequence[Call]
) -> Mapping[str, Sequence[str]]:
    await nonces.store(connection, [nonces.row(call.d1, call.nonce, call.ts_ms) for call in calls])
    rows = [_row(call) for call in calls]
    if await _update.execute(connection, rows) not in (len(rows), -1):
        raise DeviceChanged
    await _insert.execute(connection, rows)
    await audit.insert_rows.execute(
        connection,
        [audit.row(call.op, call.message, call.text, call.now_ms) for call in calls],
    )
    now_ms = max(call.now_ms for call in calls)
    return await commands.next_ids(connection, [call.d1 for call in calls], now_ms)


def _row(call: Call) -> dict[str, Any]:
    """The parameters of both statements."""
    device = call.known
    row = {
        "id": call.d1,
        "now": call.now_ms,
        "its_kid": call.get("KID"),
        "known_public_key": device.public_key,
        "known_state": device.state,
        "known_server_seq": device.server_seq,
        "known_d2": device.d2,
        "known_rto_s": device.rto_s,
    }
    for column, text in call.values.items():
        row["its_" + column] = text
    return row


async def _answer(call: Call, command_ids: Sequence[str]) -> dict[str, Any]:
    device = call.known
    installed = call.get("FW2") or device.fw2
    release = await call.context.catalogue.newest(device.d2, installed, call.now_ms)
    answer = {
        "S1": "ok",
        "RTO": str(device.rto_s or call.context.settings.heartbeat_rto_s),
        "PENDING_CMDS": str(len(command_ids)),
        "FW_AVAILABLE": "false" if release is None else "true",
    }
    if command_ids:
        answer["CMD_IDS"] = ",".join(command_ids[: tokens.ANSWER_MAX_COMMANDS])
    if release is not None:
        answer["FW2"] = release.fw2
    return answer
