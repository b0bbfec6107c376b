"""Rollouts: offer a release to a growing share of the fleet.

draft -> running <-> paused        start, pause, resume; promote opens the next phase
running -> done                    by itself, when the last phase has ended
-> aborted                         by hand, or by itself at too many failures
-> revoked                         with the release: no more downloads, who waits is halted
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..context import Context
from ..db.rollout_schema import rollouts
from ..db.schema import releases
from ..repository import rollout_counts
from ..repository import rollouts as stored
from ..repository.releases import SIGNED
from ..rollout_engine import TRANSITIONS, Rollout, check_phases
from ..rollout_watch import moment_of
from .common import (
    MAX_INTEGER,
    Page,
    Paging,
    Server,
    fetch_page,
    found,
    read_cursor,
    record,
    write_cursor,
)
from .errors import ApiError
from .rollout_views import (
    DeviceState,
    RolloutDeviceView,
    RolloutForm,
    RolloutView,
    State,
    device_view,
    read,
    view_of,
)

router = APIRouter(tags=["rollouts"])

SALTS_TRIED: Final = 50

Step = Literal["start", "promote", "pause", "resume", "abort", "revoke"]
RolloutId = Annotated[int, Path(alias="rollout_id", ge=1, le=MAX_INTEGER)]


@router.post("/rollouts", status_code=201)
async def create_rollout(server: Server, form: RolloutForm) -> RolloutView:
    """Draft a rollout. From now on the release is offered by its rollouts only."""
    lists = form.filter.model_dump(exclude_none=True)
    now_ms = server.now_ms()

    async def work(connection: AsyncConnection) -> RolloutView:
        query = select(releases).where(releases.c.fw1 == form.fw1)
        release = found((await connection.execute(query)).first(), "release")
        _check_release(release.state, release.expires_ms, now_ms, "draft", *SIGNED)
        values = form.model_dump(exclude={"filter"}) | {
            "phases": ",".join(f"{share:g}" for share in form.phases),
            "filter": json.dumps(lists),
            "phase": 0,
            "salt": secrets.token_hex(16),
            "state": "draft",
            "created_ms": now_ms,
        }
        inserted = insert(rollouts).values(**values).returning(rollouts.c.id)
        number = (await connection.execute(inserted)).scalar_one()
        rollout = await stored.find(connection, number)
        assert rollout is not None
        targeted = await rollout_counts.targets(connection, rollout)
        wrong = check_phases(form.phases, len(targeted))
        if wrong is not None:
            raise ApiError("INVALID", f"phases: {wrong}")
        await stored.change(connection, rollout, {"salt": _salt(rollout, targeted)})
        await record(connection, server, "rollout", str(rollout.id), {"fw1": form.fw1})
        return await view_of(server, connection, rollout.id)

    return await server.writer.run(work)


def _salt(rollout: Rollout, targeted: list[str]) -> str:
    """A salt that puts somebody into the first phase, if a few tries find one."""
    for _ in range(SALTS_TRIED):
        tried = rollout.salted(secrets.token_hex(16))
        if any(tried.is_open_to(d1) for d1 in targeted):
            break
    return tried.salt


def _check_release(state: str, expires_ms: int, now_ms: int, *states: str) -> None:
    if state not in states:
        raise ApiError("WRONG_STATE", f"the release is {state}, not {' or '.join(states)}")
    if expires_ms <= now_ms:
        raise ApiError("EXPIRED", "the release has expired")


@router.get("/rollouts")
async def list_rollouts(
    server: Server, paging: Paging, state: Annotated[State | None, Query()] = None
) -> Page[RolloutView]:
    """Rollouts, the newest first."""
    query = select(rollouts.c.id)
    if state is not None:
        query = query.where(rollouts.c.state == state)
    order = (rollouts.c.id,)
    page = await fetch_page(
        server, query, order, paging, lambda row: int(row.id), newest_first=True
    )
    async with server.engine.connect() as connection:
        views = [await view_of(server, connection, rollout_id) for rollout_id in page.items]
    return Page(items=views, next=page.next)


@router.get("/rollouts/{rollout_id}")
async def show_rollout(server: Server, rollout_id: RolloutId) -> RolloutView:
    """One rollout, with its devices counted now."""
    async with server.engine.connect() as connection:
        return await view_of(server, connection, rollout_id)


@router.get("/rollouts/{rollout_id}/devices")
async def list_rollout_devices(
    server: Server,
    rollout_id: RolloutId,
    paging: Paging,
    state: Annotated[DeviceState | None, Query()] = None,
) -> Page[RolloutDeviceView]:
    """The devices that a rollout is for, by id; those in one state when asked."""
    after = "" if paging.after is None else read_cursor(paging.after, (str,))[0]
    items: list[RolloutDeviceView] = []
    async with server.engine.connect() as connection:
        row = await read(connection, rollout_id)
        rollout = stored.rollout_of(row)
        async for one in rollout_counts.devices_of(connection, rollout, moment_of(server), after):
            if state in (None, one.state):
                items.append(device_view(one))
            if len(items) > paging.limit:
                break
    following = None
    if len(items) > paging.limit:
        items.pop()
        following = write_cursor([items[-1].d1])
    return Page(items=items, next=following)


@router.post("/rollouts/{rollout_id}/{step}")
async def step_rollout(server: Server, rollout_id: RolloutId, step: Step) -> RolloutView:
    """Start, promote, pause, resume, abort or revoke a rollout; the last revokes its release."""
    now_ms = server.now_ms()

    async def work(connection: AsyncConnection) -> RolloutView:
        row = await read(connection, rollout_id)
        rollout = stored.rollout_of(row)
        states, state = TRANSITIONS[step]
        if rollout.state not in states:
            raise ApiError("WRONG_STATE", f"the rollout is {rollout.state}")
        if state == "running":
            _check_release(row.release_state, row.expires_ms, now_ms, *SIGNED)
        await _take(server, connection, rollout, step, now_ms)
        await record(connection, server, f"rollout-{step}", str(rollout_id), {"fw1": rollout.fw1})
        return await view_of(server, connection, rollout_id)

    return await server.writer.run(work)


async def _take(
    server: Context, connection: AsyncConnection, rollout: Rollout, step: Step, now_ms: int
) -> None:
    if step == "promote":
        if rollout.is_last_phase:
            raise ApiError("WRONG_STATE", "the last phase is open already")
        await stored.open_next_phase(connection, rollout, now_ms)
        return
    if step == "revoke":
        await stored.revoke_release(connection, server.update_commands, rollout.fw1, now_ms)
        return
    values: dict[str, Any] = {"state": TRANSITIONS[step][1]}
    if step in ("start", "resume"):
        values["phase_started_ms"] = now_ms  # a pause is no time in which it was watched
    if step == "start":
        values["started_ms"] = now_ms
    if step == "abort":
        values |= {"ended_ms": now_ms, "reason": "by hand"}
    await stored.change(connection, rollout, values)
