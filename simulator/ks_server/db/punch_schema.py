"""Tables of punches: what came, what is missing, and of whom. `schema` has the conventions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from .base import RowId, metadata, one_of, partial

employees = Table(
    "employees",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("external_id", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("site", String(64), ForeignKey("sites.site")),  # null: all sites
    Column("active_from_ms", BigInteger),  # null: since ever; active while from <= time < to
    Column("active_to_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential", String(64), primary_key=True),
    Column("hash", String(16), nullable=False, unique=True),  # C1 of the allow list
    Column("employee_id", RowId, ForeignKey("employees.id"), nullable=False, index=True),
    Column("active_from_ms", BigInteger),
    Column("active_to_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
)

journals = Table(
    "journals",
    metadata,
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("ack_seq", BigInteger, nullable=False),
    Column("seq_min", BigInteger),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("seq_top", BigInteger),  # the highest SEQ that the terminal has told of
    Column("j1", Integer),  # percent in use
    Column("j2", BigInteger),  # so many more punches fit at least
    Column("level", Integer, nullable=False, server_default="0"),  # how full: 4 is full
    Column("behind", Boolean, nullable=False, server_default=text("false")),
    Column("duplicates", BigInteger, nullable=False, server_default="0"),  # came again, dropped
    Column("closed_ms", BigInteger),
    Column("closed_by", String(64)),  # CMD1 of the WIPE or REVOKE
    Column("reference_boot", BigInteger),  # the newest time reference of this journal
    Column("reference_up_ms", BigInteger),
    Column("recheck_seq", BigInteger),  # times from here on may now be known better
    PrimaryKeyConstraint("d1", "jid"),
)

punches = Table(
    "punches",
    metadata,
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("a1", Text),
    Column("e1", Text),
    Column("a2", Text),
    Column("a3", Text),  # the device's own clock, never changed
    Column("prev", Text),
    Column("boot", Text),
    Column("up", Text),
    Column("clk", Text),
    Column("method", Text),
    Column("state", String(16), nullable=False),
    Column("err1", String(32)),
    Column("received_ms", BigInteger, nullable=False, index=True),
    Column("hash", String(16)),  # of what was sent, as the next punch's PREV must be
    Column("raw_ms", BigInteger),  # A3
    Column("boot_number", BigInteger),
    Column("up_ms", BigInteger),
    Column("time_ms", BigInteger),  # corrected
    Column("uncertainty_ms", BigInteger),  # the truth is within time_ms +- this; null: unknown
    Column("time_source", String(16)),  # clock, record, reference, between, raw
    Column("employee_id", BigInteger),  # of employees; no foreign key: who is erased is gone
    Column("remark", String(16)),  # unknown_person, inactive
    Column("erased_ms", BigInteger),
    PrimaryKeyConstraint("d1", "jid", "seq"),
    Index("ix_punches_time_ms", "time_ms"),
    partial(
        "ix_punches_employee_id_time_ms", "employee_id", "time_ms", where="employee_id IS NOT NULL"
    ),
    partial("ix_punches_e1", "e1", where="employee_id IS NULL"),
    partial("ix_punches_uncertain", "d1", "jid", "seq", where="time_source IN ('between', 'raw')"),
    one_of("state", "accepted", "quarantine"),
)

punch_gaps = Table(
    "punch_gaps",
    metadata,
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("d1", "jid", "first_seq"),
)

punch_findings = Table(
    "punch_findings",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("first_seq", BigInteger),  # null: about no punch in particular
    Column("last_seq", BigInteger),
    Column("kind", String(16), nullable=False),
    Column("detail", Text),  # never a person's data
    Column("found_ms", BigInteger, nullable=False),
    Column("resolved_ms", BigInteger),  # a gap that was filled, a journal with room again
    Column("acknowledged_ms", BigInteger),
    one_of(
        "kind",
        "gap",
        "lost",
        "broken_chain",
        "fork",
        "rewritten",
        "reordered",
        "behind",
        "journal_warning",
        "journal_full",
    ),
    Index("ix_punch_findings_d1_jid", "d1", "jid"),
    Index("ix_punch_findings_found_ms", "found_ms"),
)

punch_conflicts = Table(
    "punch_conflicts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("a1", Text),
    Column("e1", Text),
    Column("a2", Text),
    Column("a3", Text),
    Column("prev", Text),
    Column("boot", Text),
    Column("up", Text),
    Column("clk", Text),
    Column("method", Text),
    Column("hash", String(16), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("erased_ms", BigInteger),
    UniqueConstraint("d1", "jid", "seq", "hash"),
)

time_references = Table(
    "time_references",
    metadata,
    Column("d1", String(64), nullable=False),
    Column("jid", String(16), nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("up_ms", BigInteger, nullable=False),
    Column("unix_ms", BigInteger, nullable=False),
    Column("uncertainty_ms", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),  # record, reference
    PrimaryKeyConstraint("d1", "jid", "boot", "up_ms"),
)
