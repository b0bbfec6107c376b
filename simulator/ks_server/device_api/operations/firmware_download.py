"""GET firmware/download: a bundle, by a signed request or by the token in FW3."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from ks_agent import signing

from ... import firmware_files
from ...context import Context
from ...downloads import BUSY_RTY_S, Busy, Place
from ...firmware_files import BadToken, Unsatisfiable
from ...keys import ServerKey
from ...repository import rollout_downloads
from ...repository.devices import REVOKED, Device, find_one
from ...repository.releases import Release
from ...repository.rollout_downloads import Download
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal
from ..wire import Reply, Withdrawn, query_values, reply

_TOKEN_QUERY_MAX_BYTES: Final = 512
# a slow line may take minutes for what was revoked meanwhile
LOOK_EVERY_S: Final = 5.0
OK, PART, UNCHANGED, OUTSIDE = 200, 206, 304, 416


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the request's headers get of a bundle: a status, and the bytes [start, end)."""

    release: Release
    status: int
    start: int = 0
    end: int = 0

    @property
    def has_body(self) -> bool:
        """Whether bytes of the bundle go out."""
        return self.status in (OK, PART)


class FirmwareDownload(Operation):
    """Answers 200, 206 for a single range, 304 for what the client has, 416 for what is outside."""

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
            download = await _find(context, connection, ticket.d1, ticket.fw1)
        answer = _answer(download.release, headers)
        if answer.status == OUTSIDE:
            return _outside(reply(OUTSIDE, _outside_answer(), syntax), download.release)
        if answer.has_body:
            _check_place(context, ticket.d1)
            if download.rollout is not None:
                await _tell(context, download.rollout, ticket.d1)
        made = _reply(context, ticket.d1, answer, _key_for(context, device))
        context.metrics.accepted(self.op)
        return made

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        download = await _find(call.context, connection, call.d1, call.message["FW1"])
        answer = _answer(download.release, call.headers)
        if answer.has_body:
            _check_place(call.context, call.d1)
            if download.rollout is not None:
                now_ms = call.context.now_ms()
                await rollout_downloads.begins(connection, download.rollout, call.d1, now_ms)
        return Outcome({"answer": answer})

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        answer: _Answer = outcome.answer["answer"]
        if answer.status == OUTSIDE:
            return _outside(reply(OUTSIDE, call.bind(_outside_answer()), syntax), answer.release)
        key, _links = call.answering_key()
        return _reply(call.context, call.d1, answer, key)


async def _find(context: Context, connection: AsyncConnection, d1: str, fw1: str) -> Download:
    download = await rollout_downloads.find(connection, d1, fw1, context.now_ms())
    if download is None:
        raise Refusal("NOT_FOUND", "there is no such release")
    return download


def _check_place(context: Context, d1: str) -> None:
    if not context.downloads.may_begin(d1):
        raise _busy()


def _busy() -> Refusal:
    return Refusal("RATE_LIMIT", "too many downloads at once", rty_s=BUSY_RTY_S)


async def _tell(context: Context, rollout: int, d1: str) -> None:
    """The rollout hears of the download before the first byte goes out."""

    async def work(connection: AsyncConnection) -> None:
        await rollout_downloads.begins(connection, rollout, d1, context.now_ms())

    await context.writer.request(work)


def _key_for(context: Context, device: Device) -> ServerKey:
    if device.kid is not None:
        return context.keys.current
    return context.keys.for_legacy(device.server_seq, context.now_ms())


def _answer(release: Release, headers: dict[bytes, bytes]) -> _Answer:
    """RFC 9110 section 13.2.2: If-None-Match, then Range if If-Range lets it."""
    etag = _etag(release)
    if firmware_files.names_etag(headers.get(b"if-none-match", b""), etag):
        return _Answer(release, UNCHANGED)
    wanted = headers.get(b"range", b"")
    if headers.get(b"if-range", etag) != etag:
        wanted = b""
    try:
        part = firmware_files.parse_range(wanted, release.fw5)
    except Unsatisfiable:
        return _Answer(release, OUTSIDE)
    if part is None:
        return _Answer(release, OK, 0, release.fw5)
    return _Answer(release, PART, *part)


def _etag(release: Release) -> bytes:
    return b'"' + release.fw4.encode("ascii") + b'"'


def _reply(context: Context, d1: str, answer: _Answer, key: ServerKey) -> Reply:
    """The answer with a body that is read while it is sent. Raises Refusal."""
    release = answer.release
    made = Reply(answer.status, b"", [(b"etag", _etag(release))])
    made.headers.append((b"cache-control", b"private, no-transform"))
    if not answer.has_body:
        return made
    path: Path = context.settings.data / release.path
    if not path.is_file():
        raise FileNotFoundError(f"the bundle of release {release.fw1} is missing")
    signature = signing.sign_release(context.crypto, key.seed, release.signed_fields())
    made.headers += [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(answer.end - answer.start).encode("ascii")),
        (b"accept-ranges", b"bytes"),
        (b"x-firmware-signature", signature.encode("ascii")),
        (b"x-firmware-checksum", release.fw4.encode("ascii")),
    ]
    if answer.status == PART:
        span = f"bytes {answer.start}-{answer.end - 1}/{release.fw5}"
        made.headers.append((b"content-range", span.encode("ascii")))
    try:
        place = context.downloads.begin(d1)
    except Busy:
        raise _busy() from None
    made.ended = place.leave
    made.stream = _while_allowed(context, d1, release.fw1, _stream(context, path, answer, place))
    return made


async def _while_allowed(
    context: Context, d1: str, fw1: str, stream: AsyncGenerator[bytes]
) -> AsyncGenerator[bytes]:
    """The pieces, until the release is revoked, or its rollout aborted: then raises Withdrawn."""
    looked_s = time.monotonic()
    async with aclosing(stream) as pieces:
        async for piece in pieces:
            if time.monotonic() >= looked_s + LOOK_EVERY_S:
                async with context.engine.connect() as connection:
                    now_ms = context.now_ms()
                    if await rollout_downloads.find(connection, d1, fw1, now_ms) is None:
                        raise Withdrawn
                looked_s = time.monotonic()
            yield piece


def _stream(context: Context, path: Path, answer: _Answer, place: Place) -> AsyncGenerator[bytes]:
    if context.downloads.is_limited:
        return firmware_files.paced(path, answer.start, answer.end, place.take)
    return firmware_files.stream(path, answer.start, answer.end)


def _outside_answer() -> dict[str, str]:
    return Refusal("MALFORMED", "the range lies outside the bundle").answer()


def _outside(answer: Reply, release: Release) -> Reply:
    answer.headers.append((b"content-range", f"bytes */{release.fw5}".encode("ascii")))
    return answer
