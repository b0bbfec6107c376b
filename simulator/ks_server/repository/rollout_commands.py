"""The commands that rollouts give by themselves: HALT_UPDATES and RESUME_UPDATES."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing, timetext

from ..crypto import NaclCrypto
from ..db.bulk import Bulk
from ..db.rollout_schema import rollout_devices
from ..db.schema import commands

HALT: Final = "HALT_UPDATES"
RESUME: Final = "RESUME_UPDATES"

_COLUMNS: Final = ("cmd1", "d1", "cmd2", "cmd4", "cmd5", "ts", "expires_ms", "created_ms", "state")
_insert: Final = Bulk(insert(commands).inline(), _COLUMNS)
_take_back: Final = Bulk(
    update(commands)
    .where(
        commands.c.d1 == bindparam("id"),
        commands.c.cmd2 == bindparam("name"),
        commands.c.state == bindparam("open"),
    )
    .values(state=bindparam("closed"))
)
_resumed: Final = (
    update(rollout_devices)
    .where(
        rollout_devices.c.d1 == bindparam("id"),
        rollout_devices.c.halted_ms.is_not(None),
        rollout_devices.c.resumed_ms.is_(None),
    )
    .values(resumed_ms=bindparam("now"))
)


@dataclass(frozen=True)
class Commands:
    """Gives them for `expiry_ms`."""

    crypto: NaclCrypto
    expiry_ms: int

    async def halt(self, connection: AsyncConnection, d1s: Sequence[str], now_ms: int) -> None:
        """Tell devices to forget what they were offered; a RESUME_UPDATES that none of them has
        seen is taken back."""
        if not d1s:
            return
        seen = {"name": RESUME, "open": "queued", "closed": "cancelled"}
        await _take_back.execute(connection, [{"id": d1, **seen} for d1 in d1s])
        # before a RESUME_UPDATES that comes later and has not been asked for either
        await self._give(connection, d1s, HALT, "HIGH", now_ms)

    async def resume(self, connection: AsyncConnection, d1: str, now_ms: int) -> None:
        """Let a device that was told to halt update again; nothing for any other."""
        done = await connection.execute(_resumed, {"id": d1, "now": now_ms})
        if done.rowcount:
            await self._give(connection, [d1], RESUME, "NORMAL", now_ms)

    async def _give(
        self, connection: AsyncConnection, d1s: Sequence[str], cmd2: str, cmd4: str, now_ms: int
    ) -> None:
        expires_ms = now_ms + self.expiry_ms
        rows = [
            {
                "cmd1": f"{signing.command_prefix(self.crypto, d1)}-{secrets.token_hex(8)}",
                "d1": d1,
                "cmd2": cmd2,
                "cmd4": cmd4,
                "cmd5": str(timetext.format_ms(expires_ms)),
                "ts": str(timetext.format_ms(now_ms)),
                "expires_ms": expires_ms,
                "created_ms": now_ms,
                "state": "queued",
            }
            for d1 in d1s
        ]
        await _insert.execute(connection, rows)
