"""Every way to change one thing about a message, each with a name for the failure's sake."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ks_agent.message import SIGNATURE_KEYS
from ks_agent.tokens import kind_of

Message = dict[str, Any]

_OTHERS = {
    "integer": "77",
    "decimal": "7.25",
    "flag": "false",
    "time": "2027-01-15T08:00:01.000Z",
}


def other_value(key: str, text: str) -> str:
    """Another text that the token could well have."""
    if kind_of(key) != "text":
        other = _OTHERS[kind_of(key)]
        return other if text != other else "true" if kind_of(key) == "flag" else "78"
    if not text:
        return "x"
    # the first character, so that an identifier or base64 stays one
    return ("B" if text[0] == "A" else "a" if text[0] != "a" else "b") + text[1:]


def _spellings(key: str, text: str) -> Iterator[str]:
    """Texts that mean the same to a careless reader."""
    yield text + " "
    yield " " + text
    yield text + "\n"
    yield text + "\x00"
    yield ""
    if text.lower() != text:
        yield text.lower()
    if kind_of(key) == "time" and text.endswith(".000Z"):
        yield text[:-5] + "Z"
        yield text[:-1] + "000Z"
    if kind_of(key) in ("integer", "decimal"):
        yield "0" + text
        yield "+" + text
        yield text + ".0"
    if key.startswith(("SIG", "FW_SIG", "D3")) and text.endswith("="):
        yield text.rstrip("=")
        yield text + "="


def changed(message: Message) -> Iterator[tuple[str, Message]]:
    """(what was done, message) for every single change of tokens, cells and rows."""
    for key, value in message.items():
        rest = {name: other for name, other in message.items() if name != key}
        yield f"{key} removed", rest
        if isinstance(value, str):
            yield f"{key} changed", {**rest, key: other_value(key, value)}
            for text in _spellings(key, value):
                yield f"{key} spelled {text!r}", {**rest, key: text}
        else:
            yield from ((what, {**rest, key: rows}) for what, rows in _rows(key, value))
    for key in ("ZZ", "AA"):
        yield f"{key} added", {**message, key: "1"}
    yield "an empty list added", {**message, "ZZ": []}
    for other in message:
        if isinstance(message[other], str) and other not in SIGNATURE_KEYS:
            moved = {name: text for name, text in message.items() if name != other}
            yield f"{other} renamed", {**moved, other + "X": message[other]}


def _rows(key: str, rows: list[dict[str, str]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    yield f"{key} emptied", []
    yield f"{key} without its last row", rows[:-1]
    yield f"{key} without its first row", rows[1:]
    yield f"{key} with its last row twice", [*rows, dict(rows[-1])]
    if len(rows) > 1:
        yield f"{key} in another order", rows[::-1]
    for index, row in enumerate(rows):
        for field, text in row.items():
            for what, cell in (("changed", other_value(field, text)), ("emptied", "")):
                if cell != text:
                    again = copy.deepcopy(rows)
                    again[index][field] = cell
                    yield f"{key}[{index}].{field} {what}", again
            if len(row) > 1:
                again = copy.deepcopy(rows)
                del again[index][field]
                yield f"{key}[{index}].{field} removed", again
        again = copy.deepcopy(rows)
        again[index]["ZZ"] = "1"
        yield f"{key}[{index}].ZZ added", again
