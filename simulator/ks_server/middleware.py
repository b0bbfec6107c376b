"""What surrounds every request: its id, where it came from, how long it took, one access line."""

from __future__ import annotations

import ipaddress
import itertools
import re
import secrets
from time import perf_counter
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .log import AccessLog, request_id
from .metrics import Metrics
from .settings import Network

UNKNOWN_SOURCE: Final = "unknown"
MAX_FORWARDED_HOPS: Final = 32

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_AREAS: Final = (("/api/devices", "devices"), ("/api/admin", "admin"))
_HEALTH: Final = frozenset(("/health", "/healthz", "/readyz", "/metrics"))


def area_of(path: str) -> str:
    """`devices`, `admin`, `health` or `other`: the only part of a path that metrics keep."""
    for prefix, area in _AREAS:
        if path == prefix or path.startswith(prefix + "/"):
            return area
    return "health" if path in _HEALTH else "other"


def rate_key(source: str) -> str:
    """What a limit per source counts by: an IPv4 address, or the /64 of an IPv6 address, since
    one host has all of that."""
    if ":" not in source:
        return source
    return str(ipaddress.ip_network((source, 64), strict=False))


class Sources:
    """Finds the client's address behind TRUSTED_PROXIES."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self._trusted = trusted

    def is_trusted(self, address: str) -> bool:
        """Whether the address is a proxy of ours; text that is no address is not."""
        if not self._trusted:
            return False
        parsed = _parse_address(address)
        return parsed is not None and any(parsed in network for network in self._trusted)

    def find(self, peer: str, forwarded_for: str) -> str:
        """The last address of X-Forwarded-For that is no proxy of ours, the peer being one;
        otherwise the peer. What stands left of it anybody may have written."""
        source = peer
        if not self.is_trusted(peer):
            return source
        for text in reversed(forwarded_for.split(",")[-MAX_FORWARDED_HOPS:]):
            parsed = _parse_address(_without_port(text.strip()))
            if parsed is None:
                return source
            source = str(parsed)
            if not self.is_trusted(source):
                return source
        return source


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, _port = text.partition(":")
    return host if colon and ":" not in _port else text


class RequestMiddleware:
    """Outermost ASGI layer. Sets `scope["state"]["request_id"]` and `["source"]`."""

    def __init__(self, app: ASGIApp, metrics: Metrics, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._metrics = metrics
        self._sources = Sources(trusted)
        self._log = AccessLog()
        self._start = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        state: dict[str, Any] = scope.setdefault("state", {})
        client = scope.get("client")
        source = client[0] if client else UNKNOWN_SOURCE
        number = ""
        if self._sources.is_trusted(source):
            number, forwarded_for = _proxy_headers(scope)
            source = self._sources.find(source, forwarded_for)
        if not _REQUEST_ID.match(number):
            number = f"{self._start}-{next(self._numbers):x}"
        state["request_id"] = number
        state["source"] = source
        before = request_id.set(number)
        status = 500
        header = (b"x-request-id", number.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - started
            self._metrics.in_flight -= 1
            self._metrics.request(area_of(scope["path"]), status, seconds)
            self._log.write(scope["method"], scope["path"], status, seconds * 1000, source)
            request_id.reset(before)


def _proxy_headers(scope: Scope) -> tuple[str, str]:
    number = ""
    forwarded: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            number = value.decode("latin-1")
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
    return number, ",".join(forwarded)
