"""What is forgotten in time: expired nonces, and the history behind its retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, or_
from sqlalchemy.ext.asyncio import AsyncConnection

from . import erasure, nonces
from .db.schema import firmware_acks, heartbeats, log_uploads, otrts, raw_messages
from .log import get_logger
from .settings import DAY_MS

if TYPE_CHECKING:
    from .context import Context

PERIOD_S: Final = 60.0

log = get_logger("ks_server.housekeeping")


class Housekeeping:
    """Cleans once a minute while `running`; `clean` may be called at any time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._erased_ms = 0  # what was received before has been erased in this run

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Clean in the background until the block ends."""
        task = asyncio.create_task(self._repeat(), name="housekeeping")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def clean(self) -> None:
        """One round, in one transaction. Raises Unavailable."""
        self._erased_ms = await self._context.writer.run(self._forget)

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
