"""Rollouts; what a release's manifest asks of a device; the image that a device runs"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ROLLOUT_STATES = "'draft', 'running', 'paused', 'aborted', 'done', 'revoked'"
_DEVICE_STATES = (
    "'waiting', 'offered', 'downloading', 'postponed', 'updated', 'rolled_back', 'failed',"
    " 'penalty', 'halted'"
)
_HALTED = "halted_ms IS NOT NULL AND resumed_ms IS NULL"


def _releases() -> list[sa.Column[str]]:
    names = ("board", "image", "image_min", "image_max", "stage0")
    return [
        sa.Column("kind", sa.Text(), server_default="application", nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in names),
    ]


def upgrade() -> None:
    for column in _releases():
        op.add_column("releases", column)
    op.add_column("devices", sa.Column("img1", sa.Text(), nullable=True))
    _rollouts()
    _rollout_devices()


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("fw1", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("phases", sa.Text(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("soak_s", sa.Integer(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("abort_share", sa.Float(), nullable=False),
        sa.Column("abort_min", sa.Integer(), nullable=False),
        sa.Column("abort_count", sa.Integer(), nullable=True),
        sa.Column("penalty", sa.Integer(), nullable=False),
        sa.Column("downloads_at_once", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("succeeded", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("phase_started_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(f"state IN ({_ROLLOUT_STATES})", name=op.f("ck_rollouts_state")),
        sa.ForeignKeyConstraint(["fw1"], ["releases.fw1"], name=op.f("fk_rollouts_fw1_releases")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(op.f("ix_rollouts_fw1"), "rollouts", ["fw1"])


def _rollout_devices() -> None:
    op.create_table(
        "rollout_devices",
        sa.Column("rollout_id", _ID, nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("from_fw2", sa.Text(), nullable=True),
        sa.Column("ack2", sa.Text(), nullable=True),
        sa.Column("log1", sa.Text(), nullable=True),
        sa.Column("offered_ms", sa.BigInteger(), nullable=False),
        sa.Column("touched_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("reported_ms", sa.BigInteger(), nullable=True),
        sa.Column("halted_ms", sa.BigInteger(), nullable=True),
        sa.Column("resumed_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(f"state IN ({_DEVICE_STATES})", name=op.f("ck_rollout_devices_state")),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_devices_rollout_id_rollouts")
        ),
        sa.PrimaryKeyConstraint("rollout_id", "d1", name=op.f("pk_rollout_devices")),
    )
    op.create_index(
        "ix_rollout_devices_rollout_id_state", "rollout_devices", ["rollout_id", "state"]
    )
    op.create_index("ix_rollout_devices_d1", "rollout_devices", ["d1"])
    op.create_index(
        "ix_rollout_devices_halted",
        "rollout_devices",
        ["d1"],
        sqlite_where=sa.text(_HALTED),
        postgresql_where=sa.text(_HALTED),
    )


def downgrade() -> None:
    op.drop_table("rollout_devices")
    op.drop_table("rollouts")
    op.drop_column("devices", "img1")
    for column in _releases():
        op.drop_column("releases", column.name)
