"""The door of the admin API: the bearer token is checked before anything of a request is read."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..log import get_logger
from ..settings import Settings
from .errors import ApiError, answer

BODY_MAX_BYTES: Final = 4 * 1024 * 1024

bearer = HTTPBearer(auto_error=False, description="The setting ADMIN_TOKEN", scheme_name="token")
"""Declares the scheme in OpenAPI; `Guard` is what checks it."""

log = get_logger("ks_server.admin")


class Guard:
    """ASGI layer: token in constant time, bounded bodies, and no exception gets out."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        token = settings.admin_token.get_secret_value()
        self._expected = _digest(token.encode("utf-8")) if token else None
        self._bundle_max_bytes = settings.bundle_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._expected is None:
            refusal = answer("ADMIN_DISABLED", "the admin API is off: ADMIN_TOKEN is not set")
            await refusal(scope, receive, send)
            return
        if not hmac.compare_digest(_digest(_token(scope)), self._expected):
            log.warning("admin_refused", path=scope["path"])
            headers = {"WWW-Authenticate": "Bearer"}
            refusal = answer("UNAUTHORIZED", "the bearer token is wrong or missing", None, headers)
            await refusal(scope, receive, send)
            return
        started = False

        async def send_and_know(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, _Bounded(receive, self._limit(scope)), send_and_know)
        except Exception:
            log.exception("admin_failed", path=scope["path"])
            if not started:
                raise

    def _limit(self, scope: Scope) -> int:
        upload = scope["method"] == "POST" and scope["path"].endswith("/releases")
        return self._bundle_max_bytes if upload else BODY_MAX_BYTES


class _Bounded:
    """The request's body, up to a limit."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._left = limit_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise ApiError("TOO_LARGE", "the body is larger than this server takes")
        return message


def _token(scope: Scope) -> bytes:
    """The bearer token of the request, empty when there is none or more than one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return b""
    scheme, _, token = bytes(values[0]).partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def _digest(token: bytes) -> bytes:
    # equal lengths, so that the comparison tells nothing about the token's length either
    return hashlib.sha256(token).digest()
