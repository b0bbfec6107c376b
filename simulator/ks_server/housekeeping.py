"""What happens by itself: expired nonces and the history behind its retention are forgotten, and
rollouts go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from . import erasure, nonces, rollout_watch
from .db.schema import firmware_acks, heartbeats, log_uploads, otrts, raw_messages
from .log import get_logger
from .settings import DAY_MS

if TYPE_CHECKING:
    from .context import Context

PERIOD_S: Final = 60.0
ROLLOUT_PERIOD_S: Final = 5.0
# looking at the rollouts of a large fleet must not take more than this part of the time
_ROLLOUT_SHARE: Final = 0.02

log = get_logger("ks_server.housekeeping")


class Housekeeping:
    """Cleans once a minute while `running`, and looks at the rollouts more often; `clean` does all
    of it at any time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._erased_ms = 0  # what was received before has been erased in this run

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Clean in the background until the block ends."""
        tasks = [
            asyncio.create_task(self._repeat(), name="housekeeping"),
            asyncio.create_task(self._watch(), name="rollouts"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def clean(self) -> None:
        """One round: what is forgotten is so in one transaction. Raises Unavailable."""
        self._erased_ms = await self._context.writer.run(self._forget)
        await rollout_watch.count_again(self._context)
        await rollout_watch.look(self._context)

    async def _watch(self) -> None:
        took_s = 0.0
        while True:
            await asyncio.sleep(max(ROLLOUT_PERIOD_S, took_s / _ROLLOUT_SHARE))
            started_s = time.monotonic()
            try:
                await rollout_watch.look(self._context)
            except Exception as error:  # next time it may work: nothing else ever goes on
                log.warning("rollouts_not_seen", error=type(error).__name__)
            took_s = time.monotonic() - started_s

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.clean()
            except Exception as error:  # next time it may work: nothing else ever cleans
                log.warning("cleaning_failed", error=type(error).__name__)

    async def _forget(self, connection: AsyncConnection) -> int:
        """Returns before when all punches have been erased."""
        settings = self._context.settings
        # only what is already durable as "the highest time ever" may expire a nonce
        await nonces.forget_expired(connection, self._context.fence.stored_ms)
        now_ms = self._context.now_ms()
        audit_ms = now_ms - settings.audit_retention_days * DAY_MS
        log_ms = now_ms - settings.log_retention_days * DAY_MS
        for history in (raw_messages, heartbeats, firmware_acks):
            await connection.execute(delete(history).where(history.c.received_ms < audit_ms))
        await connection.execute(delete(log_uploads).where(log_uploads.c.received_ms < log_ms))
        await connection.execute(
            delete(otrts).where(or_(otrts.c.expires_ms < audit_ms, otrts.c.used_ms < audit_ms))
        )
        if not settings.punch_retention_days:
            return 0
        before_ms = now_ms - settings.punch_retention_days * DAY_MS
        return await erasure.erase_older(connection, self._erased_ms, before_ms, now_ms)
