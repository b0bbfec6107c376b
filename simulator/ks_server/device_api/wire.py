"""Messages in HTTP: reading a request with a bound on everything, and writing an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send

from ks_agent import signing
from ks_agent.schema import Request

from ..log import get_logger
from .refusal import Refusal

log = get_logger("ks_server.device_api")

BODY_TIMEOUT_S: Final = 10.0
# for one piece of a download: with a piece of 256 KiB, nine hundred bytes per second
STALL_S: Final = 300.0
# read and thrown away after a refusal, so that a client still sending gets to read the answer
DRAIN_MAX_BYTES: Final = 256 * 1024
_LENGTH_MAX_DIGITS: Final = 18

Answer = dict[str, Any]


@dataclass(slots=True)
class Reply:
    """An HTTP answer; `stream`, when there is one, gives the body of a download.

    `ended` is called once nothing of it is sent any more.
    """

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]
    stream: AsyncGenerator[bytes] | None = field(default=None)
    ended: Callable[[], None] | None = field(default=None)

    async def send(self, receive: Receive, send: Send, method: str) -> None:
        """Send all of it; a HEAD is answered without a body."""
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        try:
            await send(start)
            if self.stream is not None:
                async with aclosing(self.stream) as stream:
                    if not await _send_pieces(receive, send, stream):
                        return
            body = b"" if method == "HEAD" else self.body
            await send({"type": "http.response.body", "body": body})
        finally:
            if self.ended is not None:
                self.ended()


class Withdrawn(Exception):
    """What is being sent must not be had any more: the connection is to break."""


async def _send_pieces(receive: Receive, send: Send, stream: AsyncGenerator[bytes]) -> bool:
    """Whether all could be sent. The server underneath swallows what goes to a client that has
    left, and waits for ever for one that stopped reading."""
    leaving = asyncio.create_task(_leaves(receive))
    try:
        async for piece in stream:
            if leaving.done():
                return False
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        log.warning("download_stalled", seconds=STALL_S)
        return False
    except Withdrawn:
        return False
    finally:
        leaving.cancel()
    return True


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] == "http.request":
        pass


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers; of one that comes several times the last."""
    return dict(scope["headers"])


def syntax_of(method: str, headers: dict[bytes, bytes]) -> str:
    """The transfer syntax to answer in: of the body, or what a GET accepts."""
    if method == "GET":
        accepted = headers.get(b"accept", b"").lower()
        return signing.TOON if b"text/toon" in accepted else signing.LINES
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return signing.TOON if media_type == b"text/toon" else signing.LINES


async def read_body(receive: Receive, headers: dict[bytes, bytes], max_bytes: int) -> bytes:
    """The body. Raises Refusal: TOO_LARGE as soon as it is known, MALFORMED when it ends early."""
    declared = headers.get(b"content-length", b"0")
    # Python refuses to read a number of thousands of digits
    if declared.isdigit() and (len(declared) > _LENGTH_MAX_DIGITS or int(declared) > max_bytes):
        await _drain(receive)
        raise Refusal("TOO_LARGE", f"more than {max_bytes} bytes")
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                event = await receive()
                if event["type"] != "http.request":
                    raise Refusal("MALFORMED", "the body ended early")
                piece = event.get("body", b"")
                size += len(piece)
                if size > max_bytes:
                    if event.get("more_body", False):
                        await _drain(receive)
                    raise Refusal("TOO_LARGE", f"more than {max_bytes} bytes")
                pieces.append(piece)
                if not event.get("more_body", False):
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except TimeoutError:
        raise Refusal("MALFORMED", "the body came too slowly") from None


async def _drain(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while size < DRAIN_MAX_BYTES:
                event = await receive()
                size += len(event.get("body", b""))
                if event["type"] != "http.request" or not event.get("more_body", False):
                    return
    except TimeoutError:
        return


def query_values(scope: Scope, name: bytes, max_bytes: int) -> list[bytes]:
    """The values of a query parameter, decoded. Raises Refusal TOO_LARGE."""
    query = scope.get("query_string", b"")
    if len(query) > 3 * max_bytes + 64:
        raise Refusal("TOO_LARGE", f"more than {max_bytes} bytes")
    values = []
    for part in query.split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name:
            values.append(unquote_to_bytes(value.replace(b"+", b" ")))
    if any(len(value) > max_bytes for value in values):
        raise Refusal("TOO_LARGE", f"more than {max_bytes} bytes")
    return values


async def read_message(
    scope: Scope, receive: Receive, headers: dict[bytes, bytes], request: Request
) -> bytes:
    """The bytes of the message: the body, or the query parameter `toon` of a GET."""
    if request.method != "GET":
        return await read_body(receive, headers, request.max_body_bytes)
    values = query_values(scope, b"toon", request.max_body_bytes)
    if len(values) > 1:
        raise Refusal("MALFORMED", "the parameter toon comes twice")
    return values[0] if values else b""


def parse(data: bytes, syntax: str, request: Request) -> dict[str, Any]:
    """The message. Raises ks_agent.errors.Malformed."""
    message: dict[str, Any] = signing.parse(
        data, syntax, request.max_body_bytes, request.max_tokens, request.max_rows
    )
    return message


def compose(answer: Answer, syntax: str) -> bytes:
    """The answer's bytes in that syntax."""
    return bytes(signing.compose(answer, syntax))


def reply(status: int, answer: Answer, syntax: str) -> Reply:
    """A finished answer; RTY is repeated as Retry-After."""
    body = compose(answer, syntax)
    headers = [
        (b"content-type", syntax.encode("ascii") + b"; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
    ]
    if "RTY" in answer:
        headers.append((b"retry-after", answer["RTY"].encode("ascii")))
    return Reply(status, body, headers)
