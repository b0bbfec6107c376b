"""Rollouts as the admin API takes and shows them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..context import Context
from ..db.base import storable
from ..db.rollout_schema import rollouts
from ..db.schema import releases
from ..repository import rollout_counts
from ..repository import rollouts as stored
from ..rollout_watch import moment_of
from .common import DeviceId, Form, found, time_text

State = Literal["draft", "running", "paused", "aborted", "done", "revoked"]
DeviceState = Literal[
    "waiting", "offered", "downloading", "postponed", "updated", "rolled_back", "failed",
    "penalty", "halted", "offline",
]  # fmt: skip
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]
Names = Annotated[list[Name], Field(min_length=1, max_length=200)]
DeviceIds = Annotated[list[DeviceId], Field(min_length=1, max_length=10_000)]


class FilterForm(Form):
    """Whom a rollout is for, besides the release's types; what is absent or null admits any."""

    types: Names | None = None
    models: Names | None = None
    sites: Names | None = None
    versions: Names | None = None
    devices: DeviceIds | None = None


class RolloutForm(Form):
    """A rollout of a release.

    `phases` are rising shares in percent, of which the first is 5 at most unless there are fewer
    than 20 devices. A phase that has soaked for `soak_s` is followed by the next, if `automatic`.
    The rollout is aborted when `abort_share` percent of `abort_min` attempts or more failed, or
    `abort_count` devices. A device gets no more offers after `penalty` failures.
    """

    fw1: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    phases: Annotated[
        list[Annotated[float, Field(ge=0.01, le=100)]], Field(min_length=1, max_length=20)
    ] = Field(default=[2, 10, 50, 100])
    filter: FilterForm = Field(default_factory=FilterForm)
    soak_s: Annotated[int, Field(ge=0, le=90 * 86_400)] = 86_400
    automatic: bool = False
    abort_share: Annotated[float, Field(gt=0, le=100)] = 20
    abort_min: Count = 5
    abort_count: Count | None = None
    penalty: Annotated[int, Field(ge=1, le=100)] = 3
    downloads_at_once: Count | None = None


class Counts(BaseModel):
    """How many devices are in each state; each is in one, and all together are `targeted`.

    `offline`: not seen for three intervals, though something is expected of them. `rolled_back`,
    `failed` and `penalty` are not running the release; `halted` were told to forget it.
    """

    targeted: int
    waiting: int
    offered: int
    downloading: int
    postponed: int
    updated: int
    rolled_back: int
    failed: int
    penalty: int
    halted: int
    offline: int


class RolloutView(BaseModel):
    """A rollout. `phase` counts from 0: `phases[phase]` is the open share. `attempts` are devices
    that tried, `failure_share` is the percentage of them that failed and do not run it now."""

    id: int
    fw1: str
    fw2: str
    kind: str
    state: State
    phases: list[float]
    phase: int
    phase_started: str | None
    soak_s: int
    automatic: bool
    abort_share: float
    abort_min: int
    abort_count: int | None
    penalty: int
    downloads_at_once: int | None
    filter: FilterForm
    reason: str | None
    created: str | None
    started: str | None
    ended: str | None
    counts: Counts
    attempts: int
    failure_share: float | None


class RolloutDeviceView(BaseModel):
    """A device that a rollout is for. `state` is "offline" in place of `last_state` when it has
    not been seen for long. `detail` is what it said of its last attempt, `log1` the log of it."""

    d1: str
    bucket: int
    in_phase: bool
    state: DeviceState
    last_state: DeviceState
    failures: int
    detail: str | None
    log1: str | None
    site: str | None
    fw2: str | None
    from_fw2: str | None
    offered: str | None
    changed: str | None
    last_seen: str | None


async def read(connection: AsyncConnection, rollout_id: int) -> Row[Any]:
    """A rollout with its release's columns, of which those of the same name are the rollout's."""
    query = (
        select(
            rollouts,
            releases.c.fw2,
            releases.c.kind,
            releases.c.expires_ms,
            releases.c.state.label("release_state"),
        )
        .join(releases, releases.c.fw1 == rollouts.c.fw1)
        .where(rollouts.c.id == rollout_id)
    )
    return found((await connection.execute(query)).first(), "rollout")


async def view_of(server: Context, connection: AsyncConnection, rollout_id: int) -> RolloutView:
    row = await read(connection, rollout_id)
    rollout = stored.rollout_of(row)
    counted = await rollout_counts.count(connection, rollout, moment_of(server))
    share = 100 * counted.failing / counted.attempts if counted.attempts else None
    return RolloutView(
        **{name: getattr(row, name) for name in _AS_STORED},
        phases=list(rollout.phases),
        phase_started=time_text(row.phase_started_ms),
        filter=FilterForm(**json.loads(row.filter)),
        created=time_text(row.created_ms),
        started=time_text(row.started_ms),
        ended=time_text(row.ended_ms),
        counts=Counts(
            targeted=counted.states.total(),
            **{name: counted.states[name] for name in Counts.model_fields if name != "targeted"},
        ),
        attempts=counted.attempts,
        failure_share=None if share is None else round(share, 1),
    )


_AS_STORED: Final = (
    "id", "fw1", "fw2", "kind", "state", "phase", "soak_s", "automatic", "abort_share",
    "abort_min", "abort_count", "penalty", "downloads_at_once", "reason",
)  # fmt: skip


def device_view(one: rollout_counts.Seen) -> RolloutDeviceView:
    row = one.row
    changed_ms = max(
        (time_ms for time_ms in (row.touched_ms, row.ended_ms) if time_ms is not None), default=None
    )
    return RolloutDeviceView.model_validate(
        {
            "d1": one.d1,
            "bucket": one.bucket,
            "in_phase": one.in_phase,
            "state": one.state,
            "last_state": one.last_state,
            "failures": row.failures or 0,
            "detail": row.ack2,
            "log1": row.log1,
            "site": row.site,
            "fw2": row.fw2,
            "from_fw2": row.from_fw2,
            "offered": time_text(row.offered_ms),
            "changed": time_text(changed_ms),
            "last_seen": time_text(row.last_seen_ms),
        }
    )
