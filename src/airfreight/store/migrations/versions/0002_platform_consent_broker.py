"""Platform details, scopes, consent, the broker.

Columns are added in place, never by copying a table: on SQLite a copy would drop the old one, and what refers to it.
"""

import secrets
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str, length: int, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.String(length), server_default=default, nullable=False)


def _details() -> sa.Column[str]:
    return sa.Column("details", sa.Text(), server_default="{}", nullable=False)


def _changed_at() -> sa.Column[int]:
    return sa.Column("changed_at", sa.BigInteger(), server_default="0", nullable=False)


_ADDED: dict[str, Callable[[], list[sa.Column[Any]]]] = {
    "organizations": lambda: [_details(), _changed_at()],
    "users": lambda: [
        _text("status", 16, "active"),
        sa.Column("invitation_hash", sa.LargeBinary(32)),
        sa.Column("invitation_expires_at", sa.BigInteger()),
        _details(),
        _changed_at(),
    ],
    "clients": lambda: [_text("scopes", 500, "*"), _details()],
    "tokens": lambda: [_text("scopes", 500, "*")],
    "products": lambda: [
        _text("key", 32),
        sa.Column("auto_update", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _details(),
        _changed_at(),
    ],
    "devices": lambda: [
        _text("broker_hash", 160),
        _text("component", 8),
        sa.Column("auto_update", sa.Boolean()),
        sa.Column("owner_user_id", sa.Integer()),
    ],
    "rollout_artifacts": lambda: [_text("component", 8)],
    "deliveries": lambda: [
        sa.Column("consented", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    ],
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns():
            op.add_column(table, column)
    op.create_index("uq_users_invitation", "users", ["invitation_hash"], unique=True)
    op.create_index("ix_devices_owner_user_id", "devices", ["owner_user_id"])
    _name_products()
    op.execute(
        "UPDATE rollout_artifacts SET component = coalesce((SELECT component FROM artifacts "
        "WHERE artifacts.id = rollout_artifacts.artifact_id AND artifacts.tagged), '')"
    )
    op.create_index("uq_products_key", "products", ["key"], unique=True)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "connections",
        sa.Column("device_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name=op.f("fk_connections_device_id_devices")),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_connections")),
    )
    op.create_index(
        "ix_connections_due",
        "connections",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.execute("INSERT INTO signals (name, seq) VALUES ('devices', 0)")


def _name_products() -> None:
    """Every product that is there gets a key."""
    products = sa.table("products", sa.column("id", sa.Integer), sa.column("key", sa.String))
    connection = op.get_bind()
    for product_id in connection.execute(sa.select(products.c.id)).scalars().all():
        key = f"TMPL{secrets.token_hex(6)}"
        connection.execute(sa.update(products).where(products.c.id == product_id).values(key=key))


def downgrade() -> None:
    op.execute("DELETE FROM signals WHERE name = 'devices'")
    op.drop_table("connections")
    op.drop_table("leases")
    for index, table in (
        ("uq_users_invitation", "users"),
        ("ix_devices_owner_user_id", "devices"),
        ("uq_products_key", "products"),
    ):
        op.drop_index(index, table)
    for table, columns in _ADDED.items():
        for column in columns():
            op.drop_column(table, column.name)
