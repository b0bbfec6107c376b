"""Employees from a CSV file: all of them or none, errors by line."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse

from .. import people_csv
from ..people_csv import LineError, Parsed
from . import people_store
from .common import Server, record
from .errors import STATUS
from .people_changes import change, people_changed

router = APIRouter(tags=["employees"])

REFUSED = "IMPORT_REFUSED"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ImportMistake(BaseModel):
    """What is wrong in a line; the code is stable, the message is for people."""

    line: int
    column: str
    code: str
    message: str


class ImportResult(BaseModel):
    """What an import did or, if `stored` is false, would have done. At most 1000 errors are
    listed; `error_count` counts them all."""

    stored: bool
    lines: int
    created: int
    changed: int
    unchanged: int
    cards_added: int
    cards_removed: int
    error_count: int
    errors: list[ImportMistake]


class ImportRefusal(ImportResult):
    """The answer to a file with errors: nothing was stored."""

    error: dict[str, str]


class _Planned(Exception):
    """Ends the transaction without storing anything."""

    def __init__(self, changes: people_store.Changes) -> None:
        super().__init__()
        self.changes = changes


@router.post(
    "/employees/import",
    openapi_extra=_BODY,
    response_model=ImportResult,
    responses={STATUS[REFUSED]: {"model": ImportRefusal}},
)
async def import_employees(
    server: Server,
    request: Request,
    dry_run: Annotated[bool, Query(description="Store nothing, tell what would be")] = False,
    skip_errors: Annotated[bool, Query(description="Store the lines without errors")] = False,
) -> ImportResult | JSONResponse:
    """Add and change the employees of a CSV file (UTF-8; comma or semicolon; a header with
    external_id and any of name, cards, site, active_from, active_to). One error, and nothing is
    stored. The same file again changes nothing; who is not in it stays."""
    parsed = await asyncio.to_thread(people_csv.parse, await request.body())
    may_store = not dry_run and (skip_errors or not parsed.errors)

    async def work(connection: AsyncConnection) -> people_store.Changes:
        changes, steps = await people_store.plan(connection, parsed.people, parsed.columns)
        if not may_store or (changes.errors and not skip_errors):
            raise _Planned(changes)
        if changes.any:
            await people_store.carry_out(connection, steps, server.now_ms())
            await people_changed(connection, changes.texts, changes.periods)
            detail = {
                "created": changes.created,
                "changed": changes.changed,
                "cards_added": changes.cards_added,
                "cards_removed": changes.cards_removed,
            }
            await record(connection, server, "employee-import", "", detail)
        return changes

    try:
        return _result(parsed, await change(server, work), stored=True)
    except _Planned as planned:
        result = _result(parsed, planned.changes, stored=False)
    if dry_run:
        return result
    error = {"code": REFUSED, "message": f"{result.error_count} errors: nothing was stored"}
    return JSONResponse({"error": error, **result.model_dump()}, STATUS[REFUSED])


def _result(parsed: Parsed, changes: people_store.Changes, *, stored: bool) -> ImportResult:
    errors = sorted([*parsed.errors, *changes.errors], key=lambda error: error.line)
    return ImportResult(
        stored=stored,
        lines=parsed.lines,
        created=changes.created,
        changed=changes.changed,
        unchanged=changes.unchanged,
        cards_added=changes.cards_added,
        cards_removed=changes.cards_removed,
        error_count=len(errors),
        errors=[_mistake(error) for error in errors[: people_csv.MAX_ERRORS]],
    )


def _mistake(error: LineError) -> ImportMistake:
    return ImportMistake(
        line=error.line, column=error.column, code=error.code, message=error.message
    )
