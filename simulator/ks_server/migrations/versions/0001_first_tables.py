"""First tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "admin_actions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_actions")),
    )
    with op.batch_alter_table("admin_actions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_admin_actions_at_ms"), ["at_ms"], unique=False)

    op.create_table(
        "devices",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.String(length=44), nullable=False),
        sa.Column("previous_public_key", sa.String(length=44), nullable=True),
        sa.Column("reenrol_public_key", sa.String(length=44), nullable=True),
        sa.Column("d2", sa.Text(), nullable=False),
        sa.Column("d4", sa.Text(), nullable=True),
        sa.Column("d5", sa.Text(), nullable=True),
        sa.Column("m1", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("server_seq", sa.Integer(), nullable=False),
        sa.Column("o1", sa.String(length=64), server_default="default", nullable=False),
        sa.Column("o2", sa.Text(), nullable=True),
        sa.Column("rto_s", sa.Integer(), nullable=True),
        sa.Column("registered_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("kid", sa.String(length=8), nullable=True),
        sa.Column("heartbeat_ms", sa.BigInteger(), nullable=True),
        sa.Column("hb1", sa.Text(), nullable=True),
        sa.Column("hb2", sa.Text(), nullable=True),
        sa.Column("hb3", sa.Text(), nullable=True),
        sa.Column("hb4", sa.Text(), nullable=True),
        sa.Column("hb5", sa.Text(), nullable=True),
        sa.Column("hb6", sa.Text(), nullable=True),
        sa.Column("hb7", sa.Text(), nullable=True),
        sa.Column("fw2", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('active', 'revoked')", name=op.f("ck_devices_state")),
        sa.PrimaryKeyConstraint("d1", name=op.f("pk_devices")),
    )
    op.create_table(
        "fence",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark_ms", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fence")),
    )
    op.create_table(
        "firmware_acks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("fw1", sa.String(length=64), nullable=False),
        sa.Column("fw2", sa.Text(), nullable=False),
        sa.Column("ack1", sa.String(length=16), nullable=False),
        sa.Column("ack2", sa.Text(), nullable=True),
        sa.Column("ack3", sa.Text(), nullable=True),
        sa.Column("log1", sa.Text(), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firmware_acks")),
    )
    with op.batch_alter_table("firmware_acks", schema=None) as batch_op:
        batch_op.create_index(
            "ix_firmware_acks_d1_received_ms", ["d1", "received_ms"], unique=False
        )
        batch_op.create_index("ix_firmware_acks_fw1", ["fw1"], unique=False)

    op.create_table(
        "heartbeats",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("hb1", sa.Text(), nullable=True),
        sa.Column("hb2", sa.Text(), nullable=True),
        sa.Column("hb3", sa.Text(), nullable=True),
        sa.Column("hb4", sa.Text(), nullable=True),
        sa.Column("hb5", sa.Text(), nullable=True),
        sa.Column("hb6", sa.Text(), nullable=True),
        sa.Column("hb7", sa.Text(), nullable=True),
        sa.Column("fw2", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeats")),
    )
    with op.batch_alter_table("heartbeats", schema=None) as batch_op:
        batch_op.create_index("ix_heartbeats_d1_received_ms", ["d1", "received_ms"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_heartbeats_received_ms"), ["received_ms"], unique=False
        )

    op.create_table(
        "journals",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("ack_seq", sa.BigInteger(), nullable=False),
        sa.Column("seq_min", sa.BigInteger(), nullable=True),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("d1", "jid", name=op.f("pk_journals")),
    )
    op.create_table(
        "log_uploads",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("log1", sa.String(length=255), nullable=False),
        sa.Column("log2", sa.Text(), nullable=False),
        sa.Column("log3", sa.Text(), nullable=True),
        sa.Column("log4", sa.Text(), nullable=True),
        sa.Column("log5", sa.Text(), nullable=True),
        sa.Column("cmd1", sa.String(length=64), nullable=True),
        sa.Column("fw1", sa.String(length=64), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_uploads")),
        sa.UniqueConstraint("d1", "log1", name=op.f("uq_log_uploads_d1_log1")),
    )
    with op.batch_alter_table("log_uploads", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_log_uploads_received_ms"), ["received_ms"], unique=False
        )

    op.create_table(
        "nonces",
        sa.Column("use", sa.String(length=129), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("use", name=op.f("pk_nonces")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("nonces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nonces_expires_ms"), ["expires_ms"], unique=False)

    op.create_table(
        "otrts",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_by", sa.String(length=64), nullable=True),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_otrts")),
    )
    op.create_table(
        "punch_gaps",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("d1", "jid", "first_seq", name=op.f("pk_punch_gaps")),
    )
    op.create_table(
        "punches",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("a1", sa.Text(), nullable=True),
        sa.Column("e1", sa.Text(), nullable=True),
        sa.Column("a2", sa.Text(), nullable=True),
        sa.Column("a3", sa.Text(), nullable=True),
        sa.Column("prev", sa.Text(), nullable=True),
        sa.Column("boot", sa.Text(), nullable=True),
        sa.Column("up", sa.Text(), nullable=True),
        sa.Column("clk", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("err1", sa.String(length=32), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('accepted', 'quarantine')", name=op.f("ck_punches_state")),
        sa.PrimaryKeyConstraint("d1", "jid", "seq", name=op.f("pk_punches")),
    )
    with op.batch_alter_table("punches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_punches_received_ms"), ["received_ms"], unique=False)

    op.create_table(
        "raw_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("op", sa.String(length=32), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("err1", sa.String(length=32), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_raw_messages")),
    )
    with op.batch_alter_table("raw_messages", schema=None) as batch_op:
        batch_op.create_index("ix_raw_messages_d1_received_ms", ["d1", "received_ms"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_raw_messages_received_ms"), ["received_ms"], unique=False
        )

    op.create_table(
        "releases",
        sa.Column("fw1", sa.String(length=64), nullable=False),
        sa.Column("fw2", sa.String(length=64), nullable=False),
        sa.Column("fw4", sa.String(length=64), nullable=False),
        sa.Column("fw5", sa.BigInteger(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("built_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("manifest_signature", sa.String(length=88), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('draft', 'signed', 'published', 'revoked')", name=op.f("ck_releases_state")
        ),
        sa.PrimaryKeyConstraint("fw1", name=op.f("pk_releases")),
    )
    with op.batch_alter_table("releases", schema=None) as batch_op:
        batch_op.create_index("ix_releases_state", ["state"], unique=False)

    op.create_table(
        "server_links",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_key", sa.String(length=44), nullable=False),
        sa.Column("sig", sa.String(length=88), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_server_links")),
    )
    op.create_table(
        "whitelist",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.String(length=44), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("d1", name=op.f("pk_whitelist")),
    )
    op.create_table(
        "commands",
        sa.Column("cmd1", sa.String(length=64), nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("cmd2", sa.String(length=64), nullable=False),
        sa.Column("cmd3", sa.Text(), nullable=True),
        sa.Column("cmd4", sa.String(length=8), nullable=False),
        sa.Column("cmd5", sa.String(length=32), nullable=True),
        sa.Column("ts", sa.String(length=32), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sig_admin_a", sa.String(length=88), nullable=True),
        sa.Column("sig_admin_b", sa.String(length=88), nullable=True),
        sa.Column("admin_key_a", sa.String(length=44), nullable=True),
        sa.Column("admin_key_b", sa.String(length=44), nullable=True),
        sa.Column("deliveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("delivered_ms", sa.BigInteger(), nullable=True),
        sa.Column("ack1", sa.String(length=16), nullable=True),
        sa.Column("ack2", sa.Text(), nullable=True),
        sa.Column("ack3", sa.Text(), nullable=True),
        sa.Column("ack4", sa.Text(), nullable=True),
        sa.Column("acked_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('draft', 'queued', 'delivered', 'done', 'cancelled')",
            name=op.f("ck_commands_state"),
        ),
        sa.ForeignKeyConstraint(["d1"], ["devices.d1"], name=op.f("fk_commands_d1_devices")),
        sa.PrimaryKeyConstraint("cmd1", name=op.f("pk_commands")),
    )
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.create_index("ix_commands_d1_state", ["d1", "state"], unique=False)

    op.create_table(
        "log_rows",
        sa.Column(
            "upload_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("log2", sa.Text(), nullable=True),
        sa.Column("log3", sa.Text(), nullable=True),
        sa.Column("log4", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["log_uploads.id"],
            name=op.f("fk_log_rows_upload_id_log_uploads"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "position", name=op.f("pk_log_rows")),
    )


def downgrade() -> None:

    op.drop_table("log_rows")
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.drop_index("ix_commands_d1_state")

    op.drop_table("commands")
    op.drop_table("whitelist")
    op.drop_table("server_links")
    with op.batch_alter_table("releases", schema=None) as batch_op:
        batch_op.drop_index("ix_releases_state")

    op.drop_table("releases")
    with op.batch_alter_table("raw_messages", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_raw_messages_received_ms"))
        batch_op.drop_index("ix_raw_messages_d1_received_ms")

    op.drop_table("raw_messages")
    with op.batch_alter_table("punches", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_punches_received_ms"))

    op.drop_table("punches")
    op.drop_table("punch_gaps")
    op.drop_table("otrts")
    with op.batch_alter_table("nonces", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_nonces_expires_ms"))

    op.drop_table("nonces")
    with op.batch_alter_table("log_uploads", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_log_uploads_received_ms"))

    op.drop_table("log_uploads")
    op.drop_table("journals")
    with op.batch_alter_table("heartbeats", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_heartbeats_received_ms"))
        batch_op.drop_index("ix_heartbeats_d1_received_ms")

    op.drop_table("heartbeats")
    with op.batch_alter_table("firmware_acks", schema=None) as batch_op:
        batch_op.drop_index("ix_firmware_acks_fw1")
        batch_op.drop_index("ix_firmware_acks_d1_received_ms")

    op.drop_table("firmware_acks")
    op.drop_table("fence")
    op.drop_table("devices")
    with op.batch_alter_table("admin_actions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_admin_actions_at_ms"))

    op.drop_table("admin_actions")
