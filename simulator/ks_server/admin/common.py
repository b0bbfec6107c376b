"""What the parts of the admin API share: context, pages, fields, the record of what was done."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, Select, insert, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing, timetext, tokens
from ks_agent.errors import Malformed, PeerError

from ..context import Context
from ..db.base import storable
from ..db.schema import admin_actions
from .errors import ApiError

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200
CURSOR_MAX_CHARACTERS: Final = 400
MAX_INTEGER: Final = 2**63 - 1
ACTOR: Final = "admin-token"

Item = TypeVar("Item")


class Form(BaseModel):
    """Base of every request's body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Page(BaseModel, Generic[Item]):
    """One page; give `next` as `after` to get the following one. `next` is null on the last."""

    items: list[Item]
    next: str | None


def _public_key(text: str) -> str:
    try:
        return str(signing.b64(signing.decode_public_key(text)))
    except PeerError:
        raise ValueError("is no Ed25519 public key (base64 of the 32 bytes or of a PEM)") from None


def _device_id(text: str) -> str:
    try:
        tokens.check_value("D1", text)
    except Malformed:
        raise ValueError("is no device id: [A-Za-z0-9._-]{1,64}") from None
    return text


PublicKey = Annotated[str, Field(max_length=400), AfterValidator(_public_key)]
"""A public key in either form of D3; becomes base64 of the raw 32 bytes."""

DeviceId = Annotated[str, AfterValidator(_device_id)]
DevicePath = Annotated[str, Path(alias="d1"), AfterValidator(_device_id)]
Note = Annotated[str, Field(max_length=400), AfterValidator(storable)]


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Server = Annotated[Context, Depends(_context)]
"""The running server, in the signature of a handler."""


class PageQuery:
    """`limit` and `after` of a list."""

    def __init__(
        self,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        after: Annotated[str | None, Query(max_length=CURSOR_MAX_CHARACTERS)] = None,
    ) -> None:
        self.limit = limit
        self.after = after


Paging = Annotated[PageQuery, Depends()]


async def fetch_page(
    context: Context,
    query: Select[Any],
    order: tuple[ColumnElement[Any], ...],
    paging: PageQuery,
    view: Callable[[Row[Any]], Item],
    *,
    newest_first: bool = False,
) -> Page[Item]:
    """Run `query` from where the cursor stands. `order` is unique and part of what it selects."""
    if paging.after is not None:
        position = tuple_(*read_cursor(paging.after, [column.type.python_type for column in order]))
        here = tuple_(*order)
        query = query.where(here < position if newest_first else here > position)
    ordered = query.order_by(*(column.desc() if newest_first else column for column in order))
    async with context.engine.connect() as connection:
        rows = (await connection.execute(ordered.limit(paging.limit + 1))).all()
    following = None
    if len(rows) > paging.limit:
        last = rows[paging.limit - 1]._mapping
        following = write_cursor([last[column] for column in order])
    return Page(items=[view(row) for row in rows[: paging.limit]], next=following)


def write_cursor(values: list[Any]) -> str:
    """A position in a list as text."""
    return base64.urlsafe_b64encode(json.dumps(values).encode("utf-8")).decode("ascii")


def read_cursor(text: str, kinds: Sequence[type]) -> list[Any]:
    """The position that the text stands for. Raises ApiError BAD_CURSOR."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (binascii.Error, ValueError):
        values = None
    if (
        not isinstance(values, list)
        or [type(value) for value in values] != list(kinds)
        or any(isinstance(value, int) and abs(value) > MAX_INTEGER for value in values)
    ):
        raise ApiError("BAD_CURSOR", "`after` is not the `next` of a page of this list")
    return values


async def fetch_one(context: Context, query: Select[Any], what: str) -> Row[Any]:
    """The only row of a query. Raises ApiError NOT_FOUND naming `what`."""
    async with context.engine.connect() as connection:
        row = (await connection.execute(query)).first()
    return found(row, what)


def found(row: Row[Any] | None, what: str) -> Row[Any]:
    """The row, or ApiError NOT_FOUND."""
    if row is None:
        raise ApiError("NOT_FOUND", f"there is no such {what}")
    return row


async def record(
    connection: AsyncConnection,
    context: Context,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Note in the transaction what an administrator did; `detail` holds no secrets."""
    await connection.execute(
        insert(admin_actions).values(
            at_ms=context.now_ms(),
            actor=ACTOR,
            action=action,
            subject=subject,
            detail=json.dumps(dict(detail), sort_keys=True) if detail else None,
        )
    )


def time_text(unix_ms: int | None) -> str | None:
    """A time of the database as the protocol writes times."""
    return None if unix_ms is None else str(timetext.format_ms(unix_ms))
