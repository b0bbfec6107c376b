"""Punches: chain, corrected time, findings; sites, employees and credentials"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KINDS = (
    "'gap', 'lost', 'broken_chain', 'fork', 'rewritten', 'reordered', 'behind',"
    " 'journal_warning', 'journal_full'"
)


def _journals() -> list[sa.Column[object]]:
    return [
        sa.Column("seq_top", sa.BigInteger(), nullable=True),
        sa.Column("j1", sa.Integer(), nullable=True),
        sa.Column("j2", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.Column("behind", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=64), nullable=True),
        sa.Column("reference_boot", sa.BigInteger(), nullable=True),
        sa.Column("reference_up_ms", sa.BigInteger(), nullable=True),
        sa.Column("recheck_seq", sa.BigInteger(), nullable=True),
    ]


def _punches() -> list[sa.Column[object]]:
    return [
        sa.Column("hash", sa.String(length=16), nullable=True),
        sa.Column("raw_ms", sa.BigInteger(), nullable=True),
        sa.Column("boot_number", sa.BigInteger(), nullable=True),
        sa.Column("up_ms", sa.BigInteger(), nullable=True),
        sa.Column("time_ms", sa.BigInteger(), nullable=True),
        sa.Column("uncertainty_ms", sa.BigInteger(), nullable=True),
        sa.Column("time_source", sa.String(length=16), nullable=True),
        sa.Column("employee_id", sa.BigInteger(), nullable=True),
        sa.Column("remark", sa.String(length=16), nullable=True),
        sa.Column("erased_ms", sa.BigInteger(), nullable=True),
    ]


_INDEXES = (
    ("ix_punches_time_ms", ["time_ms"], None),
    ("ix_punches_employee_id_time_ms", ["employee_id", "time_ms"], "employee_id IS NOT NULL"),
    ("ix_punches_e1", ["e1"], "employee_id IS NULL"),
    ("ix_punches_uncertain", ["d1", "jid", "seq"], "time_source IN ('between', 'raw')"),
)


def upgrade() -> None:
    _people()
    # batch mode would build devices anew, which foreign keys to it do not survive on SQLite
    op.execute(
        "ALTER TABLE devices ADD COLUMN site VARCHAR(64)"
        " CONSTRAINT fk_devices_site_sites REFERENCES sites (site)"
    )
    for column in _journals():
        op.add_column("journals", column)
    for column in _punches():
        op.add_column("punches", column)
    for name, columns, where in _INDEXES:
        condition = None if where is None else sa.text(where)
        op.create_index(
            name, "punches", columns, sqlite_where=condition, postgresql_where=condition
        )
    _about_punches()


def _people() -> None:
    op.create_table(
        "sites",
        sa.Column("site", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("allow_list", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_sites")),
    )
    op.create_table(
        "employees",
        sa.Column("id", _ID, nullable=False),
        sa.Column("external_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("site", sa.String(length=64), nullable=True),
        sa.Column("active_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("active_to_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name=op.f("fk_employees_site_sites")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_employees")),
        sa.UniqueConstraint("external_id", name=op.f("uq_employees_external_id")),
    )
    op.create_table(
        "credentials",
        sa.Column("credential", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=16), nullable=False),
        sa.Column("employee_id", _ID, nullable=False),
        sa.Column("active_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("active_to_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["employee_id"], ["employees.id"], name=op.f("fk_credentials_employee_id_employees")
        ),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_credentials")),
        sa.UniqueConstraint("hash", name=op.f("uq_credentials_hash")),
    )
    op.create_index(op.f("ix_credentials_employee_id"), "credentials", ["employee_id"])


def _about_punches() -> None:
    op.create_table(
        "punch_findings",
        sa.Column("id", _ID, nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("found_ms", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ms", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_punch_findings_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_punch_findings")),
    )
    op.create_index("ix_punch_findings_d1_jid", "punch_findings", ["d1", "jid"])
    op.create_index("ix_punch_findings_found_ms", "punch_findings", ["found_ms"])
    op.create_table(
        "punch_conflicts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=True)
            for name in ("a1", "e1", "a2", "a3", "prev", "boot", "up", "clk", "method")
        ),
        sa.Column("hash", sa.String(length=16), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("erased_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_punch_conflicts")),
        sa.UniqueConstraint(
            "d1", "jid", "seq", "hash", name=op.f("uq_punch_conflicts_d1_jid_seq_hash")
        ),
    )
    op.create_table(
        "time_references",
        sa.Column("d1", sa.String(length=64), nullable=False),
        sa.Column("jid", sa.String(length=16), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("up_ms", sa.BigInteger(), nullable=False),
        sa.Column("unix_ms", sa.BigInteger(), nullable=False),
        sa.Column("uncertainty_ms", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("d1", "jid", "boot", "up_ms", name=op.f("pk_time_references")),
    )


def downgrade() -> None:
    # SQLite cannot drop a column of a foreign key; without its table it would refuse every write
    if op.get_context().dialect.name == "sqlite":
        raise NotImplementedError("SQLite keeps devices.site: restore a backup instead")
    op.drop_table("time_references")
    op.drop_table("punch_conflicts")
    op.drop_table("punch_findings")
    for name, _columns, _where in _INDEXES:
        op.drop_index(name, "punches")
    for column in _punches():
        op.drop_column("punches", column.name)
    for column in _journals():
        op.drop_column("journals", column.name)
    op.drop_column("devices", "site")
    op.drop_table("credentials")
    op.drop_table("employees")
    op.drop_table("sites")
