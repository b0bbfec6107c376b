"""Bundles on their way out: download tokens, byte ranges, and streaming from the file.

A token (part of FW3) is `[A-Za-z0-9_-]+`: base64url of an HMAC-SHA-256 and what it covers, which
is expiry, D1 and FW1. Nothing about it is stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

# What a download holds in memory. Each piece costs a change of threads: with 64 KiB, throughput
# is less than half.
PIECE_BYTES: Final = 256 * 1024
PACED_BYTES: Final = 16 * 1024

_CONTEXT: Final = b"KS-DOWNLOAD-1|"
_MAC_BYTES: Final = 32
_HEAD: Final = struct.Struct(">QB")  # expiry in Unix ms, length of D1
_TOKEN_MAX_CHARACTERS: Final = 256
_MAX_DIGITS: Final = 15


class BadToken(Exception):
    """The download token is forged, damaged or expired."""


class Unsatisfiable(Exception):
    """The range lies outside the file (HTTP 416)."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a download token allows."""

    d1: str
    fw1: str


def make_token(secret: bytes, d1: str, fw1: str, expires_ms: int) -> str:
    """A token for one device and one release."""
    name = d1.encode("ascii")
    content = _HEAD.pack(expires_ms, len(name)) + name + fw1.encode("ascii")
    return base64.urlsafe_b64encode(_mac(secret, content) + content).decode("ascii").rstrip("=")


def read_token(secret: bytes, token: str, now_ms: int) -> Ticket:
    """What the token allows. Raises BadToken."""
    if len(token) > _TOKEN_MAX_CHARACTERS:
        raise BadToken
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadToken from None
    mac, content = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, content)):
        raise BadToken
    expires_ms, length = _HEAD.unpack_from(content)
    if now_ms >= expires_ms:
        raise BadToken
    names = content[_HEAD.size :]
    return Ticket(names[:length].decode("ascii"), names[length:].decode("ascii"))


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.new(secret, _CONTEXT + content, hashlib.sha256).digest()


def parse_range(header: bytes, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) of a single byte range.

    None when there is nothing to heed: no header, another unit, several ranges, or no range by
    RFC 9110 section 14.1.2. Raises Unsatisfiable.
    """
    unit, equals, text = header.strip().partition(b"=")
    if not equals or unit.strip().lower() != b"bytes" or b"," in text:
        return None
    first, dash, last = text.strip().partition(b"-")
    if not dash or not _is_number(first or last) or (last and not _is_number(last)):
        return None
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return size - length, size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(int(last) + 1, size) if last else size


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _MAX_DIGITS


def names_etag(header: bytes, etag: bytes) -> bool:
    """Whether If-None-Match names this (strong) tag, compared weakly (RFC 9110 section 13.1.2)."""
    names = [name.strip().removeprefix(b"W/") for name in header.split(b",")]
    return etag in names or names == [b"*"]


async def stream(
    path: Path, start: int, end: int, piece_bytes: int = PIECE_BYTES
) -> AsyncGenerator[bytes]:
    """The bytes [start, end) of the file, a piece at a time."""
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(start)
        left = end - start
        while left:
            piece = await file.read(min(piece_bytes, left))
            if not piece:
                raise OSError("the bundle is shorter than its release says")
            left -= len(piece)
            yield piece


async def paced(
    path: Path, start: int, end: int, take: Callable[[int], Awaitable[None]]
) -> AsyncGenerator[bytes]:
    """The same in small pieces, each of which waits for `take`: so everybody's turn comes soon."""
    async with aclosing(stream(path, start, end, PACED_BYTES)) as pieces:
        async for piece in pieces:
            await take(len(piece))
            yield piece
