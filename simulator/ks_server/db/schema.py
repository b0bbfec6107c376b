"""Tables of the reference server, for SQLite and PostgreSQL alike.

Times are unix milliseconds (`_ms`, BigInteger). What a device said is kept as the text it sent
(`hb2`, `fw2`, `up` ...), because the text is what was signed and because any integer may come.
Text that could hold U+0000 goes through `storable` first: PostgreSQL has no such character.
"""

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
)

from . import punch_schema, rollout_schema  # noqa: F401 -- one metadata for all of them
from .base import RowId, metadata, one_of

sites = Table(
    "sites",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=False),  # IANA name
    Column("allow_list", Boolean, nullable=False),  # its terminals hold one
    Column("created_ms", BigInteger, nullable=False),
)


devices = Table(
    "devices",
    metadata,
    Column("d1", String(64), primary_key=True),
    Column("public_key", String(44), nullable=False),  # base64 of the raw 32 bytes
    Column("previous_public_key", String(44)),  # what the last rotate-key replaced
    Column("reenrol_public_key", String(44)),  # the one new key that may register under this id
    Column("d2", Text, nullable=False),
    Column("d4", Text),
    Column("d5", Text),
    Column("m1", Text),
    Column("state", String(16), nullable=False),
    Column("server_seq", Integer, nullable=False),  # server key current at registration
    Column("o1", String(64), nullable=False, server_default="default"),
    Column("o2", Text),
    Column("rto_s", Integer),  # overrides the server's own interval
    Column("registered_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("kid", String(8)),  # newest server key the device said it trusts; null: legacy
    Column("heartbeat_ms", BigInteger),
    *(Column(f"hb{number}", Text) for number in range(1, 8)),
    Column("fw2", Text),
    Column("img1", Text),  # version of the image that it runs
    Column("site", String(64), ForeignKey("sites.site")),
    one_of("state", "active", "revoked"),
)

# One text for the pair, because SQLite finds many pairs at once only by scanning the whole index.
nonces = Table(
    "nonces",
    metadata,
    Column("use", String(129), primary_key=True),  # D1/NONCE; neither may hold a slash
    Column("expires_ms", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

# One row (id 1). mark_ms is the highest server time ever stored. `run` names the start of the
# server that stored it; together with a file outside the database it tells a restored backup.
fence = Table(
    "fence",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("mark_ms", BigInteger, nullable=False),
    Column("run", String(32), nullable=False),
)

whitelist = Table(
    "whitelist",
    metadata,
    Column("d1", String(64), primary_key=True),
    Column("public_key", String(44), nullable=False),
    Column("note", Text),
    Column("created_ms", BigInteger, nullable=False),
)

otrts = Table(
    "otrts",
    metadata,
    Column("hash", String(64), primary_key=True),  # hex SHA-256 of the token's text
    Column("d1", String(64)),  # null: for any device
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_by", String(64)),
    Column("used_ms", BigInteger),
)

commands = Table(
    "commands",
    metadata,
    Column("cmd1", String(64), primary_key=True),
    Column("d1", String(64), ForeignKey("devices.d1"), nullable=False),
    Column("cmd2", String(64), nullable=False),
    Column("cmd3", Text),
    Column("cmd4", String(8), nullable=False),
    Column("cmd5", String(32)),  # text as signed; expires_ms is the same moment
    Column("ts", String(32), nullable=False),
    Column("expires_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("sig_admin_a", String(88)),
    Column("sig_admin_b", String(88)),
    Column("admin_key_a", String(44)),
    Column("admin_key_b", String(44)),
    Column("deliveries", Integer, nullable=False, server_default="0"),
    Column("delivered_ms", BigInteger),
    Column("ack1", String(16)),
    Column("ack2", Text),
    Column("ack3", Text),
    Column("ack4", Text),
    Column("acked_ms", BigInteger),
    one_of("state", "draft", "queued", "delivered", "done", "cancelled"),
    Index("ix_commands_d1_state", "d1", "state"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("received_ms", BigInteger, nullable=False, index=True),
    *(Column(f"hb{number}", Text) for number in range(1, 8)),
    Column("fw2", Text),
    Index("ix_heartbeats_d1_received_ms", "d1", "received_ms"),
)

releases = Table(
    "releases",
    metadata,
    Column("fw1", String(64), primary_key=True),
    Column("fw2", String(64), nullable=False),
    Column("fw4", String(64), nullable=False),
    Column("fw5", BigInteger, nullable=False),
    Column("types", Text, nullable=False),  # D2 values, comma-separated
    Column("counter", BigInteger, nullable=False),
    Column("built_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("path", Text, nullable=False),  # of the bundle, relative to the data folder
    Column("manifest", Text, nullable=False),
    Column("manifest_signature", String(88)),
    Column("created_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    # what the manifest says of them, as text; null: it does not
    Column("kind", Text, nullable=False, server_default="application"),
    Column("board", Text),
    Column("image", Text),
    Column("image_min", Text),
    Column("image_max", Text),
    Column("stage0", Text),
    one_of("state", "draft", "signed", "published", "revoked"),
    Index("ix_releases_state", "state"),
)

firmware_acks = Table(
    "firmware_acks",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("fw1", String(64), nullable=False),
    Column("fw2", Text, nullable=False),
    Column("ack1", String(16), nullable=False),
    Column("ack2", Text),
    Column("ack3", Text),
    Column("log1", Text),
    Column("received_ms", BigInteger, nullable=False),
    Index("ix_firmware_acks_d1_received_ms", "d1", "received_ms"),
    Index("ix_firmware_acks_fw1", "fw1"),
)

log_uploads = Table(
    "log_uploads",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("log1", String(255), nullable=False),
    Column("log2", Text, nullable=False),
    Column("log3", Text),
    Column("log4", Text),
    Column("log5", Text),
    Column("cmd1", String(64)),
    Column("fw1", String(64)),
    Column("received_ms", BigInteger, nullable=False, index=True),
    UniqueConstraint("d1", "log1"),
)

log_rows = Table(
    "log_rows",
    metadata,
    Column("upload_id", RowId, ForeignKey("log_uploads.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("log2", Text),
    Column("log3", Text),
    Column("log4", Text),
    PrimaryKeyConstraint("upload_id", "position"),
)

raw_messages = Table(
    "raw_messages",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("d1", String(64), nullable=False),
    Column("op", String(32), nullable=False),
    Column("received_ms", BigInteger, nullable=False, index=True),
    Column("err1", String(32)),  # null: accepted
    Column("message", Text, nullable=False),  # canonical form, secrets redacted, and SIG1
    Index("ix_raw_messages_d1_received_ms", "d1", "received_ms"),
)

server_links = Table(
    "server_links",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("public_key", String(44), nullable=False),
    Column("sig", String(88)),  # by the key before; null for the first
    Column("created_ms", BigInteger, nullable=False),
)

admin_actions = Table(
    "admin_actions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text),
    Column("detail", Text),
)
