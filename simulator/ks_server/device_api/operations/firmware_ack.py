"""POST firmware/ack: how an update ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...db.base import storable
from ...db.schema import firmware_acks, releases
from ...repository import rollout_devices, rollouts
from ...rollout_engine import IMAGE, POSTPONED
from ...rollout_watch import moment_of
from ..call import Call, Outcome
from ..operation import Operation
from ..wire import Reply
from .command_ack import check_result


class FirmwareAck(Operation):
    """Each is kept; a failed update is announced, and what becomes of its rollout."""

    op = "firmware/ack"

    def check(self, message: dict[str, Any]) -> None:
        check_result(message)

    def installed_version(self, call: Call) -> str | None:
        return call.values.get("fw2")

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        texts = {name: call.get(name) for name in ("FW1", "FW2", "ACK1", "ACK2", "ACK3", "LOG1")}
        values = {name.lower(): storable(text) for name, text in texts.items() if text is not None}
        await connection.execute(
            insert(firmware_acks).values(d1=call.d1, received_ms=call.now_ms, **values)
        )
        query = select(releases.c.kind).where(releases.c.fw1 == values["fw1"])
        if values["ack1"] == "OK" and (await connection.execute(query)).scalar() != IMAGE:
            call.values["fw2"] = values["fw2"]  # an image's own version is none of the application
        moment = moment_of(call.context)
        events = await rollout_devices.acknowledge(connection, call.d1, values, moment)
        outcome = Outcome({"S1": "ok"}, events)
        if values["ack1"] == "ERROR" and not values.get("ack2", "").startswith(POSTPONED):
            event = {"d1": call.d1, "at_ms": call.now_ms, **values}
            outcome.events.append(("firmware_failed", event))
        return outcome

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        if any(name in rollouts.HOOKS for name, _ in outcome.events):
            call.context.catalogue.forget()
        return await super().finish(call, outcome, syntax)
