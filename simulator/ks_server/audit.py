"""What a device said, as it said it: the canonical string and SIG1, without secrets or persons.

Only requests whose SIG1 was verified and whose nonce was new come here (PROTOCOL section 5), so
that a stranger can neither fill the table nor put words into a device's mouth.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sqlalchemy import insert

from ks_agent import lines
from ks_agent.errors import Malformed
from ks_agent.message import canonical

from .db.bulk import Bulk
from .db.schema import raw_messages

REDACTED: Final = "[redacted]"
SECRET_TOKENS: Final = frozenset(("OTRT",))
SECRET_PAYLOAD_FIELDS: Final = frozenset(("WIFI_PASSWORD",))
_PAYLOAD: Final = "CMD3"
# In a canonical string, where no value holds a bar; much faster than building it anew. It may take
# the end of another key or value for one: rather too much than too little.
_PERSON: Final = re.compile(rb"E1:[^|]*")
_SECRET: Final = SECRET_TOKENS | SECRET_PAYLOAD_FIELDS | {_PAYLOAD}

insert_rows: Final = Bulk(
    insert(raw_messages).inline(), ("d1", "op", "received_ms", "err1", "message")
)


def row(
    op: str, message: dict[str, Any], text: bytes, received_ms: int, err1: str | None = None
) -> dict[str, Any]:
    """The row to keep of a request; `text` is its canonical string."""
    if _has_secret(message):
        text = canonical(redact(message))
    text = _PERSON.sub(b"E1:" + REDACTED.encode("ascii"), text)
    kept = text.decode("utf-8") + "|SIG1:" + message["SIG1"]
    return {
        "d1": message["D1"],
        "op": op,
        "received_ms": received_ms,
        "err1": err1,
        "message": kept,
    }


def redact(message: dict[str, Any]) -> dict[str, Any]:
    """A copy with secrets replaced, in lists and in payloads as well."""
    clean: dict[str, Any] = {}
    for key, value in message.items():
        if isinstance(value, str):
            clean[key] = _redact_value(key, value)
        else:
            clean[key] = [
                {name: _redact_value(name, text) for name, text in row.items()} for row in value
            ]
    return clean


def redact_payload(payload: str) -> str:
    """A command's payload (CMD3) with its secret fields replaced; all of it when unreadable."""
    if not payload:
        return payload
    try:
        fields = lines.decode(payload.encode("utf-8"), len(payload) * 4)
    except Malformed:
        return REDACTED
    for name in SECRET_PAYLOAD_FIELDS.intersection(fields):
        fields[name] = REDACTED
    return str(lines.encode(fields).decode("utf-8"))


def _redact_value(key: str, text: str) -> str:
    if key in SECRET_TOKENS or key in SECRET_PAYLOAD_FIELDS:
        return REDACTED
    return redact_payload(text) if key == _PAYLOAD else text


def _has_secret(message: dict[str, Any]) -> bool:
    if not _SECRET.isdisjoint(message):
        return True
    return any(
        not _SECRET.isdisjoint(row)
        for value in message.values()
        if not isinstance(value, str)
        for row in value
    )
