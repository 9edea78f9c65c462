"""The ledger core."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from execution_ledger.infrastructure.types import JsonText, UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_STATUSES = (
    "pending", "preparing", "running", "waiting_for_approval", "stopping",
    "stopped", "completed", "failed", "rejected", "cancelled",
)  # fmt: skip
_TERMINAL = ("stopped", "completed", "failed", "rejected", "cancelled")

_POSTGRESQL_GUARD = (
    """
CREATE FUNCTION execution_events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'execution_events is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER execution_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON execution_events
FOR EACH STATEMENT EXECUTE FUNCTION execution_events_refuse_change()
""",
)
_SQLITE_GUARD = (
    """
CREATE TRIGGER execution_events_no_update BEFORE UPDATE ON execution_events
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: UPDATE refused'); END
""",
    """
CREATE TRIGGER execution_events_no_delete BEFORE DELETE ON execution_events
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: DELETE refused'); END
""",
    """
CREATE TRIGGER execution_events_no_replace BEFORE INSERT ON execution_events
WHEN EXISTS (
    SELECT 1 FROM execution_events e WHERE e.ledger_id = NEW.ledger_id
    AND (e.position = NEW.position OR (e.execution_id = NEW.execution_id AND e.version = NEW.version))
) OR EXISTS (SELECT 1 FROM execution_events e WHERE e.rowid = NEW.rowid)
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: REPLACE refused'); END
""",
)


def upgrade() -> None:
    """Create the tables of the ledger core."""
    _ledgers()
    _streams()
    _steps()
    _events()
    _receipts()
    _history()


def _key(name: str, kind: sa.types.TypeEngine = sa.BigInteger()) -> sa.Column:  # noqa: B008 (a type has no state)
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _quoted(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _ledgers() -> None:
    counters = ("size", "last_id", "executions", *_STATUSES)
    op.create_table(
        "ledgers",
        _key("ledger_id", _NAME),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0")) for name in counters),
        sa.Column("created_at", UTCDateTime, nullable=False),
        postgresql_with={"fillfactor": 20},
    )


def _streams() -> None:
    op.create_table(
        "execution_streams",
        _key("ledger_id", _NAME),
        _key("execution_id", sa.Uuid()),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("job_id", _NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text),
        sa.Column("started_at", UTCDateTime),
        sa.Column("last_recorded_at", UTCDateTime, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.UniqueConstraint("ledger_id", "id", name="execution_streams_id_key"),
        sa.UniqueConstraint("ledger_id", "job_id", name="execution_streams_job_id_key"),
        postgresql_with={"fillfactor": 80},
    )


def _steps() -> None:
    op.create_table(
        "execution_steps",
        _key("ledger_id", _NAME),
        _key("execution_id", sa.Uuid()),
        _key("step_id", _NAME),
        sa.Column("parent_step_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text),
        sa.Column("started_at", UTCDateTime, nullable=False),
        sa.Column("finished_at", UTCDateTime),
        sa.Column("outcome", sa.Text),
        postgresql_with={"fillfactor": 80},
    )


def _events() -> None:
    table = "execution_events"
    op.create_table(
        table,
        _key("ledger_id", _NAME),
        _key("position"),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("type", _NAME, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("data", sa.Text),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("payload_digest", sa.LargeBinary, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", UTCDateTime, nullable=False),
        sa.Column("occurred_at", UTCDateTime),
        sa.Column("actor", _NAME),
        sa.Column("reason", sa.Text),
        sa.Column("correlation_id", _NAME),
        sa.Column("causation_id", sa.Text),
        sa.Column("trace_id", _NAME),
        sa.Column("command_id", sa.Text),
        sa.UniqueConstraint("ledger_id", "execution_id", "version", name="execution_events_version_key"),
    )
    op.create_index(f"{table}_type", table, ["ledger_id", "type", "position"])
    op.create_index(f"{table}_recorded_at", table, ["ledger_id", "recorded_at", "position"])
    for column in ("actor", "correlation_id", "trace_id"):
        where = sa.text(f"{column} IS NOT NULL")
        columns = ["ledger_id", column, "position"]
        op.create_index(f"{table}_{column}", table, columns, postgresql_where=where, sqlite_where=where)
    guard = _SQLITE_GUARD if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_GUARD
    for statement in guard:
        op.execute(statement)


def _receipts() -> None:
    op.create_table(
        "command_receipts",
        _key("ledger_id", _NAME),
        _key("command_id", _NAME),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("first_position", sa.BigInteger),
        sa.Column("event_count", sa.Integer, nullable=False),
        sa.Column("outcome", JsonText, nullable=False),
        sa.Column("recorded_at", UTCDateTime, nullable=False),
    )
    op.create_index("command_receipts_recorded_at", "command_receipts", ["ledger_id", "recorded_at"])


def _history() -> None:
    table = "execution_history"
    op.create_table(
        table,
        _key("ledger_id", _NAME),
        _key("id"),
        sa.Column("job_id", _NAME, nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("inputs", JsonText),
        sa.Column("result", JsonText),
        sa.Column("error", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("run_name", _NAME),
        sa.Column("trigger_type", sa.Text),
        sa.Column("execution_type", sa.Text),
        sa.Column("parent_job_id", _NAME),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Double),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("started_at", UTCDateTime),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("completed_at", UTCDateTime),
        sa.Column("stop_reason", sa.Text),
        sa.Column("stop_requested_by", sa.Text),
        sa.Column("partial_results", JsonText),
        sa.Column("late_outcome", JsonText),
        sa.Column("group_email", _NAME),
        sa.Column("attributes", JsonText),
        sa.UniqueConstraint("ledger_id", "job_id", name="execution_history_job_id_key"),
        sa.CheckConstraint(f"status IN ({_quoted(_STATUSES)})", name="execution_history_status"),
        sa.CheckConstraint(
            f"(completed_at IS NOT NULL) = (status IN ({_quoted(_TERMINAL)}))", name="execution_history_completed_at"
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(f"{table}_created_at", table, ["ledger_id", "created_at", "id"])
    op.create_index(f"{table}_status_created_at", table, ["ledger_id", "status", "created_at", "id"])
    op.create_index(f"{table}_run_name", table, ["ledger_id", "run_name"])
    where = sa.text("parent_job_id IS NOT NULL")
    op.create_index(
        f"{table}_parent_job_id", table, ["ledger_id", "parent_job_id"], postgresql_where=where, sqlite_where=where
    )
    if op.get_bind().dialect.name == "postgresql":
        expression = sa.text("(attributes::jsonb) jsonb_path_ops")
        op.create_index(f"{table}_attributes", table, [expression], postgresql_using="gin")
        for each in ("execution_streams", "execution_steps", "execution_events", "command_receipts", table):
            op.execute(f"ALTER TABLE {each} ALTER COLUMN ledger_id SET (n_distinct = 1)")
