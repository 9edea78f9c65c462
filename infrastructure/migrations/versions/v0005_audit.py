"""Audit: the times in each block of positions, and an index of the statuses that a type does not tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_STATUS = {"postgresql": "data::json ->> 'status'", "sqlite": "json_extract(data, '$.status')"}


def upgrade() -> None:
    """Add the table and the index."""
    op.create_table(
        "execution_time_marks",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("recorded_earliest", UTCDateTime, nullable=False),
        sa.Column("recorded_latest", UTCDateTime, nullable=False),
        sa.Column("occurred_earliest", UTCDateTime, nullable=False),
        sa.Column("occurred_latest", UTCDateTime, nullable=False),
    )
    status = _STATUS[op.get_bind().dialect.name]
    where = sa.text(f"type IN ('execution.created', 'execution.corrected') AND ({status}) <> 'pending'")
    op.create_index(
        "execution_events_status",
        "execution_events",
        ["ledger_id", sa.text(f"({status})"), "position"],
        postgresql_where=where,
        sqlite_where=where,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE execution_time_marks ALTER COLUMN ledger_id SET (n_distinct = 1)")
