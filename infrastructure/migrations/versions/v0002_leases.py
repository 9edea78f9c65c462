"""Leases, and their fencing token on the stream."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table of leases."""
    op.add_column(
        "execution_streams", sa.Column("lease_token", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "execution_leases",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("execution_id", sa.Uuid(), primary_key=True, autoincrement=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("taken_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE execution_leases ALTER COLUMN ledger_id SET (n_distinct = 1)")
