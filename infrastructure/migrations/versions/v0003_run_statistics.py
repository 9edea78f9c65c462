"""Run statistics: a fact of each execution, and the counts and sketches made of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the two tables of the statistics."""
    op.create_table(
        "run_facts",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("execution_id", sa.Uuid(), primary_key=True, autoincrement=False),
        sa.Column("job_id", _NAME, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("run_name", _NAME, nullable=False),
        sa.Column("execution_type", _NAME, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("late", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Integer, nullable=False),
        sa.Column("error", _NAME, nullable=False),
        postgresql_with={"fillfactor": 80},
    )
    for name, condition in (("run_facts_ended", "outcome <> ''"), ("run_facts_failed", "outcome = 'failed'")):
        where = sa.text(condition)
        op.create_index(name, "run_facts", ["ledger_id", "ended"], postgresql_where=where, sqlite_where=where)
    op.create_table(
        "run_statistics",
        sa.Column("ledger_id", _NAME, primary_key=True, autoincrement=False),
        sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("run_name", _NAME, primary_key=True, autoincrement=False),
        sa.Column("execution_type", _NAME, primary_key=True, autoincrement=False),
        sa.Column("outcome", _NAME, primary_key=True, autoincrement=False),
        sa.Column("runs", sa.BigInteger, nullable=False),
        sa.Column("late", sa.BigInteger, nullable=False),
        sa.Column("durations", sa.Text, nullable=False),
        sa.Column("queue_times", sa.Text, nullable=False),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("run_statistics_run_name", "run_statistics", ["ledger_id", "run_name", "hour"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE run_facts ALTER COLUMN ledger_id SET (n_distinct = 1)")
        op.execute("ALTER TABLE run_statistics ALTER COLUMN ledger_id SET (n_distinct = 1)")
