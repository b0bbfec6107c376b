"""What all operations share: one transaction for the nonce, the work and the record of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, update
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Scope

from .. import audit, nonces
from ..db.bulk import Bulk
from ..db.schema import devices
from .call import Call, Outcome
from .refusal import Refusal
from .wire import Reply, reply

if TYPE_CHECKING:
    from ..context import Context

_seen: Final = Bulk(
    update(devices)
    .where(devices.c.d1 == bindparam("id"))
    .values(
        last_seen_ms=bindparam("now"),
        kid=bindparam("its_kid"),
        fw2=func.coalesce(bindparam("its_fw2"), devices.c.fw2),
    )
)


class Operation:
    """One operation of the device API; subclasses override what differs.

    `open_to_revoked`: a revoked device may still call it. `checks_time`: TS must be fresh.
    `asks_late`: `store` itself asks in its transaction whether the device is still what it was,
    the nonce unused and the limit kept, so that no question has to come before it.
    """

    op = ""
    open_to_revoked = False
    checks_time = True
    needs_device = True
    asks_late = False

    def check(self, message: dict[str, Any]) -> None:
        """What the protocol's tables do not say about the request; before SIG1.

        Raises ks_agent.errors.Malformed.
        """

    async def without_message(
        self, _context: Context, _scope: Scope, _headers: dict[bytes, bytes], _syntax: str
    ) -> Reply | None:
        """The answer to a request that is no message at all; None where there is no such."""
        return None

    def signers(self, call: Call) -> list[bytes]:
        """The public keys of which one must have made SIG1."""
        return [call.known.public]

    def limit(self, call: Call) -> tuple[str, ...]:
        """Name of the rate limit, and what it counts by."""
        return self.op, call.d1

    async def may_remember(self, call: Call, connection: AsyncConnection) -> bool:
        """Whether a refused request's nonce may be stored: not for somebody unknown."""
        return call.device is not None

    async def prepare(self, call: Call) -> None:
        """What has to be looked up outside the transaction; left in `call`."""

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        """The work, in the transaction that has stored the nonce. Raises Refusal."""
        raise NotImplementedError

    async def store(self, call: Call) -> Outcome:
        """Nonce and work in one transaction, durable on return.

        Raises nonces.NonceReused, writer.Unavailable, Refusal; DeviceChanged, if it `asks_late`.
        """

        async def unit(connection: AsyncConnection) -> Outcome | Refusal:
            # a TS that is not checked must not make its nonce forgotten at once
            ts_ms = call.ts_ms if self.checks_time else max(call.ts_ms, call.now_ms)
            await nonces.store(connection, [nonces.row(call.d1, call.nonce, ts_ms)])
            outcome: Outcome | Refusal
            err1 = None
            try:
                outcome = await self.perform(call, connection)
            except Refusal as refusal:
                if not refusal.recorded:
                    raise
                outcome, err1 = refusal, refusal.code
            if call.device is not None:
                await _seen.execute(connection, [seen_values(call, self.installed_version(call))])
            record = audit.row(call.op, call.message, call.text, call.now_ms, err1)
            await audit.insert_rows.execute(connection, [record])
            return outcome

        await self.prepare(call)
        outcome = await call.context.writer.request(unit)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def installed_version(self, _call: Call) -> str | None:
        """The version that the device says it runs, where this operation tells."""
        return None

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        """The HTTP answer."""
        return reply(200, call.bind(outcome.answer), syntax)


def seen_values(call: Call, fw2: str | None) -> dict[str, Any]:
    """Parameters of the statement that notes a sign of life."""
    return {"id": call.d1, "now": call.now_ms, "its_kid": call.get("KID"), "its_fw2": fw2}
