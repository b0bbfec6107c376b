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
from .devices import router as devices
from .errors import install_handlers
from .guard import Guard, bearer
from .logs import router as logs
from .overview import router as overview
from .releases import router as releases
from .tokens import router as tokens
from .whitelist import router as whitelist

PREFIX = "/api/admin"


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
    for part in (overview, devices, whitelist, tokens, commands, releases, logs):
        router.include_router(part)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return api.openapi()

    api.include_router(router)
    return api


def create_admin(context: Context) -> ASGIApp:
    """The guarded admin API of one server."""
    return Guard(create_api(context), context.settings)
