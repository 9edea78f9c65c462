"""The tables. Their names are part of the contract; every key contains `ledger_id`, so a cluster can distribute them.

No foreign keys: a check against the head row would lock it, and the append writes all of these in one statement anyway.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ..domain.status import TERMINAL, ExecutionStatus
from .types import JsonText, UTCDateTime

STATUSES: tuple[str, ...] = tuple(status.value for status in ExecutionStatus)

metadata = MetaData()

# Names compare byte by byte on both databases, so that a prefix is a range of the index whatever the database's locale.
Name = Text().with_variant(Text(collation="C"), "postgresql")


class Base(DeclarativeBase):
    """Base of the mapped tables."""

    metadata = metadata


def _key(name: str, kind: Any = BigInteger) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


ledgers = Table(
    "ledgers",
    metadata,
    _key("ledger_id", Name),
    Column("size", BigInteger, nullable=False, server_default=text("0")),
    Column("last_id", BigInteger, nullable=False, server_default=text("0")),
    Column("executions", BigInteger, nullable=False, server_default=text("0")),
    *(Column(status, BigInteger, nullable=False, server_default=text("0")) for status in STATUSES),
    Column("created_at", UTCDateTime, nullable=False),
    # The one hot row of a ledger: room on its page keeps its updates on it (HOT).
    postgresql_with={"fillfactor": 20},
)
"""The heads."""

execution_streams = Table(
    "execution_streams",
    metadata,
    _key("ledger_id", Name),
    _key("execution_id", Uuid()),
    Column("id", BigInteger, nullable=False),
    Column("job_id", Name, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("status", Text),
    Column("started_at", UTCDateTime),
    Column("last_recorded_at", UTCDateTime, nullable=False),
    Column("deleted", Boolean(create_constraint=False), nullable=False),
    Column("lease_token", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("ledger_id", "id", name="execution_streams_id_key"),
    UniqueConstraint("ledger_id", "job_id", name="execution_streams_job_id_key"),
    postgresql_with={"fillfactor": 80},
)
"""The command side: guard and lock of each execution's writes."""

