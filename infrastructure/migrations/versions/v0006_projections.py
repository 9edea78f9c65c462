"""How far projections have read, and what they leave out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the two tables of the projection engine."""
    op.create_table(
        "projection_checkpoints",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("projection", _NAME, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("failed_position", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("failed_at", UTCDateTime),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "quarantined_executions",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("projection", _NAME, primary_key=True, autoincrement=False),
        sa.Column("execution_id", sa.Uuid(), primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("quarantined_at", UTCDateTime, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in ("projection_checkpoints", "quarantined_executions"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN ledger_id SET (n_distinct = 1)")
