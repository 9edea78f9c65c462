"""Webhooks: where events are sent, and those that were not taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "webhook_endpoints",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("endpoint_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("earlier_secret", sa.Text),
        sa.Column("earlier_secret_until", UTCDateTime),
        sa.Column("enabled", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("created_by", _NAME),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_try_at", UTCDateTime),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.Text),
        sa.Column("last_failed_at", UTCDateTime),
        sa.Column("delivered_at", UTCDateTime),
        sa.Column("claim", sa.Text),
        sa.Column("claimed_until", UTCDateTime, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "webhook_dead_letters",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("endpoint_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("response", sa.Text),
        sa.Column("failed_at", UTCDateTime, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in ("webhook_endpoints", "webhook_dead_letters"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN ledger_id SET (n_distinct = 1)")
