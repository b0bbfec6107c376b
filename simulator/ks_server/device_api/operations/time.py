"""GET time: the server's time for a device without a clock; the answer holds nothing else.

A device that is not registered yet sends its key as D3: TLS may need the time before it can
register. Of such a request nothing is stored.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing

from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal


class Time(Operation):
    """TS is not checked; every answer carries the time anyway."""

    op = "time"
    checks_time = False
    needs_device = False

    def check(self, message: dict[str, Any]) -> None:
        if "D3" in message:
            signing.decode_public_key(message["D3"])

    def signers(self, call: Call) -> list[bytes]:
        own = call.get("D3")
        if own is not None:
            return [bytes(signing.decode_public_key(own))]
        if call.device is None:
            raise Refusal("DEVICE_NOT_FOUND", "no such device")
        return [call.device.public]

    def limit(self, call: Call) -> tuple[str, ...]:
        # counted by key as well: a stranger must not use up the tries of the right device
        return self.op, call.d1, call.get("D3") or ""

    async def store(self, call: Call) -> Outcome:
        if self._is_known(call):
            return await super().store(call)
        return Outcome({})

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        return Outcome({})

    def _is_known(self, call: Call) -> bool:
        return call.device is not None and call.device.public in self.signers(call)
