"""All tables on one page. Rules they hold are constraints and indexes; everything else lives in services.

Times are milliseconds since the epoch (UTC) and end in `_at`. Every row that belongs to an organization says so.
"""

from typing import Any

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
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

from airfreight.domain.access import EVERYTHING
from airfreight.domain.delivery import ENDS, THE_SIX, Reason, State

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit id: on SQLite an INTEGER PRIMARY KEY has 64 bits, and only that spelling increments by itself."""


def _id(kind: Any = Integer) -> Column[int]:  # noqa: ANN401 - a column type or an instance of one
    return Column("id", kind, primary_key=True, autoincrement=True)


def _organization(*, index: bool = True) -> Column[int]:
    return Column("organization_id", ForeignKey("organizations.id"), nullable=False, index=index)


def _at(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, length: int, default: str | None = "") -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=default)


def _details() -> Column[str]:
    """What doors show and nothing decides on: one JSON object."""
    return Column("details", Text, nullable=False, server_default="{}")


def _changed_at() -> Column[int]:
    return Column("changed_at", BigInteger, nullable=False, server_default="0")


def _any_of(column: str, states: tuple[State, ...]) -> str:
    """Literal, so that both databases see that a query's condition is a partial index's condition.

    OR, not IN: for an IN list SQLite builds a table each time it asks whether a changed row belongs into the index.
    """
    return "(" + " OR ".join(f"{column} = '{state}'" for state in states) + ")"


_OPEN = tuple(state for state in State if state not in ENDS)
SQL_ACTIVE = _any_of("state", THE_SIX)
SQL_OPEN = _any_of("state", _OPEN)
SQL_MEMBER = f"reason <> '{Reason.TAKEN_OUT}'"

organizations = Table(
    "organizations",
    metadata,
    _id(),
    Column("parent_id", ForeignKey("organizations.id"), index=True),
    _text("name", 100),
    _text("time_zone", 64),
    Column("approval_needed", Boolean, nullable=False, server_default=text("false")),
    Column("four_eyes", Boolean, nullable=False, server_default=text("false")),
    _details(),
    _at("created_at"),
    _changed_at(),
)
"""`approval_needed`: who makes a rollout in steps needs somebody's approval; `four_eyes`: somebody else's."""

users = Table(
    "users",
    metadata,
    _id(),
    _organization(),
    Column("email", String(254), nullable=False, unique=True),
    _text("name", 100),
    _text("role", 16, None),
    _text("password_hash", 200, None),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("invitation_hash", LargeBinary(32)),
    _at("invitation_expires_at", nullable=True),
    _details(),
    _at("created_at"),
    _changed_at(),
    Index("uq_users_invitation", "invitation_hash", unique=True),
)

clients = Table(
    "clients",
    metadata,
    _id(),
    _organization(),
    _text("name", 64),
    Column("client_id", String(64), nullable=False, unique=True),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("owner_user_id", ForeignKey("users.id", ondelete="SET NULL")),
    Column("scopes", String(500), nullable=False, server_default=EVERYTHING),
    _details(),
    _at("created_at"),
)

tokens = Table(
    "tokens",
    metadata,
    _id(Big),
    _organization(),
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
    _id(),
    _organization(),
    _text("name", 64),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    _at("created_at"),
)

products = Table(
    "products",
    metadata,
    _id(),
    _organization(index=False),
    _text("name", 100, None),
    _text("description", 1000),
    _text("time_zone", 64),
    _text("key", 32),
    Column("auto_update", Boolean, nullable=False, server_default=text("true")),
    _details(),
    _at("created_at"),
    _changed_at(),
    UniqueConstraint("organization_id", "name"),
    Index("uq_products_key", "key", unique=True),
)

devices = Table(
    "devices",
    metadata,
    _id(),
    _organization(index=False),
    Column("product_id", ForeignKey("products.id"), nullable=False),
    Column("parent_id", ForeignKey("devices.id")),
    _text("uid", 64, None),
    _text("name", 100),
    Column("token_hash", LargeBinary(32), unique=True),
    _text("broker_hash", 160),
    Column("owner_user_id", Integer, index=True),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    _text("version", 64),
    _text("build", 64),
    _text("board", 64),
    _text("fw_type", 64),
    _text("library_version", 64),
    _text("component", 8),
    _text("time_zone", 64),
    Column("auto_update", Boolean),
    Column("group_id", Integer, index=True),
    Column("attributes", Text, nullable=False, server_default="{}"),
    _at("attributes_at", nullable=True),
    _at("created_at"),
    _at("deleted_at", nullable=True),
    Index(
        "uq_devices_uid",
        "organization_id",
        "uid",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("ix_devices_product", "product_id", "id"),
    Index("ix_devices_organization", "organization_id", "id"),
    Index("ix_devices_uid", "uid", "id"),
)

groups = Table(
    "groups",
    metadata,
    _id(),
    _organization(),
    Column("uid", String(24), nullable=False, unique=True),
    _text("name", 100),
    Column("token_hash", LargeBinary(32), unique=True),
    _text("filter", 2000),
    _at("created_at"),
)
"""Devices of one organization. A group with a filter is live: those that match it. One without is fixed: those that
were put into it (`devices.group_id`, so a device is in one at most); it has a token."""

connections = Table(
    "connections",
    metadata,
    Column("device_id", ForeignKey("devices.id"), primary_key=True, autoincrement=False),
    _at("since_at"),
    _at("sent_at", nullable=True),
    _at("due_at", nullable=True),
    Index(
        "ix_connections_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)
"""Devices that are believed to listen at the broker; `due_at`: when to decide for them again, null: when it rings."""

device_seen = Table(
    "device_seen",
    metadata,
    Column("device_id", ForeignKey("devices.id"), primary_key=True, autoincrement=False),
    _at("seen_at"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    _id(),
    _organization(),
    Column("uid", String(36), nullable=False, unique=True),
    Column("path", String(120), nullable=False, unique=True),
    _text("filename", 255, None),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("md5", String(32), nullable=False),
    _text("format", 32, None),
    _text("version", 64),
    _text("build", 64),
    _text("fw_type", 64),
    _text("board", 64),
    _text("library_version", 64),
    _text("component", 8),
    Column("tagged", Boolean, nullable=False),
    _text("identity", 128),
    Column("details", Text, nullable=False, server_default="{}"),
    _at("created_at"),
)

rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    _organization(index=False),
    Column("uid", String(36), nullable=False, unique=True),
    _text("origin", 16, None),
    Column("product_id", ForeignKey("products.id"), index=True),
    Column("group_id", Integer, index=True),
    _text("title", 200, None),
    Column("description", Text, nullable=False, server_default=""),
    _details(),
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
    Column("on_conflict", String(16), nullable=False),
    _text("host", 255),
    Column("secure", Boolean, nullable=False),
    Column("needs_word", Boolean, nullable=False, server_default=text("false")),
    Column("open_ended", Boolean, nullable=False, server_default=text("false")),
    Column("approval_needed", Boolean, nullable=False, server_default=text("false")),
    Column("reevaluate_seconds", Integer, nullable=False, server_default="0"),
    _at("evaluate_at", nullable=True),
    Column("created_by_user_id", ForeignKey("users.id", ondelete="SET NULL")),
    _text("made_by", 40),
    _text("approved_by", 40),
    _at("approved_at", nullable=True),
    _at("created_at"),
    _changed_at(),
    _at("started_at", nullable=True),
    _at("finished_at", nullable=True),
    _at("deleted_at", nullable=True),
    Index("ix_rollouts_organization", "organization_id", "id"),
    Index(
        "ix_rollouts_evaluate",
        "evaluate_at",
        sqlite_where=text("evaluate_at IS NOT NULL"),
        postgresql_where=text("evaluate_at IS NOT NULL"),
    ),
)
"""`group_id`: the group it was made for; `needs_word`: no phase of a device begins before somebody has given it a slot;
`open_ended`: it is never finished, because devices may still be added; `evaluate_at`: when to look at its group again.
"""

rollout_artifacts = Table(
    "rollout_artifacts",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("artifact_id", ForeignKey("artifacts.id"), nullable=False, index=True),
    _text("filename", 255, None),
    _text("version", 64),
    _text("build", 64),
    _text("fw_type", 64),
    _text("board", 64),
    _text("library_version", 64),
    _text("component", 8),
)

deliveries = Table(
    "deliveries",
    metadata,
    _id(Big),
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
    _text("from_version", 64),
    _text("from_build", 64),
    Column("events", Integer, nullable=False, server_default="0"),
    _at("not_before", nullable=True),
    _at("tries_since", nullable=True),
    _at("deadline_at", nullable=True),
    Column("needs_word", Boolean),
    Column("own_artifacts", Boolean, nullable=False, server_default=text("false")),
    _text("slots", 200),
    _at("opens_at", nullable=True),
    _at("updated_at"),
    UniqueConstraint("rollout_id", "device_id"),
    Index(
        "ix_deliveries_members",
        "rollout_id",
        "id",
        sqlite_where=text(SQL_MEMBER),
        postgresql_where=text(SQL_MEMBER),
    ),
    Index(
        "ix_deliveries_opens",
        "opens_at",
        sqlite_where=text("opens_at IS NOT NULL"),
        postgresql_where=text("opens_at IS NOT NULL"),
    ),
    Index("ix_deliveries_device", "device_id", "rollout_id"),
    Index(
        "uq_deliveries_active",
        "device_id",
        unique=True,
        sqlite_where=text(SQL_ACTIVE),
        postgresql_where=text(SQL_ACTIVE),
    ),
    Index("ix_deliveries_open", "device_id", sqlite_where=text(SQL_OPEN), postgresql_where=text(SQL_OPEN)),
    Index(
        "ix_deliveries_deadline",
        "deadline_at",
        sqlite_where=text("deadline_at IS NOT NULL"),
        postgresql_where=text("deadline_at IS NOT NULL"),
    ),
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
    _id(Big),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    _at("at"),
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
    _at("offered_at"),
    sqlite_autoincrement=True,
)

history = Table(
    "history",
    metadata,
    _id(Big),
    Column("delivery_id", ForeignKey("deliveries.id"), nullable=False),
    Column("attempt_id", Integer),
    Column("seq", Integer),
    _at("at"),
    Column("actor", String(40), nullable=False),
    Column("event", String(24), nullable=False),
    Column("verdict", String(8), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", String(32), nullable=False, server_default=""),
    Column("message", String(500), nullable=False, server_default=""),
    Column("progress", Integer),
    # attempt_id and seq in one number (see report_key): SQLite looks up many of these, but scans for many pairs
    Column("report", BigInteger),
    Index(
        "uq_history_report",
        "report",
        unique=True,
        sqlite_where=text("report IS NOT NULL"),
        postgresql_where=text("report IS NOT NULL"),
    ),
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
    _at("updated_at"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    _id(Big),
    Column("organization_id", Integer, nullable=False),
    Column("stream", String(80), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    _at("created_at"),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _at("claimed_until", nullable=True),
    Index("ix_outbox_stream", "stream", "id"),
    Index("ix_outbox_due", "due_at", "id"),
)

webhook_destinations = Table(
    "webhook_destinations",
    metadata,
    _id(),
    _organization(),
    Column("uid", String(36), nullable=False, unique=True),
    _text("name", 100),
    _text("description", 500),
    _text("scheme", 5, None),
    _text("host", 253, None),
    Column("port", Integer, nullable=False),
    _text("path", 1000, "/"),
    _text("username", 255),
    Column("password", LargeBinary),
    Column("certificate", Text, nullable=False, server_default=""),
    Column("secret", LargeBinary),
    Column("old_secret", LargeBinary),
    _at("old_secret_until", nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    _text("created_by", 254),
    _at("created_at"),
    _text("changed_by", 254),
    _changed_at(),
    _at("deleted_at", nullable=True),
    _text("holder", 32),
    _at("held_until", nullable=True),
    sqlite_autoincrement=True,
)
"""Where messages go. `password`, `secret`, `old_secret` are sealed; the process that sends there now is its `holder`.

No id is given out twice: who was told to send to one that is no more must not send to somebody else's.
"""

webhook_messages = Table(
    "webhook_messages",
    metadata,
    _id(Big),
    Column("organization_id", Integer, nullable=False),
    Column("destination_id", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("rollout_id", Integer),
    Column("device_id", Integer),
    Column("state", String(8), nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("status", Integer),
    _text("response", 500),
    _text("trouble", 24),
    _at("created_at"),
    _at("due_at"),
    _at("sent_at", nullable=True),
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
    _at("until_at"),
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

open_delivery: ColumnElement[bool] = literal_column(_any_of("deliveries.state", _OPEN))
"""The condition of ix_deliveries_open, for queries that name the table. Untyped: as a Boolean, SQLite would be given
`... = 1`, which it does not recognize as the condition of the index."""
