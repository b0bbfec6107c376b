"""What a terminal answers over the serial line, read without trust in who is at the port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ks_agent import toon
from ks_agent.errors import Malformed

from .serial_line import MAX_MESSAGE_BYTES


def read_answer(document: bytes) -> dict[str, Any] | None:
    """An answer; None for anything else, as the echo of a request."""
    try:
        answer: dict[str, Any] = toon.decode(document, MAX_MESSAGE_BYTES)
    except Malformed:
        return None
    return answer if "S1" in answer and "OP" not in answer else None


def text_of(answer: Mapping[str, Any], key: str) -> str:
    """A field, "" where it is not there or no text."""
    value = answer.get(key, "")
    return value if isinstance(value, str) else ""


def rows_of(answer: Mapping[str, Any], key: str = "READING") -> list[dict[str, str]]:
    """A table's rows, none where it is not there."""
    value = answer.get(key, [])
    return value if isinstance(value, list) else []


def shown(text: str) -> str:
    """For a person's screen: whatever is at the port may have sent it."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def reason_of(error: Exception) -> str:
    """What the system says of a port, in one line."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0] if text else type(error).__name__
