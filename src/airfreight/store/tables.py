"""All tables on one page. Rules they hold are constraints and indexes; everything else lives in services.

Times are milliseconds since the epoch (UTC) and end in `_at`. Every row that belongs to an organization says so.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from airfreight.domain.access import EVERYTHING
from airfreight.store import columns
from airfreight.store.columns import (
    OPEN_STATES,
    SQL_ACTIVE,
    SQL_MEMBER,
    SQL_OPEN,
    Big,
    any_of,
    at,
    changed_at,
    details,
    identity,
    organization,
    partial,
    signed,
    words,
)

metadata = columns.metadata

organizations = Table(
    "organizations",
    metadata,
    identity(),
    Column("parent_id", ForeignKey("organizations.id"), index=True),
    words("name", 100),
    words("time_zone", 64),
    Column("approval_needed", Boolean, nullable=False, server_default=text("false")),
    Column("four_eyes", Boolean, nullable=False, server_default=text("false")),
    Column("confirmation_needed", Boolean, nullable=False, server_default=text("false")),
    details(),
    at("created_at"),
    changed_at(),
)
"""`approval_needed`: who makes a rollout in steps needs somebody's approval; `four_eyes`: somebody else's.
`confirmation_needed`: what is offered to a device waits for the word of its user."""

users = Table(
    "users",
    metadata,
    identity(),
    organization(),
    Column("email", String(254), nullable=False, unique=True),
    words("name", 100),
    words("role", 16, None),
    words("password_hash", 200, None),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("invitation_hash", LargeBinary(32)),
    at("invitation_expires_at", nullable=True),
    details(),
    at("created_at"),
    changed_at(),
    Index("uq_users_invitation", "invitation_hash", unique=True),
)

clients = Table(
    "clients",
    metadata,
    identity(),
    organization(),
    words("name", 64),
    Column("client_id", String(64), nullable=False, unique=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("owner_user_id", ForeignKey("users.id", ondelete="SET NULL")),
    Column("scopes", String(500), nullable=False, server_default=EVERYTHING),
    details(),
    at("created_at"),
)

tokens = Table(
    "tokens",
    metadata,
    identity(Big),
    organization(),
    Column("kind", String(8), nullable=False),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("client_id", ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("scopes", String(500), nullable=False, server_default=EVERYTHING),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

enrollment_keys = Table(
    "enrollment_keys",
    metadata,
    identity(),
    organization(),
    words("name", 64),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    at("created_at"),
)

products = Table(
    "products",
    metadata,
    identity(),
    organization(index=False),
    words("name", 100, None),
    words("description", 1000),
    words("time_zone", 64),
    words("key", 32),
    Column("auto_update", Boolean, nullable=False, server_default=text("true")),
    words("part", 32, "application"),
    Column("one_part", Boolean, nullable=False, server_default=text("false")),
    details(),
    at("created_at"),
    changed_at(),
    UniqueConstraint("organization_id", "name"),
    Index("uq_products_key", "key", unique=True),
)

direct_access = Table(
    "direct_access",
    metadata,
    Column("organization_id", ForeignKey("organizations.id"), primary_key=True, autoincrement=False),
    words("name", 64, None),
    Column("key_hash", LargeBinary(32)),
    Column("product_id", ForeignKey("products.id")),
    Column("authorities", Text, nullable=False, server_default="[]"),
    words("polling", 1000),
    UniqueConstraint("name"),
)
"""How devices of an organization come in by its `name`: `key_hash`, of the key that speaks for each of them and makes
new ones of `product_id`; `authorities`: what a trusted proxy says of who it has let in; `polling`: how often."""

devices = Table(
    "devices",
    metadata,
    identity(),
    organization(index=False),
    Column("product_id", ForeignKey("products.id"), nullable=False),
    Column("parent_id", ForeignKey("devices.id")),
    Column("uid", columns.Uid, nullable=False),
    words("name", 100),
    Column("token_hash", LargeBinary(32), unique=True),
    words("broker_hash", 160),
    Column("owner_user_id", Integer, index=True),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    words("version", 64),
    words("build", 64),
    words("board", 64),
    words("fw_type", 64),
    words("library_version", 64),
    words("component", 8),
    words("time_zone", 64),
    Column("auto_update", Boolean),
    Column("group_id", Integer, index=True),
    Column("attributes", Text, nullable=False, server_default="{}"),
    at("attributes_at", nullable=True),
    at("asked_at", nullable=True),
    Column("standing_consent", Text, nullable=False, server_default=""),
    at("created_at"),
    at("deleted_at", nullable=True),
    partial("uq_devices_uid", "organization_id", "uid", where="deleted_at IS NULL", unique=True),
    Index("ix_devices_product", "product_id", "id"),
    Index("ix_devices_organization", "organization_id", "id"),
    Index("ix_devices_uid", "uid", "id"),
    partial("ix_devices_parent", "parent_id", "id", where="parent_id IS NOT NULL"),
)
"""`asked_at`: when somebody last wanted its attributes; `standing_consent`: its user's word for whatever comes."""

