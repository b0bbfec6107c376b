"""HTTP requests with nothing between the test and the application that tidies them up."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class RawAnswer:
    """An answer as it left the application."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def raw(
    app: Any,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    pieces: Sequence[bytes] = (b"",),
    source: str = "192.0.2.7",
) -> RawAnswer:
    """One ASGI request, with nothing between the test and the application that tidies it up."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "client": (source, 40000),
        "server": ("server.test", 80),
    }
    waiting = list(pieces)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    body = io.BytesIO()
    for event in sent[1:]:
        body.write(event.get("body", b""))
    return RawAnswer(sent[0]["status"], dict(sent[0]["headers"]), body.getvalue())
