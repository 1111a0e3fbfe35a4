"""Devices behind another one are found by it; who chose what a rollout carries."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_WHERE = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("chosen_by", sa.String(40), server_default="", nullable=False))
    op.create_index("ix_devices_parent", "devices", ["parent_id", "id"], sqlite_where=_WHERE, postgresql_where=_WHERE)


def downgrade() -> None:
    op.drop_index("ix_devices_parent", "devices")
    op.drop_column("rollouts", "chosen_by")