groups = Table(
    "groups",
    metadata,
    identity(),
    organization(),
    Column("uid", String(24), nullable=False, unique=True),
    words("name", 100),
    Column("token_hash", LargeBinary(32), unique=True),
    words("filter", 2000),
    at("created_at"),
)
"""Devices of one organization: with a filter (live) those that match it, else those put in it (`devices.group_id`)."""

connections = Table(
    "connections",
    metadata,
    Column("device_id", ForeignKey("devices.id"), primary_key=True, autoincrement=False),
    at("since_at"),
    at("sent_at", nullable=True),
    at("due_at", nullable=True),
    partial("ix_connections_due", "due_at", where="due_at IS NOT NULL"),
)
"""Devices that are believed to listen at the broker; `due_at`: when to decide for them again, null: when it rings."""

device_seen = Table(
    "device_seen",
    metadata,
    Column("device_id", ForeignKey("devices.id"), primary_key=True, autoincrement=False),
    at("seen_at"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    identity(),
    organization(),
    Column("uid", String(36), nullable=False, unique=True),
    Column("path", String(120), nullable=False, unique=True),
    words("filename", 255, None),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("md5", String(32), nullable=False),
    words("sha1", 40),
    words("format", 32, None),
    words("version", 64),
    words("build", 64),
    words("fw_type", 64),
    words("board", 64),
    words("library_version", 64),
    words("component", 8),
    Column("tagged", Boolean, nullable=False),
    words("identity", 128),
    words("description", 128),
    words("made_by", 40),
    Column("details", Text, nullable=False, server_default="{}"),
    at("created_at"),
)

uploads = Table(
    "uploads",
    metadata,
    identity(),
    Column("organization_id", ForeignKey("organizations.id", ondelete="CASCADE"), nullable=False),
    Column("uid", String(36), nullable=False, unique=True),
    words("filename", 255, None),
    words("description", 128),
    Column("told", Text, nullable=False, server_default=""),
    Column("size", BigInteger, nullable=False),
    *signed("made_by"),
    at("created_at"),
    at("expires_at"),
    Column("artifact_id", ForeignKey("artifacts.id", ondelete="CASCADE")),
    Index("ix_uploads_organization", "organization_id", "id"),
    Index("ix_uploads_expires", "expires_at"),
)
"""Files that come in pieces: how much is there, their partial file says. `told`: what their sender calls them, in the
sender's own form; `artifact_id`: what became of the file, once all of it is there."""

rollouts = Table(
    "rollouts",
    metadata,
    identity(),
    organization(index=False),
    Column("uid", String(36), nullable=False, unique=True),
    words("origin", 16, None),
    Column("product_id", ForeignKey("products.id"), index=True),
    Column("group_id", Integer),
    words("title", 200, None),
    Column("description", Text, nullable=False, server_default=""),
    details(),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("whole_product", Boolean, nullable=False),
    Column("condition", String(16), nullable=False),
    Column("check_type", Boolean, nullable=False),
    Column("critical", Boolean, nullable=False),
    Column("day_part", String(16), nullable=False),
    Column("attempts_limit", Integer, nullable=False),
    Column("reset_period_ms", BigInteger, nullable=False),
    Column("deadline_seconds", Integer, nullable=False),
    Column("finish_on", String(8), nullable=False),
    words("urgency", 8, "forced"),
    at("forced_at", nullable=True),
    Column("early_download", Boolean, nullable=False, server_default=text("false")),
    Column("on_conflict", String(16), nullable=False),
    words("host", 255),
    Column("secure", Boolean, nullable=False),
    Column("needs_word", Boolean, nullable=False, server_default=text("false")),
    Column("open_ended", Boolean, nullable=False, server_default=text("false")),
    Column("announces", Boolean, nullable=False, server_default=text("false")),
    Column("approval_needed", Boolean, nullable=False, server_default=text("false")),
    Column("follows_group_id", Integer),
    Column("reevaluate_seconds", Integer, nullable=False, server_default="0"),
    at("evaluate_at", nullable=True),
    Column("created_by_user_id", ForeignKey("users.id", ondelete="SET NULL")),
    *signed("made_by", "chosen_by", "approved_by"),
    at("approved_at", nullable=True),
    at("created_at"),
    changed_at(),
    at("started_at", nullable=True),
    at("finished_at", nullable=True),
    at("deleted_at", nullable=True),
    Index("ix_rollouts_organization", "organization_id", "id"),
    Index("ix_rollouts_group", "group_id", "id"),
    partial("ix_rollouts_evaluate", "evaluate_at", where="evaluate_at IS NOT NULL"),
)
"""`group_id`: the group it was sent to; `follows_group_id`: whose devices are added as they match, looked at again at
`evaluate_at`; `needs_word`: no phase begins without a slot; `open_ended`: devices may be added for ever."""

rollout_artifacts = Table(
    "rollout_artifacts",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False, index=True),
    words("filename", 255, None),
    words("version", 64),
    words("build", 64),
    words("fw_type", 64),
    words("board", 64),
    words("library_version", 64),
    words("component", 8),
)

