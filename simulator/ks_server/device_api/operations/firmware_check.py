"""POST firmware/check: is there a newer release for this device?"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import bundle, signing

from ...db.base import storable
from ...firmware_files import make_token
from ...repository import rollout_devices
from ...repository.releases import Offer, is_for_everybody
from ..call import Call, Outcome
from ..operation import Operation
from ..wire import Reply


class FirmwareCheck(Operation):
    """FW3 holds a token of its own, so that a client which cannot sign a GET can download."""

    op = "firmware/check"

    def check(self, message: dict[str, Any]) -> None:
        bundle.version(message["FW2"])

    def installed_version(self, call: Call) -> str | None:
        return call.get("FW2")

    async def prepare(self, call: Call) -> None:
        await call.find_offer(call.get("FW2"))

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        context = call.context
        device = call.known
        offer = call.offer
        if offer is None or not await self._may_have(call, connection, offer):
            rto_s = context.settings.firmware_check_rto_s
            return Outcome({"S1": "no_update", "RTO": str(rto_s)})
        release = offer.release
        key, _links = call.answering_key()
        expires_ms = call.now_ms + context.settings.download_url_valid_s * 1000
        token = make_token(context.download_secret, call.d1, release.fw1, expires_ms)
        answer: dict[str, Any] = release.signed_fields()
        answer["S1"] = "update_available"
        answer["O1"] = device.o1
        answer["FW3"] = f"{context.settings.base_url}/api/devices/firmware/download?token={token}"
        answer["FW_SIG"] = signing.sign_release(context.crypto, key.seed, release.signed_fields())
        return Outcome(answer)

    async def _may_have(self, call: Call, connection: AsyncConnection, offer: Offer) -> bool:
        """The transaction's last word, which is noted: what is in memory may be old."""
        may_have = await self._is_still_offered(call, connection, offer)
        if may_have and offer.is_halted:
            await call.context.update_commands.resume(connection, call.d1, call.now_ms)
        return may_have

    async def _is_still_offered(
        self, call: Call, connection: AsyncConnection, offer: Offer
    ) -> bool:
        if offer.rollout is None:
            return await is_for_everybody(connection, offer.release.fw1)
        fw2 = storable(call.message["FW2"])
        return await rollout_devices.offer(connection, offer.rollout.id, call.d1, fw2, call.now_ms)

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        if call.offer is not None and call.offer.is_halted:
            call.context.catalogue.forget()
        return await super().finish(call, outcome, syntax)
