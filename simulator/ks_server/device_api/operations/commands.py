"""GET commands: up to eight, most urgent first, signed with the key that signs the answer."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing, tokens

from ...repository import commands
from ...repository.devices import REVOKED
from ..call import Call, Outcome
from ..operation import Operation
from ..wire import compose

# what binding the answer adds to it: D1, NONCE, OP, RQ, TS and SIG_SERV, escaped in either syntax
_BINDING_BYTES: Final = 512
_LINK_BYTES: Final = 192
_COLUMNS: Final = (*tokens.COMMAND_SIGNED, "SIG_ADMIN_A", "SIG_ADMIN_B")


class Commands(Operation):
    """A command is delivered at every poll until it has been acknowledged or has expired."""

    op = "commands"
    open_to_revoked = True

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        revoked = call.known.state == REVOKED
        found = await commands.next_commands(connection, call.d1, revoked, call.now_ms)
        key, links = call.answering_key()
        room = tokens.ANSWER_MAX_BYTES - _BINDING_BYTES - _LINK_BYTES * len(links)
        rows: list[dict[str, str]] = []
        for command in found:
            row = _row(command)
            signing.sign_command(call.context.crypto, key.seed, row)
            if max(_bytes([*rows, row], syntax) for syntax in (signing.TOON, signing.LINES)) > room:
                if rows:
                    break
                continue  # it fits no answer at all, and must not keep the others back
            rows.append(row)
        if not rows:
            return Outcome({"S1": "no_commands"})
        await commands.mark_delivered(connection, [row["CMD1"] for row in rows], call.now_ms)
        return Outcome({"CMD": rows})


def _row(command: Row[Any]) -> dict[str, str]:
    values = {name: getattr(command, name.lower()) for name in _COLUMNS}
    return {name: value for name, value in values.items() if value is not None}


def _bytes(rows: list[dict[str, str]], syntax: str) -> int:
    return len(compose({"CMD": rows}, syntax))
