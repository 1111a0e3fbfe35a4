"""Rollouts that are made in steps: approved, started and held, with devices added one by one.

Columns are added in place, never by copying a table: on SQLite a copy would drop the old one, and what refers to it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _new() -> dict[str, list[sa.Column[Any]]]:
    """A column can be added to one table once."""
    return {
        "organizations": [
            sa.Column("approval_needed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("four_eyes", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        ],
        "artifacts": [
            sa.Column("description", sa.String(128), server_default="", nullable=False),
            sa.Column("made_by", sa.String(40), server_default="", nullable=False),
        ],
        "rollouts": [
            sa.Column("description", sa.Text(), server_default="", nullable=False),
            sa.Column("details", sa.Text(), server_default="{}", nullable=False),
            sa.Column("needs_word", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("open_ended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("announces", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("approval_needed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("follows_group_id", sa.Integer()),
            sa.Column("reevaluate_seconds", sa.Integer(), server_default="0", nullable=False),
            sa.Column("evaluate_at", sa.BigInteger()),
            sa.Column("made_by", sa.String(40), server_default="", nullable=False),
            sa.Column("approved_by", sa.String(40), server_default="", nullable=False),
            sa.Column("approved_at", sa.BigInteger()),
            sa.Column("changed_at", sa.BigInteger(), server_default="0", nullable=False),
        ],
        "deliveries": [
            sa.Column("needs_word", sa.Boolean()),
            sa.Column("own_artifacts", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("slots", sa.String(200), server_default="", nullable=False),
            sa.Column("opens_at", sa.BigInteger()),
        ],
    }


_INDEXES = {
    "ix_rollouts_evaluate": ("rollouts", ["evaluate_at"], "evaluate_at IS NOT NULL"),
    "ix_deliveries_members": ("deliveries", ["rollout_id", "id"], "reason <> 'taken_out'"),
    "ix_deliveries_opens": ("deliveries", ["opens_at"], "opens_at IS NOT NULL"),
}


def upgrade() -> None:
    for table, columns in _new().items():
        for column in columns:
            op.add_column(table, column)
    for name, (table, indexed, where) in _INDEXES.items():
        op.create_index(name, table, indexed, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    _product(nullable=True)
    op.create_table(
        "delivery_artifacts",
        sa.Column("delivery_id", _BIG, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("artifact_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["artifacts.id"], name=op.f("fk_delivery_artifacts_artifact_id_artifacts")
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_artifacts_delivery_id_deliveries")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "position", name=op.f("pk_delivery_artifacts")),
    )
    op.create_index("ix_delivery_artifacts_artifact_id", "delivery_artifacts", ["artifact_id"])
    op.create_table(
        "delivery_bytes",
        sa.Column("delivery_id", _BIG, autoincrement=False, nullable=False),
        sa.Column("artifact_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_bytes_delivery_id_deliveries")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "artifact_id", name=op.f("pk_delivery_bytes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "delivery_lines",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("delivery_id", _BIG, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.String(500), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_lines_delivery_id_deliveries")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_lines")),
    )
    op.create_index("ix_delivery_lines", "delivery_lines", ["delivery_id", "id"])
    op.create_table(
        "rollout_callbacks",
        sa.Column("rollout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("states", sa.Text(), server_default="[]", nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_callbacks_rollout_id_rollouts")),
        sa.PrimaryKeyConstraint("rollout_id", "kind", name=op.f("pk_rollout_callbacks")),
    )


def downgrade() -> None:
    for table in ("rollout_callbacks", "delivery_lines", "delivery_bytes", "delivery_artifacts"):
        op.drop_table(table)
    _product(nullable=False)
    for name, (table, _indexed, _where) in _INDEXES.items():
        op.drop_index(name, table)
    for table, columns in _new().items():
        for column in columns:
            op.drop_column(table, column.name)


def _product(*, nullable: bool) -> None:
    """Let a rollout be of no product. SQLite has no statement for it: its manual (ALTER TABLE, section 7) has this way
    for what changes nothing in the rows.
    """
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("rollouts", "product_id", nullable=nullable)
        return
    strict, loose = "product_id INTEGER NOT NULL", "product_id INTEGER"
    old, new = (strict, loose) if nullable else (loose, strict)
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = op.get_bind().exec_driver_sql(
        "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'rollouts'", (old, new)
    )
    if changed.rowcount != 1:
        raise RuntimeError("the table of rollouts is not there")
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")
