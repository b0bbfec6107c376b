"""Serving the app with uvicorn: as a process of its own, under `ks serve`, or inside a test.

await serve(settings, on_ready=lambda listening: print(listening.url))

async with running(settings) as listening:
    ...                                       # in-process, on listening.url
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
import uvloop
from pydantic import ValidationError

from .app import Application
from .bundles import discard_leftovers
from .context import Context, system_now_ms
from .hooks import Hooks
from .keys import ConfigurationError
from .lock import InUse, hold
from .log import configure, get_logger, start_sentry
from .settings import Settings
from .start import explained

BACKLOG = 2048
KEEP_ALIVE_S = 75

log = get_logger("ks_server.run")


@dataclass(frozen=True)
class Listening:
    """A server that answers: `url` is where, `context` what it works with."""

    url: str
    port: int
    context: Context


class ListenError(ConfigurationError):
    """The address cannot be listened on."""


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to us and tells when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def stop(self) -> None:
        """Finish what is in flight, then end; asked twice, end at once."""
        if self.should_exit:
            self.force_exit = True
            return
        log.info("stopping")
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A listening-ready TCP socket. Raises OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


async def serve(
    settings: Settings,
    on_ready: Callable[[Listening], None] | None = None,
    *,
    sockets: Sequence[socket.socket] | None = None,
    stop: asyncio.Event | None = None,
    handle_signals: bool = True,
    hooks: Hooks | None = None,
    now_ms: Callable[[], int] = system_now_ms,
) -> None:
    """Serve until SIGINT or SIGTERM (when `handle_signals`) or until `stop` is set.

    Port 0 takes a free port; `on_ready` is called once requests are answered. Requests in flight
    finish before this returns, within SHUTDOWN_GRACE_S. Raises keys.ConfigurationError for what
    cannot start. `sockets` are bound already and are closed at the end.
    """
    bound = list(sockets) if sockets else [_bind(settings)]
    try:
        port = bound[0].getsockname()[1]
        settings = settings.model_copy(update={"port": port})
        application = Application(settings, hooks=hooks, now_ms=now_ms)
        async with _alone(settings), application.running() as context:
            listening = Listening(settings.base_url, port, context)

            def started() -> None:
                log.info("listening", url=listening.url, host=settings.host, port=port)
                if on_ready is not None:
                    on_ready(listening)

            server = _Server(_configuration(application, settings), started)
            with contextlib.ExitStack() as stack:
                if handle_signals:
                    stack.enter_context(_signals(server.stop))
                if stop is not None:
                    watcher = asyncio.create_task(_watch(stop, server.stop))
                    stack.callback(watcher.cancel)
                await server.serve(bound)
        log.info("stopped")
    finally:
        for one in bound:
            one.close()


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    hooks: Hooks | None = None,
    now_ms: Callable[[], int] = system_now_ms,
) -> AsyncIterator[Listening]:
    """A server in this event loop, listening when the block begins and stopped after it."""
    ready: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        serve(
            settings,
            ready.set_result,
            stop=stop,
            handle_signals=False,
            hooks=hooks,
            now_ms=now_ms,
        )
    )
    try:
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await task  # raises why it could not start
        yield ready.result()
    finally:
        ready.cancel()
        stop.set()
        await task


def main() -> None:
    """Serve as the environment and `.env` say: `python -m ks_server`."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(_explain(error))
    configure(settings)
    try:
        start_sentry(settings)
        uvloop.run(serve(settings))
    except ConfigurationError as error:
        sys.exit(f"ks_server: {error}")


def _explain(error: ValidationError) -> str:
    lines = ["ks_server: the configuration is wrong"]
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        name = ".".join(str(part) for part in item["loc"]).upper() or "configuration"
        lines.append(f"  {name}: {item['msg']}")
    return "\n".join(lines)


def _bind(settings: Settings) -> socket.socket:
    try:
        return bind(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from None


@asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[None]:
    """Two servers in one data folder would each believe to be the only writer and rate limiter."""
    with contextlib.ExitStack() as stack:
        try:
            with explained(settings):
                stack.enter_context(hold(settings.data / "server.lock"))
                discard_leftovers(settings)
        except InUse:
            raise ConfigurationError(f"another server is using {settings.data}") from None
        yield


def _configuration(application: Application, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        application,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",  # serve() starts and stops the application itself
        log_config=None,
        access_log=False,
        proxy_headers=False,  # middleware.Sources knows TRUSTED_PROXIES
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except OSError as error:  # an error of ssl is one, too
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"TLS_CERT and TLS_KEY cannot be used: {reason}") from None
    return config


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _watch(stop: asyncio.Event, action: Callable[[], None]) -> None:
    await stop.wait()
    action()