execution_leases = Table(
    "execution_leases",
    metadata,
    _key("ledger_id", Name),
    _key("execution_id", Uuid()),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("taken_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    # No index on the expiry, which changes all the time: so a renewal stays on its page (HOT), and the rows are few.
    postgresql_with={"fillfactor": 50},
)
"""Who works on an execution, and until when; renewed without an event. Its token also stands on the stream."""

execution_steps = Table(
    "execution_steps",
    metadata,
    _key("ledger_id", Name),
    _key("execution_id", Uuid()),
    _key("step_id", Name),
    Column("parent_step_id", Text),
    Column("name", Text, nullable=False),
    Column("kind", Text),
    Column("started_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    Column("outcome", Text),
    postgresql_with={"fillfactor": 80},
)
"""Steps by key, so that their rules are point reads."""

STATUS_IN_DATA = {"postgresql": "data::json ->> 'status'", "sqlite": "json_extract(data, '$.status')"}
"""The status that an event sets, in SQL, word for word as the index has it."""


def status_told(status: str) -> str:
    """Which events tell by their payload alone, and not by their type, that a status was reached.

    Without `pending`: nearly every execution begins so, and whoever looks for that reads the events `created`.
    """
    return f"type IN ('execution.created', 'execution.corrected') AND ({status}) <> 'pending'"


execution_events = Table(
    "execution_events",
    metadata,
    _key("ledger_id", Name),
    _key("position"),
    Column("execution_id", Uuid(), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("type", Name, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("data", Text),
    Column("salt", LargeBinary),
    Column("payload_digest", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("recorded_at", UTCDateTime, nullable=False),
    Column("occurred_at", UTCDateTime),
    Column("actor", Name),
    Column("reason", Text),
    Column("correlation_id", Name),
    Column("causation_id", Text),
    Column("trace_id", Name),
    Column("command_id", Text),
    UniqueConstraint("ledger_id", "execution_id", "version", name="execution_events_version_key"),
    Index("execution_events_type", "ledger_id", "type", "position"),
    Index("execution_events_recorded_at", "ledger_id", "recorded_at", "position"),
    *(
        Index(
            f"execution_events_{column}",
            "ledger_id",
            column,
            "position",
            postgresql_where=text(f"{column} IS NOT NULL"),
            sqlite_where=text(f"{column} IS NOT NULL"),
        )
        for column in ("actor", "correlation_id", "trace_id")
    ),
    *(
        Index(
            "execution_events_status",
            "ledger_id",
            text(f"({status})"),
            "position",
            postgresql_where=text(status_told(status)),
            sqlite_where=text(status_told(status)),
        ).ddl_if(dialect=dialect)
        for dialect, status in STATUS_IN_DATA.items()
    ),
)
"""The ledger itself."""

execution_time_marks = Table(
    "execution_time_marks",
    metadata,
    _key("ledger_id", Name),
    _key("block"),
    Column("recorded_earliest", UTCDateTime, nullable=False),
    Column("recorded_latest", UTCDateTime, nullable=False),
    Column("occurred_earliest", UTCDateTime, nullable=False),
    Column("occurred_latest", UTCDateTime, nullable=False),
)
"""The times in each full block of positions: they turn a range of time into one of positions. Derived."""

execution_snapshots = Table(
    "execution_snapshots",
    metadata,
    _key("ledger_id", Name),
    _key("execution_id", Uuid()),
    _key("version"),
    Column("shapes", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("earliest_at", UTCDateTime, nullable=False),
    Column("latest_at", UTCDateTime, nullable=False),
)
"""Which version set each column, every so many versions of a long run. Derived: without it, reads only take longer."""

command_receipts = Table(
    "command_receipts",
    metadata,
    _key("ledger_id", Name),
    _key("command_id", Name),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("first_position", BigInteger),
    Column("event_count", Integer, nullable=False),
    Column("outcome", JsonText, nullable=False),
    Column("recorded_at", UTCDateTime, nullable=False),
    Index("command_receipts_recorded_at", "ledger_id", "recorded_at"),
)
"""What became of each command that carried an id."""

run_facts = Table(
    "run_facts",
    metadata,
    _key("ledger_id", Name),
    _key("execution_id", Uuid()),
    Column("job_id", Name, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("run_name", Name, nullable=False),
    Column("execution_type", Name, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    # Microseconds since 1970, 0 for none: integers subtract and divide alike on both databases.
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("outcome", Name, nullable=False),
    Column("late", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("error", Name, nullable=False),
    Index(
        "run_facts_ended",
        "ledger_id",
        "ended",
        postgresql_where=text("outcome <> ''"),
        sqlite_where=text("outcome <> ''"),
    ),
    Index(
        "run_facts_failed",
        "ledger_id",
        "ended",
        postgresql_where=text("outcome = 'failed'"),
        sqlite_where=text("outcome = 'failed'"),
    ),
    postgresql_with={"fillfactor": 80},
)
"""What the statistics must know of each execution to take back what it added to them; empty texts and 0 for none."""

run_statistics = Table(
    "run_statistics",
    metadata,
    _key("ledger_id", Name),
    _key("span", Integer),
    _key("hour"),
    _key("run_name", Name),
    _key("execution_type", Name),
    _key("outcome", Name),
    Column("runs", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("durations", Text, nullable=False),
    Column("queue_times", Text, nullable=False),
    Index("run_statistics_run_name", "ledger_id", "run_name", "hour"),
    postgresql_with={"fillfactor": 80},
)
"""The runs that ended in `span` hours from `hour` on (counted since 1970, UTC): each by name in one hour, and without
its name in one day. Sketches of their times are JSON: buckets to counts.
"""


projection_checkpoints = Table(
    "projection_checkpoints",
    metadata,
    _key("ledger_id", Name),
    _key("projection", Name),
    Column("position", BigInteger, nullable=False),
    Column("failed_position", BigInteger),
    Column("error", Text),
    Column("failed_at", UTCDateTime),
    Column("updated_at", UTCDateTime, nullable=False),
    postgresql_with={"fillfactor": 50},
)
"""How far each projection has read each ledger, and where it stopped. Its row is the lock of whoever projects."""

quarantined_executions = Table(
    "quarantined_executions",
    metadata,
    _key("ledger_id", Name),
    _key("projection", Name),
    _key("execution_id", Uuid()),
    Column("position", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("quarantined_at", UTCDateTime, nullable=False),
)
"""Executions that a projection leaves out since an event of theirs failed, and that event's position."""


projection_rebuilds = Table(
    "projection_rebuilds",
    metadata,
    _key("ledger_id", Name),
    _key("projection", Name),
    Column("owner", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("done_id", BigInteger, nullable=False),
    Column("earlier_position", BigInteger),
    Column("updated_at", UTCDateTime, nullable=False),
)
"""Rebuilds that are under way, or were swapped in and can still be rolled back."""


api_keys = Table(
    "api_keys",
    metadata,
    _key("ledger_id", Name),
    _key("key_id", Name),
    Column("digest", LargeBinary, nullable=False),
    Column("name", Name, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("created_by", Name),
    Column("expires_at", UTCDateTime),
    Column("revoked_at", UTCDateTime),
    Column("used_at", UTCDateTime),
    Index("api_keys_key_id", "key_id"),  # not unique: a cluster could not hold that across its nodes
)
"""Keys of the HTTP service: never the secret, only its digest."""


crud_imports = Table(
    "crud_imports",
    metadata,
    _key("ledger_id", Name),
    _key("source", Name),
    Column("salt_key", LargeBinary),
    Column("recorded_at", UTCDateTime, nullable=False),
    Column("done_id", BigInteger),
    Column("finished_at", UTCDateTime),
)
"""Imports of tables: what one that was cut short needs to go on as if it had not been. The salts' key is forgotten at
the end.
"""


webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    _key("ledger_id", Name),
    _key("endpoint_id", Name),
    Column("url", Text, nullable=False),
    Column("types", Text),
    Column("description", Text),
    Column("secret", Text, nullable=False),
    Column("earlier_secret", Text),
    Column("earlier_secret_until", UTCDateTime),
    Column("enabled", Boolean(create_constraint=False), nullable=False),
    Column("disabled_reason", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("created_by", Name),
    Column("position", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_try_at", UTCDateTime),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("last_failed_at", UTCDateTime),
    Column("delivered_at", UTCDateTime),
    Column("claim", Text),
    Column("claimed_until", UTCDateTime, nullable=False),
    postgresql_with={"fillfactor": 50},
)
"""Where events are sent, and how far. A signature needs the secret itself, so it is kept as it is."""

webhook_dead_letters = Table(
    "webhook_dead_letters",
    metadata,
    _key("ledger_id", Name),
    _key("endpoint_id", Name),
    _key("position"),
    Column("tries", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("response", Text),
    Column("failed_at", UTCDateTime, nullable=False),
)
"""Events that an endpoint did not take however often they were sent."""


def _quoted(values: Any) -> str:
    return ", ".join(f"'{value}'" for value in values)


_TERMINAL = _quoted(status for status in STATUSES if status in TERMINAL)


class ExecutionHistory(Base):
    """The projected row of one execution: what readers see. The repository returns it detached and always fresh."""

    __tablename__ = "execution_history"

    ledger_id: Mapped[str] = mapped_column(Name, primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    job_id: Mapped[str] = mapped_column(Name)
    execution_id: Mapped[UUID] = mapped_column(Uuid())
    version: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    inputs: Mapped[Any | None] = mapped_column(JsonText)
    result: Mapped[Any | None] = mapped_column(JsonText)
    error: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    run_name: Mapped[str | None] = mapped_column(Name)
    trigger_type: Mapped[str | None] = mapped_column(Text)
    execution_type: Mapped[str | None] = mapped_column(Text)
    parent_job_id: Mapped[str | None] = mapped_column(Name)
    attempt: Mapped[int] = mapped_column(BigInteger)
    progress: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    stop_reason: Mapped[str | None] = mapped_column(Text)
    stop_requested_by: Mapped[str | None] = mapped_column(Text)
    partial_results: Mapped[Any | None] = mapped_column(JsonText)
    late_outcome: Mapped[Any | None] = mapped_column(JsonText)
    group_email: Mapped[str | None] = mapped_column(Name)
    attributes: Mapped[dict[str, Any] | None] = mapped_column(JsonText)

    __table_args__ = (
        UniqueConstraint("ledger_id", "job_id", name="execution_history_job_id_key"),
        CheckConstraint(f"status IN ({_quoted(STATUSES)})", name="execution_history_status"),
        CheckConstraint(
            f"(completed_at IS NOT NULL) = (status IN ({_TERMINAL}))", name="execution_history_completed_at"
        ),
        Index("execution_history_created_at", "ledger_id", "created_at", "id"),
        Index("execution_history_status_created_at", "ledger_id", "status", "created_at", "id"),
        Index(
            "execution_history_completed_at",
            "ledger_id",
            "completed_at",
            "id",
            postgresql_where=text("completed_at IS NOT NULL"),
            sqlite_where=text("completed_at IS NOT NULL"),
        ),
        Index("execution_history_run_name", "ledger_id", "run_name"),
        Index(
            "execution_history_parent_job_id",
            "ledger_id",
            "parent_job_id",
            postgresql_where=text("parent_job_id IS NOT NULL"),
            sqlite_where=text("parent_job_id IS NOT NULL"),
        ),
        Index(
            "execution_history_attributes", text("(attributes::jsonb) jsonb_path_ops"), postgresql_using="gin"
        ).ddl_if(dialect="postgresql"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    def __repr__(self) -> str:
        return f"ExecutionHistory(id={self.id}, job_id={self.job_id!r}, status={self.status!r}, version={self.version})"


def _take_any_ledger_for_large() -> None:
    """Have PostgreSQL plan for a ledger as if it were all of the table, once the table was analyzed.

    Else it plans for the average one. That has a row or two where most are idle, which is no more than a row found by
    its whole key: so it reads all of the one ledger that is large.
    """
    for table in metadata.tables.values():
        if table is not ledgers:
            hint = DDL(f"ALTER TABLE {table.name} ALTER COLUMN ledger_id SET (n_distinct = 1)")
            event.listen(table, "after_create", hint.execute_if(dialect="postgresql"))


_take_any_ledger_for_large()
