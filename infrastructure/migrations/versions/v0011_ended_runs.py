"""Runs by when they ended: an index of the history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    where = sa.text("completed_at IS NOT NULL")
    op.create_index(
        "execution_history_completed_at",
        "execution_history",
        ["ledger_id", "completed_at", "id"],
        postgresql_where=where,
        sqlite_where=where,
    )
