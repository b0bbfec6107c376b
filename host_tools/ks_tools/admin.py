"""The admin API for the commands: its refusals are a person's lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ks_simulator.admin import AdminApi, AdminError

from .console import ToolError


@asynccontextmanager
async def admin_api(server: str, token: str) -> AsyncIterator[AdminApi]:
    """The API for a block; an AdminError in it becomes a ToolError."""
    try:
        async with AdminApi.connect(server, token) as api:
            yield api
    except AdminError as error:
        raise ToolError(str(error)) from None
