"""The device API: every request through the same checks in the same order (PROTOCOL section 3).

size - limit per source address - syntax - required tokens - device known - SIG1 - not revoked -
TS within 300 s - nonce unused - rate limit - one transaction - answer. Until SIG1 nothing is
written and refusals are unsigned; from then on every answer is signed and bound to its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Receive, Scope, Send

from ks_agent import schema, timetext
from ks_agent.errors import BadSignature, Malformed, MissingToken
from ks_agent.message import canonical

from .. import nonces
from ..context import Context
from ..limits import FUTURE, SOURCE
from ..log import get_logger
from ..middleware import UNKNOWN_SOURCE, rate_key
from ..repository import findings, rollouts
from ..repository.devices import REVOKED, Device, DeviceChanged
from ..writer import Unavailable
from . import wire
from .call import Call, Outcome
from .operation import Operation
from .refusal import Refusal, nonce_reused, too_many
from .wire import Reply

PREFIX: Final = "/api/devices"
UNKNOWN_OP: Final = "unknown"
BUSY_RTY_S: Final = 10

_TRY_AGAIN: Final = (Unavailable, DeviceChanged, OperationalError, InterfaceError, PoolTimeout)

log = get_logger("ks_server.device_api")


class DeviceApi:
    """ASGI application for everything under /api/devices."""

    def __init__(self, context: Context, operations: Mapping[str, Operation]) -> None:
        self._context = context
        self._operations = operations
        self._in_flight: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        method = scope["method"]
        headers = wire.headers_of(scope)
        syntax = wire.syntax_of(method, headers)
        path = scope["path"].removeprefix(PREFIX + "/")
        op = path if path in self._operations else UNKNOWN_OP
        try:
            answer = await self._answer(scope, receive, op, headers, syntax)
        except Exception as error:
            refusal = _as_refusal(error)
            self._context.metrics.refused(op, refusal.code, False)
            answer = wire.reply(refusal.status, refusal.answer(), syntax)
            if refusal.allow:
                answer.headers.append((b"allow", refusal.allow.encode("ascii")))
        await answer.send(receive, send, method)

    async def _answer(
        self, scope: Scope, receive: Receive, op: str, headers: dict[bytes, bytes], syntax: str
    ) -> Reply:
        wait_s = self._context.limits.hit(SOURCE, _source_of(scope))
        if op == UNKNOWN_OP:
            await wire.read_body(receive, headers, schema.REQUESTS["heartbeat"].max_body_bytes)
        else:
            data = await self._read(scope, receive, op, headers)
        if wait_s:
            raise Refusal("RATE_LIMIT", "too many requests from this address", rty_s=wait_s)
        if op == UNKNOWN_OP:
            raise Refusal("NOT_FOUND", "there is no such operation")
        operation = self._operations[op]
        request = schema.REQUESTS[op]
        if scope["method"] != request.method:
            raise Refusal(
                "METHOD_NOT_ALLOWED", f"{op} takes {request.method}", allow=request.method
            )
        direct = await operation.without_message(self._context, scope, headers, syntax)
        if direct is not None:
            return direct
        message = _checked(operation, data, _request_syntax(request, syntax))
        if operation.asks_late:
            remembered = self._from_memory(operation, message, headers)
            if remembered is not None:
                try:
                    return await self._serve(operation, remembered, False, syntax)
                except DeviceChanged:
                    self._context.devices.forget(remembered.d1)
        call, nonce_used = await self._identify(operation, message, headers)
        return await self._serve(operation, call, nonce_used, syntax)

    async def _read(
        self, scope: Scope, receive: Receive, op: str, headers: dict[bytes, bytes]
    ) -> bytes:
        return await wire.read_message(scope, receive, headers, schema.REQUESTS[op])

    async def _identify(
        self, operation: Operation, message: dict[str, Any], headers: dict[bytes, bytes]
    ) -> tuple[Call, bool]:
        """The device, and SIG1. Raises Refusal, BadSignature and database errors."""
        found = await self._context.devices.find(message["D1"], message["NONCE"])
        if found.device is None and operation.needs_device:
            raise Refusal("DEVICE_NOT_FOUND", "no such device")
        call = self._call(operation, message, headers, found.device)
        signers = operation.signers(call)
        for public in signers[:-1]:
            try:
                call.verify(public)
                return call, found.nonce_used
            except BadSignature:
                continue
        call.verify(signers[-1])
        return call, found.nonce_used

    def _from_memory(
        self, operation: Operation, message: dict[str, Any], headers: dict[bytes, bytes]
    ) -> Call | None:
        """The call, when all that comes before the nonce is in order by what is remembered.

        Anything else is for the database to say, and so is FW2 where the request doesn't.
        """
        device = self._context.devices.remembered(message["D1"])
        if device is None or "FW2" not in message:
            return None
        call = self._call(operation, message, headers, device)
        call.remembered = True
        try:
            call.verify(device.public)
        except BadSignature:
            return None
        return call if self._context.fence.believes(call.ts_ms) else None

    def _call(
        self,
        operation: Operation,
        message: dict[str, Any],
        headers: dict[bytes, bytes],
        device: Device | None,
    ) -> Call:
        return Call(
            context=self._context,
            op=operation.op,
            message=message,
            text=canonical(message),
            ts_ms=timetext.parse_ms(message["TS"]),
            now_ms=self._context.now_ms(),
            device=device,
            headers=headers,
        )

    async def _serve(
        self, operation: Operation, call: Call, nonce_used: bool, syntax: str
    ) -> Reply:
        metrics = self._context.metrics
        try:
            outcome = await self._perform(operation, call, nonce_used)
            answer = await operation.finish(call, outcome, syntax)
        except Exception as error:
            if call.remembered and isinstance(error, DeviceChanged):
                raise
            refusal = _as_refusal(error)
            metrics.refused(call.op, refusal.code, True)
            return wire.reply(refusal.status, call.bind(refusal.answer()), syntax)
        metrics.accepted(call.op)
        findings.announce(metrics, outcome.events)
        rollouts.announce(outcome.events)
        for name, fields in outcome.events:
            metrics.event(name)
            self._context.hooks.emit(name, **fields)
        return answer

    async def _perform(self, operation: Operation, call: Call, nonce_used: bool) -> Outcome:
        device = call.device
        if device is not None and device.state == REVOKED and not operation.open_to_revoked:
            raise Refusal("REVOKED", "this device has been revoked")
        if operation.checks_time and not self._context.fence.believes(call.ts_ms):
            if call.ts_ms > call.now_ms and not nonce_used:
                await self._remember(operation, call)
            raise Refusal("TIMESTAMP_INVALID", "TS is not within 300 s of the server's time")
        use = nonces.use_of(call.d1, call.nonce)
        if nonce_used or use in self._in_flight:
            raise nonce_reused()
        if not operation.asks_late:
            wait_s = self._context.limits.hit(*operation.limit(call))
            if wait_s:
                raise too_many(wait_s)
        self._in_flight.add(use)
        try:
            return await operation.store(call)
        finally:
            self._in_flight.discard(use)

    async def _remember(self, operation: Operation, call: Call) -> None:
        """A request from the future must not become good when its time has come, so its nonce is
        kept whatever the operation's rate limit says, which comes later and does not count it.

        It is kept for as long as its TS is ahead, which may be thousands of years: a limit of its
        own keeps a device that has gone mad from filling the database.
        """
        if self._context.limits.hit(FUTURE, *operation.limit(call)[1:]):
            return

        async def store(connection: AsyncConnection) -> None:
            if await operation.may_remember(call, connection):
                await nonces.store(connection, [nonces.row(call.d1, call.nonce, call.ts_ms)])

        with suppress(nonces.NonceReused):  # stored already, which is all that is wanted
            await self._context.writer.request(store)


def _checked(operation: Operation, data: bytes, syntax: str) -> dict[str, Any]:
    request = schema.REQUESTS[operation.op]
    message = wire.parse(data, syntax, request)
    for key, value in message.items():
        if not isinstance(value, str) and request.knows(key) and key not in request.lists:
            raise Malformed(key + " is no list")
    schema.check_request(operation.op, message)
    operation.check(message)
    return message


def _request_syntax(request: schema.Request, syntax: str) -> str:
    return "text/plain" if request.method == "GET" else syntax


def _source_of(scope: Scope) -> str:
    source = scope.get("state", {}).get("source")
    if source is None:
        client = scope.get("client")
        source = client[0] if client else UNKNOWN_SOURCE
    return rate_key(source) if source != UNKNOWN_SOURCE else source


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Malformed):
        return Refusal("MALFORMED", "not a message of this protocol", str(error))
    if isinstance(error, MissingToken):
        return Refusal("MISSING_TOKEN", "tokens are missing", ",".join(error.missing))
    if isinstance(error, BadSignature):
        return Refusal("SIG_INVALID", "the signature is wrong")
    if isinstance(error, nonces.NonceReused):
        return nonce_reused()
    if isinstance(error, _TRY_AGAIN):
        log.error("request_not_done", error=type(error).__name__)
        return Refusal("UNAVAILABLE", "try again later", rty_s=BUSY_RTY_S)
    log.error("request_failed", exc_info=error)
    return Refusal("INTERNAL", "the server failed; this has been noted", rty_s=BUSY_RTY_S)
