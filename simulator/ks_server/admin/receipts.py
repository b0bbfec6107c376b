"""Receipts: a range of punches under the server's signature, to be verified anywhere."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import Field, model_validator
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from .. import receipts
from ..context import Context
from ..db.punch_schema import punches
from ..receipts import ReceiptError
from .common import MAX_INTEGER, DeviceId, Form, Server, record, time_text
from .errors import ApiError

router = APIRouter(tags=["punches"])

MEDIA_TYPE: Final = "text/toon"
_FIELDS: Final = ("A1", "A2", "A3", "BOOT", "CLK", "E1", "METHOD", "PREV", "UP")
_CODES: Final = {"CHAIN": "CHAIN_BROKEN", "TOO_LARGE": "TOO_LARGE", "COUNT": "RANGE_INCOMPLETE"}

Seq = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class ReceiptForm(Form):
    """Which punches, both ends included; at most 10,000."""

    d1: DeviceId
    jid: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    first_seq: Seq
    last_seq: Seq

    @model_validator(mode="after")
    def _is_a_range(self) -> ReceiptForm:
        if not 0 <= self.last_seq - self.first_seq < receipts.MAX_PUNCHES:
            raise ValueError(f"is no range of 1 to {receipts.MAX_PUNCHES} punches")
        return self


@router.post(
    "/receipts",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def make_receipt(server: Server, form: ReceiptForm) -> Response:
    """A signed receipt as a TOON document. RANGE_INCOMPLETE when not every punch of the range is
    stored, CHAIN_BROKEN when they do not continue each other."""
    rows = await _read(server, form)
    count = form.last_seq - form.first_seq + 1
    if len(rows) < count:
        raise ApiError("RANGE_INCOMPLETE", f"only {len(rows)} of these {count} punches are stored")
    document = await asyncio.to_thread(_make, server, form, rows)

    async def work(connection: AsyncConnection) -> None:
        detail = {"jid": form.jid, "first_seq": form.first_seq, "last_seq": form.last_seq}
        await record(connection, server, "receipt", form.d1, detail)

    await server.writer.run(work)
    name = f"receipt-{form.d1}-{form.jid}-{form.first_seq}-{form.last_seq}.toon"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(document, media_type=MEDIA_TYPE, headers=headers)


async def _read(server: Context, form: ReceiptForm) -> list[Row[Any]]:
    query = (
        select(punches)
        .where(
            punches.c.d1 == form.d1,
            punches.c.jid == form.jid,
            punches.c.seq.between(form.first_seq, form.last_seq),
        )
        .order_by(punches.c.seq)
    )
    async with server.engine.connect() as connection:
        return list((await connection.execute(query)).all())


def _make(server: Context, form: ReceiptForm, rows: list[Row[Any]]) -> bytes:
    key = server.keys.current
    try:
        return receipts.make(
            server.crypto,
            key.seed,
            d1=form.d1,
            jid=form.jid,
            kid=key.kid,
            made=str(time_text(server.now_ms())),
            rows=[_row(server, form.jid, row) for row in rows],
            links=[
                {"KEY": link.key, "SEQ": str(link.seq), "SIG": link.signature}
                for link in server.keys.chain[1:]
            ],
        )
    except ReceiptError as error:
        raise ApiError(_CODES.get(error.code, "WRONG_STATE"), str(error)) from None


def _row(server: Context, jid: str, row: Row[Any]) -> dict[str, str]:
    values = row._mapping
    fields = {name: values[name.lower()] for name in _FIELDS if values[name.lower()] is not None}
    fields["SEQ"] = str(row.seq)
    # of a punch that an older server stored nobody knows the hash but by its fields
    stored = row.hash or receipts.hash_of(server.crypto, {**fields, "JID": jid})
    return receipts.row_of(server.crypto, jid, fields, stored, row.err1)
