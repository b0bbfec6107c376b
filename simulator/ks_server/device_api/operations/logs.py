"""POST logs: rows of a device's log; an upload that comes again is not stored twice."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.errors import Malformed

from ...db.base import storable
from ...db.schema import log_rows, log_uploads
from ..call import Call, Outcome
from ..operation import Operation

LOG1_MAX_CHARACTERS: Final = 255
LEVELS: Final = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL")

_HEAD: Final = ("LOG2", "LOG3", "LOG4", "LOG5", "CMD1", "FW1")
_ROW: Final = ("LOG2", "LOG3", "LOG4")


class Logs(Operation):
    """LOG1 names the upload, per device."""

    op = "logs"

    def check(self, message: dict[str, Any]) -> None:
        if not 1 <= len(message["LOG1"]) <= LOG1_MAX_CHARACTERS:
            raise Malformed("bad LOG1")
        if message["LOG2"] not in LEVELS:
            raise Malformed("LOG2 is no level")

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        log1 = storable(call.message["LOG1"])
        answer = {"S1": "ok", "LOG1": call.message["LOG1"]}
        query = select(log_uploads.c.id).where(
            log_uploads.c.d1 == call.d1, log_uploads.c.log1 == log1
        )
        if (await connection.execute(query)).first() is not None:
            return Outcome(answer)
        result = await connection.execute(
            insert(log_uploads).values(
                d1=call.d1, log1=log1, received_ms=call.now_ms, **_values(call.message, _HEAD)
            )
        )
        upload_id = result.inserted_primary_key[0]  # type: ignore[index]
        rows = [
            dict.fromkeys((name.lower() for name in _ROW), None)
            | {"upload_id": upload_id, "position": position}
            | _values(row, _ROW)
            for position, row in enumerate(call.rows("LOG"))
        ]
        if rows:
            await connection.execute(insert(log_rows), rows)
        return Outcome(answer)


def _values(source: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name.lower(): storable(source[name]) for name in names if name in source}
