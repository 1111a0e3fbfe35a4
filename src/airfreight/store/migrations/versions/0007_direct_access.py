"""Devices that come in by their organization's name; words of their users; urgency, early downloads, SHA-1."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _no() -> Any:  # noqa: ANN401 - a column's default
    return sa.text("false")


def _new() -> dict[str, list[sa.Column[Any]]]:
    """A column can be added to one table once."""
    return {
        "organizations": [sa.Column("confirmation_needed", sa.Boolean(), server_default=_no(), nullable=False)],
        "products": [
            sa.Column("part", sa.String(32), server_default="application", nullable=False),
            sa.Column("one_part", sa.Boolean(), server_default=_no(), nullable=False),
        ],
        "devices": [
            sa.Column("asked_at", sa.BigInteger()),
            sa.Column("standing_consent", sa.Text(), server_default="", nullable=False),
        ],
        "artifacts": [sa.Column("sha1", sa.String(40), server_default="", nullable=False)],
        "rollouts": [
            sa.Column("urgency", sa.String(8), server_default="forced", nullable=False),
            sa.Column("forced_at", sa.BigInteger()),
            sa.Column("early_download", sa.Boolean(), server_default=_no(), nullable=False),
        ],
        "attempts": [sa.Column("taken_at", sa.BigInteger())],
    }


def upgrade() -> None:
    for table, columns in _new().items():
        for column in columns:
            op.add_column(table, column)
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("devices", "uid", type_=sa.String(256))
    op.create_table(
        "direct_access",
        sa.Column("organization_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(32)),
        sa.Column("product_id", sa.Integer()),
        sa.Column("authorities", sa.Text(), server_default="[]", nullable=False),
        sa.Column("polling", sa.String(1000), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_direct_access_organization_id_organizations"
        ),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_direct_access_product_id_products"),
        sa.PrimaryKeyConstraint("organization_id", name="pk_direct_access"),
        sa.UniqueConstraint("name", name="uq_direct_access_name"),
    )
    # to whom something is offered now, that was told at once
    op.execute(
        "UPDATE attempts SET taken_at = offered_at "
        "WHERE id IN (SELECT attempt_id FROM deliveries WHERE state = 'offered')"
    )
    op.execute(
        "INSERT INTO direct_access (organization_id, name) "
        "SELECT MIN(id), 'DEFAULT' FROM organizations WHERE parent_id IS NULL HAVING MIN(id) IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("direct_access")
    for table, columns in _new().items():
        for column in columns:
            op.drop_column(table, column.name)
