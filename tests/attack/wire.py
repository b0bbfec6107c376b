"""The wire between terminal and server, in the attacker's hands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from ks_agent import lines, signing
from ks_agent.effects import Response

Forward = Callable[[Any], Awaitable[Response]]
Meddle = Callable[[Any, Forward], Awaitable[Response]]


class Wire:
    """Carries what the terminal asks. `meddle(effect, forward)` answers instead, if it is set."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.meddle: Meddle | None = None
        self.asked: list[Any] = []
        self.answered: list[Response] = []

    async def carry(self, effect: Any) -> Response:
        self.asked.append(effect)
        meddle = self.meddle
        response = await (self.forward(effect) if meddle is None else meddle(effect, self.forward))
        self.answered.append(response)
        return response

    async def forward(self, effect: Any) -> Response:
        """What an honest network does, and the driver's limits with it."""
        answer = await self._http.request(
            effect.method, effect.url, headers=effect.headers, content=effect.body
        )
        if len(answer.content) > effect.max_bytes:
            raise OSError("the answer is too long")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return deliver(effect, answer.status_code, headers, answer.content)


def deliver(effect: Any, status: int, headers: dict[str, str], body: bytes) -> Response:
    """The Response to an effect; a download's body goes to its sink in pieces."""
    if effect.kind == "fetch":
        return Response(status, headers, body)
    if status in (200, 206):
        effect.begin(status, headers)
        for start in range(0, len(body), 700):
            effect.sink(memoryview(body)[start : start + 700])
    return Response(status, headers, b"")


def op_of(effect: Any) -> str:
    """The operation that a fetch calls; "" for a bundle's range."""
    path = str(effect.url).partition("?")[0].partition("/api/devices/")[2]
    return "" if "token=" in effect.url else path


def message_of(effect: Any) -> dict[str, Any]:
    """The request in a fetch."""
    if effect.body is not None:
        message: dict[str, Any] = signing.parse(effect.body, "text/toon", 65536, 4096)
        return message
    query = httpx.URL(effect.url).params["toon"]
    asked: dict[str, Any] = lines.decode(query.encode(), 16384)
    return asked


def answer_of(response: Response) -> dict[str, Any]:
    """The answer in a response."""
    message: dict[str, Any] = signing.parse(response.body, "text/toon", 65536, 4096)
    return message


def as_response(message: dict[str, Any], status: int = 200) -> Response:
    """A TOON answer, signed or not."""
    body = signing.compose(message, "text/toon")
    return Response(status, {"content-type": "text/toon"}, body)


def always(response: Response) -> Meddle:
    """Answer everything with this."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        return response

    return meddle


def only(op: str, change: Callable[[Response], Response | Awaitable[Response]]) -> Meddle:
    """Meddle with the answers to one operation and let all others through."""

    async def meddle(effect: Any, forward: Forward) -> Response:
        response = await forward(effect)
        if op_of(effect) != op:
            return response
        changed = change(response)
        return changed if isinstance(changed, Response) else await changed

    return meddle
