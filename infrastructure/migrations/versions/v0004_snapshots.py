"""Snapshots of long runs: which version set each column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table of snapshots."""
    op.create_table(
        "execution_snapshots",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("execution_id", sa.Uuid(), primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("shapes", sa.Text, nullable=False),
        sa.Column("sources", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("earliest_at", UTCDateTime, nullable=False),
        sa.Column("latest_at", UTCDateTime, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE execution_snapshots ALTER COLUMN ledger_id SET (n_distinct = 1)")
