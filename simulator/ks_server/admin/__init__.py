"""The admin API: JSON over /api/admin, for the people and programs that run the fleet.

Every request carries the bearer token of the setting ADMIN_TOKEN. Errors are
`{"error": {"code", "message"}}` with stable codes; lists come in bounded pages.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.types import ASGIApp

from ..context import Context
from .commands import router as commands
from .credentials import router as credentials
from .device_sites import router as device_sites
from .devices import router as devices
from .employee_import import router as employee_import
from .employees import router as employees
from .erasure import router as erasure
from .errors import install_handlers
from .exports import router as exports
from .findings import router as findings
from .guard import Guard, bearer
from .journals import router as journals
from .logs import router as logs
from .overview import router as overview
from .punches import router as punches
from .receipts import router as receipts
from .releases import router as releases
from .rollouts import router as rollouts
from .sites import router as sites
from .tokens import router as tokens
from .whitelist import router as whitelist

PREFIX = "/api/admin"

_PARTS = (
    *(overview, devices, device_sites, whitelist, tokens, commands, releases, logs),
    rollouts,
    *(sites, employee_import, employees, credentials, erasure),
    *(exports, punches, journals, findings, receipts),
)


def create_api(context: Context | None = None) -> FastAPI:
    """The FastAPI application without its guard; without a context, only good for its OpenAPI."""
    api = FastAPI(
        title="KS Terminal admin API",
        version="1",
        openapi_url=None,  # served below, behind the guard like everything else
        docs_url=None,
        redoc_url=None,
    )
    api.state.context = context
    install_handlers(api)
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(bearer)])
    for part in _PARTS:
        router.include_router(part)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return api.openapi()

    api.include_router(router)
    return api


def create_admin(context: Context) -> ASGIApp:
    """The guarded admin API of one server."""
    return Guard(create_api(context), context.settings)
