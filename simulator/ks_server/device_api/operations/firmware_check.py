"""POST firmware/check: is there a newer release for this device?"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import bundle, signing

from ...firmware_files import make_token
from ..call import Call, Outcome
from ..operation import Operation


class FirmwareCheck(Operation):
    """FW3 holds a token of its own, so that a client which cannot sign a GET can download."""

    op = "firmware/check"

    def check(self, message: dict[str, Any]) -> None:
        bundle.version(message["FW2"])

    def installed_version(self, call: Call) -> str | None:
        return call.get("FW2")

    async def prepare(self, call: Call) -> None:
        call.release = await call.context.catalogue.newest(
            call.known.d2, call.get("FW2"), call.now_ms
        )

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        context = call.context
        device = call.known
        release = call.release
        if release is None:
            rto_s = context.settings.firmware_check_rto_s
            return Outcome({"S1": "no_update", "RTO": str(rto_s)})
        key, _links = call.answering_key()
        expires_ms = call.now_ms + context.settings.download_url_valid_s * 1000
        token = make_token(context.download_secret, call.d1, release.fw1, expires_ms)
        answer: dict[str, Any] = release.signed_fields()
        answer["S1"] = "update_available"
        answer["O1"] = device.o1
        answer["FW3"] = f"{context.settings.base_url}/api/devices/firmware/download?token={token}"
        answer["FW_SIG"] = signing.sign_release(context.crypto, key.seed, release.signed_fields())
        return Outcome(answer)
