"""Groups of devices.

Columns are added in place, never by copying a table: on SQLite a copy would drop the old one, and what refers to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(24), nullable=False),
        sa.Column("name", sa.String(100), server_default="", nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32)),
        sa.Column("filter", sa.String(2000), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_groups_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_groups_token_hash")),
        sa.UniqueConstraint("uid", name=op.f("uq_groups_uid")),
    )
    op.create_index("ix_groups_organization_id", "groups", ["organization_id"])
    for table in ("devices", "rollouts"):
        op.add_column(table, sa.Column("group_id", sa.Integer()))
    op.create_index("ix_devices_group_id", "devices", ["group_id"])
    op.create_index("ix_rollouts_group", "rollouts", ["group_id", "id"])
    op.create_index("ix_devices_uid", "devices", ["uid", "id"])


def downgrade() -> None:
    op.drop_index("ix_devices_uid", "devices")
    op.drop_index("ix_rollouts_group", "rollouts")
    op.drop_index("ix_devices_group_id", "devices")
    for table in ("devices", "rollouts"):
        op.drop_column(table, "group_id")
    op.drop_table("groups")
