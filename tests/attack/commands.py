"""Commands as a server with the right key could give them."""

from __future__ import annotations

from typing import Any

from ks_agent import signing, timetext
from ks_agent.effects import Response
from tests.attack.terminal import Terminal
from tests.attack.wire import Forward, answer_of, as_response, op_of
from tests.server.client import CRYPTO, DAY_MS, SERVER_SEED


def command(terminal: Terminal, name: str, number: int = 1, **fields: Any) -> dict[str, str]:
    """A command as the server would sign it; a field given as None is left out."""
    now_ms = terminal.clock.ms
    row = {
        "CMD1": f"{signing.command_prefix(CRYPTO, terminal.d1)}-{number}",
        "CMD2": name,
        "TS": timetext.format_ms(now_ms),
        "CMD5": timetext.format_ms(now_ms + 7 * DAY_MS),
        **fields,
    }
    row = {key: text for key, text in row.items() if text is not None}
    signing.sign_command(CRYPTO, SERVER_SEED, row)
    return row


def admins(row: dict[str, str], d1: str, *seeds: bytes) -> dict[str, str]:
    """The command with these administrators' signatures."""
    for field, seed in zip(("SIG_ADMIN_A", "SIG_ADMIN_B"), seeds, strict=False):
        row[field] = signing.sign_text(CRYPTO, seed, signing.admin_text(row, d1))
    return row


async def deliver(terminal: Terminal, *rows: dict[str, str]) -> None:
    """As if the server's own key had signed an answer with these commands: one poll."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        op = op_of(effect)
        if op not in ("heartbeat", "commands"):
            return response
        answer = answer_of(response)
        if "ERR1" in answer:
            return response
        if op == "heartbeat":
            answer["PENDING_CMDS"] = "1"
        else:
            answer.pop("S1", None)
            answer["CMD"] = [dict(row) for row in rows]
        signing.sign_message(CRYPTO, SERVER_SEED, answer, "SIG_SERV")
        return as_response(answer)

    terminal.wire.meddle = meddle
    asked = len(terminal.wire.asked)
    for _ in range(3):  # the first cycle may end where it began, in a sleep
        await terminal.cycle()
        if "commands" in [op_of(effect) for effect in terminal.wire.asked[asked:]]:
            break
    terminal.wire.meddle = None


def untouched(terminal: Terminal) -> bool:
    """Nothing has been performed, refused or acknowledged."""
    return "command" not in terminal.events() and terminal.acknowledged() == {}
