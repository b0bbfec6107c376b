"""Tables of rollouts. What they mean is ks_server.rollout_engine's word; style as in schema.py."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from .base import RowId, metadata, one_of, partial

ROLLOUT_STATES: Final = ("draft", "running", "paused", "aborted", "done", "revoked")
DEVICE_STATES: Final = (
    "waiting", "offered", "downloading", "postponed", "updated", "rolled_back", "failed",
    "penalty", "halted",
)  # fmt: skip

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("fw1", String(64), ForeignKey("releases.fw1"), nullable=False, index=True),
    Column("salt", String(32), nullable=False),  # decides who comes first; never changed
    Column("phases", Text, nullable=False),  # shares in percent, comma-separated
    Column("phase", Integer, nullable=False),  # which of them is open, from 0
    Column("filter", Text, nullable=False),  # JSON: types, models, sites, versions, devices
    Column("soak_s", Integer, nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("abort_share", Float, nullable=False),  # percent
    Column("abort_min", Integer, nullable=False),
    Column("abort_count", Integer),  # null: no such limit
    Column("penalty", Integer, nullable=False),
    Column("downloads_at_once", Integer),  # null: no limit
    Column("state", String(16), nullable=False),
    Column("reason", Text),  # why it is aborted
    # devices that run it, and those whose attempts have only failed; the sums of rollout_devices
    Column("succeeded", Integer, nullable=False, server_default="0"),
    Column("failing", Integer, nullable=False, server_default="0"),
    Column("created_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("phase_started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    one_of("state", *ROLLOUT_STATES),
)

# A device has a row from its first offer on.
rollout_devices = Table(
    "rollout_devices",
    metadata,
    Column("rollout_id", RowId, ForeignKey("rollouts.id"), nullable=False),
    Column("d1", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),  # how its last attempt ended, while another may be under way
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("from_fw2", Text),  # what it ran when it was first offered this
    Column("ack2", Text),
    Column("log1", Text),  # of the log that it sent about its last attempt
    Column("offered_ms", BigInteger, nullable=False),
    Column("touched_ms", BigInteger, nullable=False),  # last offer, or first byte of a download
    Column("ended_ms", BigInteger),
    Column("reported_ms", BigInteger),  # since when it reports the release, unconfirmed
    Column("halted_ms", BigInteger),  # HALT_UPDATES was queued
    Column("resumed_ms", BigInteger),  # and RESUME_UPDATES
    PrimaryKeyConstraint("rollout_id", "d1"),
    one_of("state", *DEVICE_STATES),
    Index("ix_rollout_devices_rollout_id_state", "rollout_id", "state"),
    Index("ix_rollout_devices_d1", "d1"),
    partial(
        "ix_rollout_devices_halted", "d1", where="halted_ms IS NOT NULL AND resumed_ms IS NULL"
    ),
)
