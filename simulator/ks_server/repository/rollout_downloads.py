"""Who may fetch which bundle: what the operation firmware/download asks."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..db.rollout_schema import rollout_devices, rollouts
from . import rollout_devices as stored
from .releases import Release, find_published, find_signed

# a bundle is fetched in many ranges; not each of them is worth a transaction
_TOUCHED_EVERY_MS: Final = 60_000

_of_release: Final = select(rollouts.c.id).where(rollouts.c.fw1 == bindparam("release")).limit(1)
# while it is paused, a transfer under way may end
_of_device: Final = (
    select(rollouts.c.id, rollout_devices.c.state, rollout_devices.c.touched_ms)
    .join(rollout_devices, rollout_devices.c.rollout_id == rollouts.c.id)
    .where(
        rollouts.c.fw1 == bindparam("release"),
        rollout_devices.c.d1 == bindparam("id"),
        rollouts.c.state.in_(("running", "paused", "done")),
        rollout_devices.c.state != "penalty",
    )
    .order_by(rollout_devices.c.touched_ms.desc(), rollout_devices.c.rollout_id.desc())
    .limit(1)
)


class Download(NamedTuple):
    """A bundle that the device may fetch. `rollout` is the id of the rollout that has to be told
    with `begins` before the first byte; None when there is nothing to tell."""

    release: Release
    rollout: int | None


async def find(connection: AsyncConnection, d1: str, fw1: str, now_ms: int) -> Download | None:
    """The bundle, by reading alone; None when the device may not have it, any more or yet.

    A release without rollouts is for everybody once it is published; one with rollouts is for
    those devices that one of them has offered it to and that is not over.
    """
    if (await connection.execute(_of_release, {"release": fw1})).first() is None:
        release = await find_published(connection, fw1, now_ms)
        return None if release is None else Download(release, None)
    row = (await connection.execute(_of_device, {"release": fw1, "id": d1})).first()
    release = None if row is None else await find_signed(connection, fw1, now_ms)
    if row is None or release is None:
        return None
    is_known = row.state == "downloading" and row.touched_ms > now_ms - _TOUCHED_EVERY_MS
    return Download(release, None if is_known else row.id)


async def begins(connection: AsyncConnection, rollout: int, d1: str, now_ms: int) -> None:
    """In a writing transaction: the device is about to get its first byte, or some more."""
    await stored.begin_download(connection, rollout, d1, now_ms)
