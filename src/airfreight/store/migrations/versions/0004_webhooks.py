"""Webhooks: destinations, and the messages to them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_destinations",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(100), server_default="", nullable=False),
        sa.Column("description", sa.String(500), server_default="", nullable=False),
        sa.Column("scheme", sa.String(5), nullable=False),
        sa.Column("host", sa.String(253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(1000), server_default="/", nullable=False),
        sa.Column("username", sa.String(255), server_default="", nullable=False),
        sa.Column("password", sa.LargeBinary()),
        sa.Column("certificate", sa.Text(), server_default="", nullable=False),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("old_secret", sa.LargeBinary()),
        sa.Column("old_secret_until", sa.BigInteger()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_by", sa.String(254), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(254), server_default="", nullable=False),
        sa.Column("changed_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.Column("holder", sa.String(32), server_default="", nullable=False),
        sa.Column("held_until", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_webhook_destinations_organization_id_organizations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_destinations")),
        sa.UniqueConstraint("uid", name=op.f("uq_webhook_destinations_uid")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_destinations_organization_id", "webhook_destinations", ["organization_id"])
    op.create_table(
        "webhook_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("rollout_id", sa.Integer()),
        sa.Column("device_id", sa.Integer()),
        sa.Column("state", sa.String(8), server_default="waiting", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("response", sa.String(500), server_default="", nullable=False),
        sa.Column("trouble", sa.String(24), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_messages")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_messages_line", "webhook_messages", ["state", "destination_id", "id"])
    op.create_index("ix_webhook_messages_log", "webhook_messages", ["destination_id", "id"])


def downgrade() -> None:
    op.drop_table("webhook_messages")
    op.drop_table("webhook_destinations")
