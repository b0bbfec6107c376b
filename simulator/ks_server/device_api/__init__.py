"""The device API: PROTOCOL sections 3 and 5 over HTTP."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from ..context import Context
from .operations import OPERATIONS
from .pipeline import PREFIX, DeviceApi


def device_app(context: Context) -> ASGIApp:
    """ASGI application for /api/devices and everything under it; answers with messages only."""
    return DeviceApi(context, {kind.op: kind() for kind in OPERATIONS})


def device_routes(context: Context) -> list[BaseRoute]:
    """The same for a Starlette application."""
    app = device_app(context)
    return [Route(PREFIX, endpoint=app), Mount(PREFIX, app=app)]
