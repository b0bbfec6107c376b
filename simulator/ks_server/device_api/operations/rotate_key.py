"""POST rotate-key: a new key for the device, while a command to do so is open.

A device that did not get the answer asks again; the key is then the current one already, SIG1 is
by the key before it, and nothing changes.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing
from ks_agent.errors import BadSignature

from ...db.schema import devices
from ...repository import commands
from ...repository.devices import find_one
from ..call import Call, Outcome
from ..operation import Operation
from ..refusal import Refusal


class RotateKey(Operation):
    """SIG1 by the old key, SIG_NEW by the new one."""

    op = "rotate-key"

    def check(self, message: dict[str, Any]) -> None:
        signing.decode_public_key(message["D3"])

    def signers(self, call: Call) -> list[bytes]:
        device = call.known
        if device.previous_public_key is not None and _new_key(call) == device.public_key:
            return [device.public, signing.unb64(device.previous_public_key, 32)]
        return [device.public]

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        new_key = _new_key(call)
        try:
            call.verify(signing.unb64(new_key, 32), "SIG_NEW")
        except BadSignature:
            raise Refusal("SIG_INVALID", "SIG_NEW is not by the key in D3") from None
        # read again: two requests may have been verified with the same old key
        device = await find_one(connection, call.d1)
        if device is not None and device.public_key == new_key:
            return Outcome({"S1": "ok"})
        if device is None or device.public_key != call.known.public_key:
            raise Refusal("SIG_INVALID", "the key has changed meanwhile")
        if not await commands.has_open(connection, call.d1, "ROTATE_DEVICE_KEY", call.now_ms):
            raise Refusal("UNAUTHORIZED", "no command to change the key is open")
        await connection.execute(
            update(devices)
            .where(devices.c.d1 == call.d1)
            .values(public_key=new_key, previous_public_key=device.public_key)
        )
        return Outcome({"S1": "ok"})


def _new_key(call: Call) -> str:
    return str(signing.b64(signing.decode_public_key(call.message["D3"])))
