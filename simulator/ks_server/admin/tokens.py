"""One-time registration tokens (OTRT): shown once when made, stored as their hash."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.schema import otrts
from .common import DeviceId, Form, Page, Paging, Server, fetch_page, record, time_text
from .errors import ApiError

router = APIRouter(tags=["tokens"])

TOKEN_BYTES: Final = 24  # 192 bits; the protocol asks for at least 128
BULK_MAX: Final = 1000
HOUR_MS: Final = 3_600_000
MAX_HOURS: Final = 24 * 90
_LOOK_UP_MAX: Final = 500  # below the number of parameters that SQLite takes in a statement

TokenHash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class TokenForm(Form):
    """How many, for how long, and perhaps for which one device."""

    count: Annotated[int, Field(ge=1, le=BULK_MAX)] = 1
    valid_hours: Annotated[int, Field(ge=1, le=MAX_HOURS)] = 72
    d1: DeviceId | None = None


class KnownToken(Form):
    """A token that a factory without a link has made, by its hash: `id` as in a TokenView."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    d1: DeviceId
    expires_ms: Annotated[int, Field(ge=0, le=1 << 50)]


class KnownTokens(Form):
    """Many of them, all stored or, when one is wrong, none."""

    tokens: Annotated[list[KnownToken], Field(min_length=1, max_length=BULK_MAX)]


class ImportResult(BaseModel):
    """How many were new, and how many were there already, used or not."""

    added: int
    unchanged: int


class NewToken(BaseModel):
    """A token that nobody will be shown again."""

    id: str
    token: str


class NewTokens(BaseModel):
    """What was made."""

    expires: str | None
    d1: str | None
    tokens: list[NewToken]


class TokenView(BaseModel):
    """A token without the token: its id is the SHA-256 of its text, hex."""

    id: str
    d1: str | None
    created: str | None
    expires: str | None
    used_by: str | None
    used: str | None


def token_hash(token: str) -> str:
    """How a token is stored and found: hex SHA-256 of its text."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


@router.post("/tokens", status_code=201)
async def make_tokens(server: Server, form: TokenForm) -> NewTokens:
    """Make tokens. This answer is the only place where they can be read."""
    made = [secrets.token_urlsafe(TOKEN_BYTES) for _ in range(form.count)]
    now_ms = server.now_ms()
    expires_ms = now_ms + form.valid_hours * HOUR_MS
    rows = [
        {
            "hash": token_hash(token),
            "d1": form.d1,
            "created_ms": now_ms,
            "expires_ms": expires_ms,
        }
        for token in made
    ]

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(insert(otrts), rows)
        await record(connection, server, "tokens", form.d1 or "", {"count": form.count})

    await server.writer.run(work)
    return NewTokens(
        expires=time_text(expires_ms),
        d1=form.d1,
        tokens=[NewToken(id=token_hash(token), token=token) for token in made],
    )


@router.post("/tokens/import")
async def import_tokens(server: Server, form: KnownTokens) -> ImportResult:
    """Take tokens by their hashes, each bound to a device. Again: nothing changes."""
    now_ms = server.now_ms()
    if len({token.id for token in form.tokens}) != len(form.tokens):
        raise ApiError("INVALID", "a token is given twice")
    if max(token.expires_ms for token in form.tokens) > now_ms + MAX_HOURS * HOUR_MS:
        raise ApiError("INVALID", f"a token that is good for more than {MAX_HOURS} hours")

    async def work(connection: AsyncConnection) -> ImportResult:
        known: dict[str, str | None] = {}
        ids = [token.id for token in form.tokens]
        for start in range(0, len(ids), _LOOK_UP_MAX):
            query = select(otrts.c.hash, otrts.c.d1)
            found = query.where(otrts.c.hash.in_(ids[start : start + _LOOK_UP_MAX]))
            known.update({row.hash: row.d1 for row in await connection.execute(found)})
        if any(known.get(token.id, token.d1) != token.d1 for token in form.tokens):
            raise ApiError("INVALID", "a token is known as another device's")
        rows = [
            {
                "hash": token.id,
                "d1": token.d1,
                "created_ms": now_ms,
                "expires_ms": token.expires_ms,
            }
            for token in form.tokens
            if token.id not in known
        ]
        if rows:
            await connection.execute(insert(otrts), rows)
        result = ImportResult(added=len(rows), unchanged=len(known))
        await record(connection, server, "tokens-import", "", result.model_dump())
        return result

    return await server.writer.run(work)


@router.get("/tokens")
async def list_tokens(server: Server, paging: Paging) -> Page[TokenView]:
    """All tokens, the newest first, used and expired ones too."""

    def view(row: Row[Any]) -> TokenView:
        return TokenView(
            id=row.hash,
            d1=row.d1,
            created=time_text(row.created_ms),
            expires=time_text(row.expires_ms),
            used_by=row.used_by,
            used=time_text(row.used_ms),
        )

    order = (otrts.c.created_ms, otrts.c.hash)
    return await fetch_page(server, select(otrts), order, paging, view, newest_first=True)


@router.delete("/tokens/{token_id}", status_code=204)
async def delete_token(server: Server, token_id: TokenHash) -> None:
    """Make an unused token worthless."""

    async def work(connection: AsyncConnection) -> None:
        result = await connection.execute(
            delete(otrts).where(otrts.c.hash == token_id, otrts.c.used_ms.is_(None))
        )
        if result.rowcount == 0:
            raise ApiError("NOT_FOUND", "there is no such unused token")
        await record(connection, server, "token-delete", token_id)

    await server.writer.run(work)
