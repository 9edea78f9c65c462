"""Projections for tests of their engine."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Executable, MetaData, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from execution_ledger.projections import RecordedEvent

metadata = MetaData()

counts = Table(
    "test_counts",
    metadata,
    Column("ledger_id", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
)
"""How many events of each run were projected, and the last position."""


class Poison(Exception):
    """What a handler cannot take."""


class Counting:
    """Counts events. Not idempotent by intention: that nothing is applied twice is for the checkpoint to see to."""

    tables = (counts,)

    def __init__(
        self, name: str = "counting", *, types: Collection[str] | None = None, quarantines: bool = False
    ) -> None:
        self.name = name
        self.types = types
        self.quarantines = quarantines
        self.poison: set[str] = set()
        """Jobs whose notes cannot be taken."""

    def statements(self, event: RecordedEvent) -> Iterable[Executable]:
        if event.job_id in self.poison and event.name == "noted":
            raise Poison(f"the note of {event.job_id}")
        row = {"ledger_id": event.ledger_id, "job_id": event.job_id, "events": 1, "last": event.position}
        changed = {"events": counts.c.events + 1, "last": event.position}
        yield (
            self.dialect.insert(counts)
            .values(row)
            .on_conflict_do_update(index_elements=["ledger_id", "job_id"], set_=changed)
        )

    dialect: Any = postgresql


def make_counting(engine: Engine, name: str = "counting", **options: Any) -> Counting:
    """A projection with its table."""
    metadata.create_all(engine)
    projection = Counting(name, **options)
    projection.dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    return projection


def counted(engine: Engine, ledger: str = "default") -> dict[str, int]:
    """Events that were projected, by run."""
    with engine.connect() as connection:
        found = select(counts.c.job_id, counts.c.events).where(counts.c.ledger_id == ledger)
        return {row.job_id: row.events for row in connection.execute(found)}
