"""Keys of the HTTP service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import UTCDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table of keys."""
    op.create_table(
        "api_keys",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("key_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("created_by", _NAME),
        sa.Column("expires_at", UTCDateTime),
        sa.Column("revoked_at", UTCDateTime),
        sa.Column("used_at", UTCDateTime),
    )
    op.create_index("api_keys_key_id", "api_keys", ["key_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE api_keys ALTER COLUMN ledger_id SET (n_distinct = 1)")
