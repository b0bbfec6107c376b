"""Single use of requests: nonces, and the fence that keeps them useful (PROTOCOL section 3).

A request is accepted while its TS is within 300 s of the server's clock, and its nonce is kept for
as long. Three things could make the server forget a nonce too early, and the fence closes each:

- a clock that went back: nonces expire by the highest server time ever stored (`mark_ms`), and a
  TS older than 300 s before that mark is refused whatever the clock says;
- a stop: what the server's clock passed over while it was down was never seen, so a TS from that
  gap is refused;
- a restored backup: the database then misses nonces of any TS. A small file beside it holds the
  run and mark last committed; a database that is behind the file, or of another run, is not the
  one that was stopped, and every TS before this start is refused.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent.tokens import TIMESTAMP_WINDOW_MS

from .db.bulk import Among, Bulk
from .db.schema import fence as fence_table
from .db.schema import nonces
from .log import get_logger

READY_BEHIND_MS: Final = 60_000
# writing the mark with every transaction would tell no more: nonces expire by what is stored
_MARK_STEP_MS: Final = 1_000
# a legacy device writes whole seconds: its TS may lie that much before the moment it was sent
_WHOLE_SECOND_MS: Final = 1_000

_ROW: Final = 1
_insert_nonces: Final = Bulk(insert(nonces))
_used: Final = Among(
    select(nonces.c.use).where(nonces.c.use.in_(bindparam("uses", expanding=True))), "uses"
)
_mark: Final = (
    update(fence_table)
    .where(fence_table.c.id == _ROW, fence_table.c.mark_ms < bindparam("now"))
    .values(mark_ms=bindparam("now"), run=bindparam("this_run"))
)

log = get_logger("ks_server.nonces")


class NonceReused(Exception):
    """The device has used this nonce before."""


@dataclass
class Fence:
    """The highest server time known, and which TS may not be believed any more."""

    now_ms: Callable[[], int]
    file: Path
    run: str
    stored_ms: int  # in the database
    gap_from_ms: int  # a TS between these two is from a time this database may not remember
    gap_to_ms: int

    @classmethod
    async def open(
        cls, connection: AsyncConnection, folder: Path, now_ms: Callable[[], int]
    ) -> Fence:
        """Read the mark and decide what may have been forgotten; `folder` outlives restarts."""
        file = folder / "fence"
        run = secrets.token_hex(16)
        start_ms = now_ms()
        row = (await connection.execute(select(fence_table))).first()
        if row is None:
            await connection.execute(insert(fence_table).values(id=_ROW, mark_ms=start_ms, run=run))
            # with a file, this is not the first database here
            stored_ms, gap_from_ms = start_ms, 0 if file.exists() else start_ms
        else:
            stored_ms = max(row.mark_ms, start_ms)
            gap_from_ms = row.mark_ms if _is_continued(file, row.run, row.mark_ms) else 0
            await connection.execute(
                update(fence_table)
                .where(fence_table.c.id == _ROW)
                .values(mark_ms=stored_ms, run=run)
            )
        return cls(now_ms, file, run, stored_ms, gap_from_ms, stored_ms - _WHOLE_SECOND_MS)

    def opened(self) -> None:
        """After the commit of `open`."""
        _replace(self.file, f"{self.run} {self.stored_ms}\n")

    def behind_ms(self) -> int:
        """How far the clock is behind the mark; above READY_BEHIND_MS the server is not ready."""
        return max(0, self.stored_ms - self.now_ms())

    def believes(self, ts_ms: int) -> bool:
        """Whether a request of that TS is fresh, and its nonce could not have been forgotten."""
        now_ms = self.now_ms()
        oldest_ms = max(now_ms, self.stored_ms) - TIMESTAMP_WINDOW_MS
        if not oldest_ms <= ts_ms <= now_ms + TIMESTAMP_WINDOW_MS:
            return False
        return not self.gap_from_ms < ts_ms < self.gap_to_ms

    async def write(self, connection: AsyncConnection) -> int:
        """Store the clock as the mark, in the writer's transaction; returns what is stored."""
        now_ms = self.now_ms()
        if now_ms < self.stored_ms + _MARK_STEP_MS:
            return self.stored_ms
        await connection.execute(_mark, {"now": now_ms, "this_run": self.run})
        return now_ms

    def written(self, marked_ms: int) -> None:
        """After the commit of `write`: a file that stays behind undoes nothing of that."""
        if marked_ms <= self.stored_ms:
            return
        self.stored_ms = marked_ms
        try:
            _replace(self.file, f"{self.run} {marked_ms}\n")
        except OSError as error:
            log.warning("fence_file_not_written", error=error.strerror)


def use_of(d1: str, nonce: str) -> str:
    """What must be unique; neither text may hold a slash (schema.check_value)."""
    return d1 + "/" + nonce


def row(d1: str, nonce: str, ts_ms: int) -> dict[str, Any]:
    """One use, to be kept until the TS is too old anyway."""
    return {"use": use_of(d1, nonce), "expires_ms": ts_ms + TIMESTAMP_WINDOW_MS}


async def used(connection: AsyncConnection, uses: Sequence[str]) -> set[str]:
    """Those of the uses that are stored."""
    return {row[0] for row in await _used.fetch(connection, uses)}


async def store(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Store uses, made with `row`. Raises NonceReused, and the savepoint is lost."""
    try:
        await _insert_nonces.execute(connection, rows)
    except IntegrityError:
        raise NonceReused from None


async def forget_expired(connection: AsyncConnection, mark_ms: int) -> int:
    """Delete the nonces that no TS can need any more; returns how many."""
    result = await connection.execute(delete(nonces).where(nonces.c.expires_ms < mark_ms))
    return result.rowcount


def _is_continued(file: Path, run: str, mark_ms: int) -> bool:
    try:
        file_run, _, file_mark = file.read_text("ascii").strip().partition(" ")
        return file_run == run and mark_ms >= int(file_mark)
    except (OSError, ValueError):
        return False


def _replace(file: Path, text: str) -> None:
    # no flush to disk: after a power cut an old or empty file only makes the next start stricter
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(text, "ascii")
    os.replace(temporary, file)
