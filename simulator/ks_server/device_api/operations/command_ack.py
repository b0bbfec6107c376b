"""POST command-ack: what became of a command; may be repeated."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.errors import Malformed

from ...db.base import storable
from ...db.schema import commands
from ...repository import journal_end, journal_state
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal

ERASING: Final = ("WIPE", "REVOKE")
RESULTS: Final = ("OK", "ERROR", "PARTIAL")


def check_result(message: dict[str, Any]) -> None:
    """Raises Malformed for an ACK1 that is none."""
    if message["ACK1"] not in RESULTS:
        raise Malformed("ACK1 is neither OK, ERROR nor PARTIAL")


class CommandAck(Operation):
    """The first final result stays; after PARTIAL another may follow."""

    op = "command-ack"
    open_to_revoked = True

    def check(self, message: dict[str, Any]) -> None:
        check_result(message)

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        cmd1 = call.get("CMD1")
        mine = (commands.c.cmd1 == cmd1, commands.c.d1 == call.d1, commands.c.state != "draft")
        query = select(commands.c.cmd2, commands.c.ack1).where(*mine)
        command = (await connection.execute(query)).first()
        if command is None:
            raise Refusal("NOT_FOUND", "this device has no such command")
        if command.ack1 is not None and command.ack1 != "PARTIAL":
            return Outcome({"S1": "ok"})
        texts = {name: call.get(name.upper()) for name in ("ack1", "ack2", "ack3", "ack4")}
        values = {name: storable(text) for name, text in texts.items() if text is not None}
        await connection.execute(
            update(commands).where(*mine).values(state="done", acked_ms=call.now_ms, **values)
        )
        event = {"d1": call.d1, "cmd1": cmd1, "cmd2": command.cmd2, "at_ms": call.now_ms, **values}
        events: list[tuple[str, dict[str, Any]]] = [("command_acknowledged", event)]
        if command.cmd2 in ERASING and call.message["ACK1"] == "OK":
            await _note_last_punch(call, connection)
            events += await journal_end.close_all(connection, call.d1, str(cmd1), call.now_ms)
        return Outcome({"S1": "ok"}, events)


async def _note_last_punch(call: Call, connection: AsyncConnection) -> None:
    """What was punched since the last heartbeat went too."""
    jid, seq = call.get("JID"), call.get("SEQ")
    if jid is not None and seq is not None:
        told = journal_state.Told(call.d1, jid, call.now_ms, int(seq), None, None)
        await journal_state.store(connection, {0: told})
