"""Rebuilds of projections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table of rebuilds."""
    op.create_table(
        "projection_rebuilds",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("projection", _NAME, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("done_id", sa.BigInteger, nullable=False),
        sa.Column("earlier_position", sa.BigInteger),
        sa.Column("updated_at", UTCDateTime, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE projection_rebuilds ALTER COLUMN ledger_id SET (n_distinct = 1)")
