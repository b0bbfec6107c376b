"""Punches as files: CSV, JSON and XLSX, of any number in bounded memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from ..context import Context
from ..punch_tables import Workbook, csv_header, csv_rows
from .common import Server
from .punch_query import PunchView, Selection, read_filter
from .punches import Filter

router = APIRouter(tags=["punches"])

PAGE_ROWS: Final = 4000  # of a device alone, each page may cost a look at all its punches
CHUNK_BYTES: Final = 64 * 1024

Format = Literal["csv", "json", "xlsx"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_CONTENT: Final[dict[str, Any]] = {
    media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
    for media_type in MEDIA_TYPES.values()
}


@router.get(
    "/punches/export",
    response_class=StreamingResponse,
    responses={200: {"content": _CONTENT, "description": "The file"}},
)
async def export_punches(
    server: Server,
    wanted: Filter,
    kind: Annotated[Format, Query(alias="format")] = "csv",
) -> StreamingResponse:
    """All punches of a filter as a file, in the order of the list. JSON holds what the list holds.
    In CSV a text that a spreadsheet would take for a formula has an apostrophe before it."""
    async with server.engine.connect() as connection:
        selection = await read_filter(connection, wanted)
    pages = _pages(server, selection)
    body = _chunks(await _workbook(pages)) if kind == "xlsx" else _TEXTS[kind](pages)
    headers = {"Content-Disposition": f'attachment; filename="punches.{kind}"'}
    return StreamingResponse(body, media_type=MEDIA_TYPES[kind], headers=headers)


async def _pages(server: Context, selection: Selection) -> AsyncIterator[list[PunchView]]:
    """Each page by a statement of its own: a slow reader must not hold a transaction open."""
    position: list[Any] | None = None
    while True:
        async with server.engine.connect() as connection:
            rows, position = await selection.fetch(connection, position, PAGE_ROWS)
        yield await asyncio.to_thread(lambda: [selection.view(row) for row in rows])  # noqa: B023
        if position is None:
            return


async def _csv(pages: AsyncIterator[list[PunchView]]) -> AsyncIterator[bytes]:
    yield csv_header()
    async for page in pages:
        yield await asyncio.to_thread(csv_rows, [punch.model_dump() for punch in page])


async def _json(pages: AsyncIterator[list[PunchView]]) -> AsyncIterator[bytes]:
    before = '{"items":['
    async for page in pages:
        if page:
            yield (before + ",".join(punch.model_dump_json() for punch in page)).encode("utf-8")
            before = ","
    yield b"]}" if before == "," else before.encode("ascii") + b"]}"


_TEXTS: Final = {"csv": _csv, "json": _json}


async def _workbook(pages: AsyncIterator[list[PunchView]]) -> BinaryIO:
    """The finished file, open and without a name: nothing stays behind, whoever goes away."""
    with tempfile.TemporaryDirectory(prefix="ks-export-") as folder:
        with Workbook(Path(folder)) as book:
            async for page in pages:
                await asyncio.to_thread(book.write, [punch.model_dump() for punch in page])
        return book.path.open("rb")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
