"""POST heartbeat: many at once, in a handful of statements for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import tokens

from ... import audit, nonces
from ...db.bulk import Bulk
from ...db.schema import devices, heartbeats, storable
from ...repository import commands
from ..call import Call, Outcome
from ..operation import Operation, seen_values

_TOKENS: Final = tuple(f"HB{number}" for number in range(1, 8))
_COLUMNS: Final = tuple((token, token.lower()) for token in (*_TOKENS, "FW2"))
_PREFIX: Final = "its_"

_insert: Final = Bulk(
    insert(heartbeats).inline(),
    ("d1", "received_ms", "fw2", *(token.lower() for token in _TOKENS)),
)
_update: Final = Bulk(
    update(devices)
    .where(devices.c.d1 == bindparam("id"))
    .values(
        last_seen_ms=bindparam("now"),
        heartbeat_ms=bindparam("now"),
        kid=bindparam("its_kid"),
        fw2=func.coalesce(bindparam("its_fw2"), devices.c.fw2),
        **{token.lower(): bindparam(_PREFIX + token.lower()) for token in _TOKENS},
    )
)


class Heartbeat(Operation):
    """The answer says what waits: commands, and an update."""

    op = "heartbeat"

    async def store(self, call: Call) -> Outcome:
        call.values = _values(call)
        command_ids = await call.context.writer.batched(_store_all, call)
        return Outcome(
            await _answer(call, command_ids),
            [("heartbeat", {"d1": call.d1, "at_ms": call.now_ms, **call.values})],
        )


def _values(call: Call) -> dict[str, Any]:
    message = call.message
    return {
        column: storable(message[token]) if token in message else None for token, column in _COLUMNS
    }


async def _store_all(connection: AsyncConnection, calls: Sequence[Call]) -> Sequence[Sequence[str]]:
    """Store the heartbeats; for each the ids of the commands that a poll would deliver."""
    await nonces.store(connection, [nonces.row(call.d1, call.nonce, call.ts_ms) for call in calls])
    await _update.execute(
        connection,
        [
            seen_values(call, None) | {_PREFIX + name: text for name, text in call.values.items()}
            for call in calls
        ],
    )
    await _insert.execute(
        connection,
        [{"d1": call.d1, "received_ms": call.now_ms, **call.values} for call in calls],
    )
    await audit.insert_rows.execute(
        connection,
        [audit.row(call.op, call.message, call.text, call.now_ms) for call in calls],
    )
    now_ms = max(call.now_ms for call in calls)
    waiting = await commands.next_ids(connection, [call.d1 for call in calls], now_ms)
    return [waiting.get(call.d1, ()) for call in calls]


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
