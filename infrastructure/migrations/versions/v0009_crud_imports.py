"""Imports of tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table of imports."""
    op.create_table(
        "crud_imports",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("source", _NAME, primary_key=True, autoincrement=False),
        sa.Column("salt_key", sa.LargeBinary),
        sa.Column("recorded_at", UTCDateTime, nullable=False),
        sa.Column("done_id", sa.BigInteger),
        sa.Column("finished_at", UTCDateTime),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE crud_imports ALTER COLUMN ledger_id SET (n_distinct = 1)")
