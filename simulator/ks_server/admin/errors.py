"""Errors of the admin API: `{"error": {"code", "message"}}`, with `fields` for invalid input.

What a caller sent is not repeated: it may hold secrets.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..writer import Unavailable

STATUS: Final = {
    "INVALID": 422,
    "IMPORT_REFUSED": 422,
    "BAD_CURSOR": 400,
    "UNAUTHORIZED": 401,
    "ADMIN_DISABLED": 403,
    "SIG_INVALID": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "ALREADY_EXISTS": 409,
    "WRONG_STATE": 409,
    "SAME_ADMIN": 409,
    "RANGE_INCOMPLETE": 409,
    "CHAIN_BROKEN": 409,
    "EXPIRED": 409,
    "TOO_LARGE": 413,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""Every code of the admin API with its HTTP status."""

_BY_STATUS: Final = {400: "INVALID", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


class ApiError(HTTPException):
    """An answer with one of the codes above."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(STATUS[code], message)
        self.code = code


def answer(
    code: str,
    message: str,
    fields: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The response for a code."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields is not None:
        error["fields"] = fields
    return JSONResponse({"error": error}, STATUS[code], headers)


def install_handlers(api: FastAPI) -> None:
    """Give every failure of the application this form."""

    @api.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, ApiError):
            return answer(error.code, error.detail)
        code = _BY_STATUS.get(error.status_code, "INVALID")
        return answer(code, error.detail, headers=dict(error.headers or {}))

    @api.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [
            {
                "field": ".".join(str(part) for part in item["loc"] if part != "body"),
                "reason": item["msg"],
            }
            for item in error.errors()
        ]
        return answer("INVALID", "the request does not have the declared form", fields)

    @api.exception_handler(Unavailable)
    async def unavailable(_request: Request, error: Unavailable) -> JSONResponse:
        return answer("UNAVAILABLE", str(error), headers={"Retry-After": "5"})

    @api.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return answer("INTERNAL", "something went wrong; the log of the server says what")
