"""Event hooks: tell others what happened, without ever slowing or failing what happened.

`emit` is called after the transaction has been committed. Callbacks run in the process; with
EVENT_WEBHOOK_URL set, each event is also posted there as JSON, in order, from a bounded queue.
A full queue drops the newest event and counts it; a failed post is logged and not repeated.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import httpx

from .log import get_logger
from .settings import Settings

EVENTS: Final = (
    "device_registered",
    "heartbeat",
    "command_acknowledged",
    "firmware_failed",
    "device_revoked",
    "punch_finding",
    "rollout_promoted",
    "rollout_done",
    "rollout_aborted",
    "rollout_penalty",
)

Callback = Callable[[str, Mapping[str, Any]], Awaitable[None] | None]

log = get_logger("ks_server.hooks")


class Hooks:
    """The callbacks of one app. `on` before the start, `emit` from the event loop."""

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._callbacks: dict[str, list[Callback]] = {name: [] for name in EVENTS}
        self._url = settings.event_webhook_url.get_secret_value()
        self._timeout_s = settings.event_webhook_timeout_s
        self._transport = transport
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(settings.event_webhook_queue_max)
        self._sender: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.dropped = 0

    def on(self, name: str, callback: Callback) -> None:
        """Call `callback(name, fields)` at each such event. Raises KeyError for other names."""
        self._callbacks[name].append(callback)

    def emit(self, name: str, **fields: Any) -> None:
        """Announce an event; `fields` are JSON values without secrets. Never blocks or raises
        for what a listener does; raises KeyError for a name outside EVENTS."""
        for callback in self._callbacks[name]:
            try:
                result = callback(name, fields)
            except Exception:
                log.exception("hook_failed", hook=name)
                continue
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(self._finish(name, result))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        if self._sender is None:
            return
        try:
            self._queue.put_nowait({"event": name, **fields})
        except asyncio.QueueFull:
            self.dropped += 1

    async def start(self) -> None:
        """Start the sender, when a webhook is configured."""
        if self._url:
            self._sender = asyncio.create_task(self._send_all(), name="event-webhook")

    async def stop(self) -> None:
        """Finish the callbacks and give the queue one timeout to empty."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout_s)
        if self._sender is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._queue.join()
        except TimeoutError:
            log.warning("events_lost_at_stop", count=self._queue.qsize())
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        self._sender = None

    @staticmethod
    async def _finish(name: str, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception:
            log.exception("hook_failed", hook=name)

    async def _send_all(self) -> None:
        async with httpx.AsyncClient(timeout=self._timeout_s, transport=self._transport) as client:
            while True:
                event = await self._queue.get()
                try:
                    answer = await client.post(self._url, json=event)
                    if answer.is_error:
                        log.warning(
                            "webhook_refused", hook=event["event"], status=answer.status_code
                        )
                except httpx.HTTPError as error:
                    log.warning("webhook_failed", hook=event["event"], error=type(error).__name__)
                finally:
                    self._queue.task_done()
