"""GET time: the server's time for a device without a clock; the answer holds nothing else."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from ..call import Call, Outcome
from ..operation import Operation


class Time(Operation):
    """TS is not checked; every answer carries the time anyway."""

    op = "time"
    checks_time = False

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        return Outcome({})
