"""The whole server as one ASGI application.

    /api/devices/...                        device API (messages, PROTOCOL section 5)
    /api/admin/...                          admin API (JSON, OpenAPI at /api/admin/openapi.json)
    /health /healthz /readyz /metrics       for what watches it

Under a foreign ASGI server the lifespan opens and closes everything; `run.serve` does it by
`Application.running`, so that what cannot start raises where it can be handled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .admin import create_admin
from .context import Context, open_context, system_now_ms
from .device_api import device_app
from .health import Health
from .hooks import Hooks
from .log import get_logger, redactor, secrets_of
from .metrics import Metrics
from .middleware import RequestMiddleware, area_of
from .settings import Settings

log = get_logger("ks_server.app")


class Application:
    """ASGI application; answers requests between the start and the stop of `running`."""

    def __init__(
        self,
        settings: Settings,
        *,
        hooks: Hooks | None = None,
        now_ms: Callable[[], int] = system_now_ms,
    ) -> None:
        redactor.add(secrets_of(settings))
        self._settings = settings
        self._hooks = hooks or Hooks(settings)
        self._now_ms = now_ms
        self._metrics = Metrics()
        self._areas: dict[str, ASGIApp] = {}
        self._entry = RequestMiddleware(self._dispatch, self._metrics, settings.proxy_networks)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Context]:
        """Open database, keys and writer, and answer until the block ends.

        Raises keys.ConfigurationError for what an operator must put right.
        """
        async with AsyncExitStack() as stack:
            await self._hooks.start()
            stack.push_async_callback(self._hooks.stop)
            context = await stack.enter_async_context(
                open_context(
                    self._settings, hooks=self._hooks, metrics=self._metrics, now_ms=self._now_ms
                )
            )
            _warn(self._settings)
            self._areas = {
                "devices": device_app(context),
                "admin": create_admin(context),
                "health": _health_app(context),
                "other": _not_found,
            }
            stack.callback(self._areas.clear)
            yield context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._entry(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._areas[area_of(scope["path"])](scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.running())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    settings: Settings,
    *,
    hooks: Hooks | None = None,
    now_ms: Callable[[], int] = system_now_ms,
) -> Application:
    """The server for these settings. `now_ms` is its clock, Unix milliseconds."""
    return Application(settings, hooks=hooks, now_ms=now_ms)


def _warn(settings: Settings) -> None:
    if settings.registration_mode == "open":
        log.warning("registration_open", advice="anybody may register: demonstrations only")
    if not settings.admin_token.get_secret_value():
        log.warning("admin_api_off", advice="set ADMIN_TOKEN to use the admin API")
    if not settings.release_public_keys:
        log.warning("no_release_keys", advice="set RELEASE_PUBLIC_KEYS to upload releases")


def _health_app(context: Context) -> ASGIApp:
    routes = Health(context).routes

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: Response
        if scope["method"] in ("GET", "HEAD"):
            response = await routes[scope["path"]](request)
        else:
            response = _error(405, "METHOD_NOT_ALLOWED", "only GET")
            response.headers["Allow"] = "GET, HEAD"
        await response(scope, receive, send)

    return answer


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await _error(404, "NOT_FOUND", "there is nothing here")(scope, receive, send)


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
