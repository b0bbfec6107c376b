"""GET firmware/download: a bundle, by a signed request or by the token in FW3."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from ks_agent import signing

from ... import firmware_files
from ...context import Context
from ...firmware_files import BadToken, Unsatisfiable
from ...keys import ServerKey
from ...repository.devices import REVOKED, Device, find_one
from ...repository.releases import Release, find_published
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal
from ..wire import Reply, query_values, reply

_TOKEN_QUERY_MAX_BYTES = 512


class FirmwareDownload(Operation):
    """Answers 200, 206 for a single range, 416 for one outside the bundle."""

    op = "firmware/download"

    async def without_message(
        self, context: Context, scope: Scope, headers: dict[bytes, bytes], syntax: str
    ) -> Reply | None:
        tokens = query_values(scope, b"token", _TOKEN_QUERY_MAX_BYTES)
        if not tokens:
            return None
        try:
            token = tokens[0].decode("ascii")
            ticket = firmware_files.read_token(context.download_secret, token, context.now_ms())
        except (BadToken, UnicodeError):
            raise Refusal("UNAUTHORIZED", "this download link is not valid") from None
        wait_s = context.limits.hit(self.op, ticket.d1)
        if wait_s:
            raise Refusal("RATE_LIMIT", "too many downloads", rty_s=wait_s)
        async with context.engine.connect() as connection:
            device = await find_one(connection, ticket.d1)
            if device is None:
                raise Refusal("DEVICE_NOT_FOUND", "no such device")
            if device.state == REVOKED:
                raise Refusal("REVOKED", "this device has been revoked")
            release = await _published(context, connection, ticket.fw1)
        answer = _bundle(context, release, _key_for(context, device), headers)
        if answer is None:
            return _outside(reply(416, _outside_answer(), syntax), release)
        context.metrics.accepted(self.op)
        return answer

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        release = await _published(call.context, connection, call.message["FW1"])
        return Outcome({"release": release})

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        release: Release = outcome.answer["release"]
        key, _links = call.answering_key()
        answer = _bundle(call.context, release, key, call.headers)
        if answer is None:
            return _outside(reply(416, call.bind(_outside_answer()), syntax), release)
        return answer


async def _published(context: Context, connection: AsyncConnection, fw1: str) -> Release:
    release = await find_published(connection, fw1, context.now_ms())
    if release is None:
        raise Refusal("NOT_FOUND", "there is no such release")
    return release


def _key_for(context: Context, device: Device) -> ServerKey:
    if device.kid is not None:
        return context.keys.current
    return context.keys.for_legacy(device.server_seq, context.now_ms())


def _bundle(
    context: Context, release: Release, key: ServerKey, headers: dict[bytes, bytes]
) -> Reply | None:
    """The bundle or the part of it that is asked for; None when that lies outside."""
    path: Path = context.settings.data / release.path
    if not path.is_file():
        raise FileNotFoundError(f"the bundle of release {release.fw1} is missing")
    etag = b'"' + release.fw4.encode("ascii") + b'"'
    wanted = headers.get(b"range", b"")
    if headers.get(b"if-range", etag) != etag:
        wanted = b""
    try:
        part = firmware_files.parse_range(wanted, release.fw5)
    except Unsatisfiable:
        return None
    start, end = part or (0, release.fw5)
    signature = signing.sign_release(context.crypto, key.seed, release.signed_fields())
    answer = Reply(206 if part else 200, b"", [])
    answer.headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(end - start).encode("ascii")),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag),
        (b"cache-control", b"private, no-transform"),
        (b"x-firmware-signature", signature.encode("ascii")),
        (b"x-firmware-checksum", release.fw4.encode("ascii")),
    ]
    if part:
        span = f"bytes {start}-{end - 1}/{release.fw5}"
        answer.headers.append((b"content-range", span.encode("ascii")))
    answer.stream = firmware_files.stream(path, start, end)
    return answer


def _outside_answer() -> dict[str, str]:
    return Refusal("MALFORMED", "the range lies outside the bundle").answer()


def _outside(answer: Reply, release: Release) -> Reply:
    answer.headers.append((b"content-range", f"bytes */{release.fw5}".encode("ascii")))
    return answer