deliveries = Table(
    "deliveries",
    metadata,
    identity(Big),
    Column("organization_id", Integer, nullable=False),
    Column("rollout_id", ForeignKey("rollouts.id"), nullable=False),
    Column("device_id", ForeignKey("devices.id"), nullable=False),
    Column("state", String(12), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("attempts_limit", Integer, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("tries", Integer, nullable=False, server_default="1"),
    Column("attempt_id", Integer),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("consented", Boolean, nullable=False, server_default=text("false")),
    Column("reached", Integer, nullable=False, server_default="0"),
    Column("reason", String(32), nullable=False, server_default=""),
    words("from_version", 64),
    words("from_build", 64),
    Column("events", Integer, nullable=False, server_default="0"),
    at("not_before", nullable=True),
    at("tries_since", nullable=True),
    at("deadline_at", nullable=True),
    Column("needs_word", Boolean),
    Column("own_artifacts", Boolean, nullable=False, server_default=text("false")),
    words("slots", 200),
    at("opens_at", nullable=True),
    at("updated_at"),
    UniqueConstraint("rollout_id", "device_id"),
    partial("ix_deliveries_members", "rollout_id", "id", where=SQL_MEMBER),
    partial("ix_deliveries_opens", "opens_at", where="opens_at IS NOT NULL"),
    Index("ix_deliveries_device", "device_id", "rollout_id"),
    partial("uq_deliveries_active", "device_id", where=SQL_ACTIVE, unique=True),
    Index("ix_deliveries_open", "device_id", sqlite_where=text(SQL_OPEN), postgresql_where=text(SQL_OPEN)),
    partial("ix_deliveries_deadline", "deadline_at", where="deadline_at IS NOT NULL"),
    CheckConstraint("reached BETWEEN 0 AND 6", name="reached"),
)

delivery_artifacts = Table(
    "delivery_artifacts",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False, index=True),
)
"""What one device gets instead of the rollout's artifacts, where `deliveries.own_artifacts` says so."""

delivery_bytes = Table(
    "delivery_bytes",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True, autoincrement=False),
    Column("artifact_id", Integer, primary_key=True, autoincrement=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How far the download of each artifact has come, as the device says."""

delivery_lines = Table(
    "delivery_lines",
    metadata,
    identity(Big),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    at("at"),
    Column("line", String(500), nullable=False),
    Index("ix_delivery_lines", "delivery_id", "id"),
)
"""What a device says as it installs."""

rollout_callbacks = Table(
    "rollout_callbacks",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("kind", String(24), primary_key=True),
    Column("destination_id", Integer, nullable=False),
    Column("states", Text, nullable=False, server_default="[]"),
)
"""Who is told what of a rollout; `states`: of these only, none for all."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, Identity(start=1001), primary_key=True, autoincrement=True),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False, index=True),
    at("offered_at"),
    at("taken_at", nullable=True),
    sqlite_autoincrement=True,
)
"""`taken_at`: when its device first looked at what is in it."""

history = Table(
    "history",
    metadata,
    identity(Big),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    Column("attempt_id", Integer),
    Column("seq", Integer),
    at("at"),
    Column("actor", String(40), nullable=False),
    Column("event", String(24), nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(32), nullable=False, server_default=""),
    Column("message", String(500), nullable=False, server_default=""),
    Column("progress", Integer),
    # attempt_id and seq in one number (see report_key): SQLite looks up many of these, but scans for many pairs
    Column("report", BigInteger),
    partial("uq_history_report", "report", where="report IS NOT NULL", unique=True),
    Index("ix_history_delivery", "delivery_id", "id"),
)

counters = Table(
    "counters",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("state", String(12), primary_key=True),
    Column("reached", Integer, primary_key=True, autoincrement=False),
    Column("reason", String(32), primary_key=True),
    Column("n", BigInteger, nullable=False),
    at("updated_at"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    identity(Big),
    Column("organization_id", Integer, nullable=False),
    Column("stream", String(80), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    at("created_at"),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    at("claimed_until", nullable=True),
    Index("ix_outbox_stream", "stream", "id"),
    Index("ix_outbox_due", "due_at", "id"),
)

webhook_destinations = Table(
    "webhook_destinations",
    metadata,
    identity(),
    organization(),
    Column("uid", String(36), nullable=False, unique=True),
    words("name", 100),
    words("description", 500),
    words("scheme", 5, None),
    words("host", 253, None),
    Column("port", Integer, nullable=False),
    words("path", 1000, "/"),
    words("username", 255),
    Column("password", LargeBinary),
    Column("certificate", Text, nullable=False, server_default=""),
    Column("secret", LargeBinary),
    Column("old_secret", LargeBinary),
    at("old_secret_until", nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    words("created_by", 254),
    at("created_at"),
    words("changed_by", 254),
    changed_at(),
    at("deleted_at", nullable=True),
    words("holder", 32),
    at("held_until", nullable=True),
    sqlite_autoincrement=True,
)
"""Where messages go. `password` and secrets are sealed; who sends there now is its `holder`. No id is given out twice:
who was told to send to one that is no more must not send to somebody else's."""

webhook_messages = Table(
    "webhook_messages",
    metadata,
    identity(Big),
    Column("organization_id", Integer, nullable=False),
    Column("destination_id", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("rollout_id", Integer),
    Column("device_id", Integer),
    Column("state", String(8), nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("status", Integer),
    words("response", 500),
    words("trouble", 24),
    at("created_at"),
    at("due_at"),
    at("sent_at", nullable=True),
    Index("ix_webhook_messages_line", "state", "destination_id", "id"),
    Index("ix_webhook_messages_log", "destination_id", "id"),
    sqlite_autoincrement=True,
)
"""The line to each destination, and its log. `destination_id` is no foreign key: a fact never fails for its message."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(64), nullable=False),
    at("until_at"),
)
"""What one process at a time does, and until when it is that one's."""

signals = Table(
    "signals",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

is_member: ColumnElement[bool] = literal_column(f"deliveries.{SQL_MEMBER}")
"""The condition of ix_deliveries_members: the device has not been taken out of the rollout."""

open_delivery: ColumnElement[bool] = literal_column(any_of("deliveries.state", OPEN_STATES))
"""The condition of ix_deliveries_open, for queries that name the table. Untyped: as a Boolean, SQLite would be given
`... = 1`, which it does not recognize as the condition of the index."""

_has_begun = deliveries.c.attempt_id.is_not(None) & deliveries.c.state.not_in(["queued", "offered"])
begun_with_shared = ~deliveries.c.own_artifacts & _has_begun
"""Deliveries of which the device has begun, or ended, with the artifacts that their rollout carries."""
