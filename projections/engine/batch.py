"""One batch of one projection in one ledger: its rows and its checkpoint change in one transaction, or neither does."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ...domain import LedgerBusy, SchemaNotReady, StoreUnavailable
from ...infrastructure.database_errors import translate
from ...infrastructure.root import read_size
from ...infrastructure.short_transactions import short_transaction
from ...infrastructure.tables import execution_events
from ..recorded_event import RecordedEvent, select_events, to_recorded_event
from .checkpoints import claim, move, quarantine, quarantined_ids, release, stop
from .protocol import Projection, batch_statements, handled, may_quarantine


def project(engine: Engine, projection: Projection, ledger: str, limit: int) -> int:
    """Project the next `limit` positions of a ledger at most, and answer how many it were.

    0 where there is nothing new, another worker has it, or it has stopped. An event that fails stops it there, or sets
    its execution aside; errors that pass by themselves are raised.
    """
    try:
        with short_transaction(engine) as connection:
            begin, end, events = _next(connection, projection, ledger, limit)
            if end > begin:
                _execute(connection, projection, events)
                move(connection, projection.name, ledger, end)
            return end - begin
    except Exception as error:
        if _passes(error):
            raise
    with short_transaction(engine) as connection:  # which event was it?
        begin, end, events = _next(connection, projection, ledger, limit)
        return _one_by_one(connection, projection, ledger, events, begin, end) if end > begin else 0


def _next(
    connection: Connection, projection: Projection, ledger: str, limit: int
) -> tuple[int, int, list[RecordedEvent]]:
    """The positions before and at the end of the batch, and its events. Positions have no gaps."""
    checkpoint = claim(connection, projection.name, ledger)
    if checkpoint is None or checkpoint.failed_position is not None:
        return 0, 0, []
    begin = checkpoint.position
    end = min(read_size(connection, ledger), begin + limit)
    if end <= begin:
        return begin, begin, []
    return begin, end, read_events(connection, projection, ledger, begin, end)


def read_events(
    connection: Connection,
    projection: Projection,
    ledger: str,
    begin: int,
    end: int,
    execution_id: UUID | None = None,
) -> list[RecordedEvent]:
    """The events that a projection handles behind `begin`, up to `end`, of executions that it leaves not out."""
    event = execution_events.c
    page = select_events(ledger).where(event.position > begin, event.position <= end, handled(projection))
    page = page.order_by(event.position)
    if execution_id is not None:
        page = page.where(event.execution_id == execution_id)
    events = [to_recorded_event(row) for row in connection.execute(page)]
    aside = quarantined_ids(connection, projection.name, ledger) if events and may_quarantine(projection) else ()
    return [each for each in events if each.execution_id not in aside] if aside else events


def _execute(connection: Connection, projection: Projection, events: Sequence[RecordedEvent]) -> None:
    for statement in batch_statements(projection, events) if events else ():
        connection.execute(statement)


def _one_by_one(
    connection: Connection,
    projection: Projection,
    ledger: str,
    events: Sequence[RecordedEvent],
    begin: int,
    end: int,
) -> int:
    aside: set[UUID] = set()
    for event in events:
        if event.execution_id in aside:
            continue
        try:
            with connection.begin_nested():
                for statement in projection.statements(event):
                    connection.execute(statement)
        except Exception as error:
            if _passes(error):
                raise
            if not may_quarantine(projection):
                stop(connection, projection.name, ledger, event.position, error)
                return event.position - 1 - begin
            quarantine(connection, projection.name, ledger, event.execution_id, event.position, error)
            aside.add(event.execution_id)
    move(connection, projection.name, ledger, end)
    return end - begin


def take_back(engine: Engine, projection: Projection, ledger: str, execution_id: UUID, page: int = 500) -> int | None:
    """Project what was left out of an execution since it was set aside, and answer how many events it were.

    None where it is not set aside. Raises what fails, and leaves it aside then.
    """
    with short_transaction(engine) as connection:
        checkpoint = claim(connection, projection.name, ledger)
        if checkpoint is None:
            raise LedgerBusy(problem="a worker projects it at the moment", remedy="Try again.")
        begin = release(connection, projection.name, ledger, execution_id)
        if begin is None:
            return None
        done, position = 0, begin - 1
        while position < checkpoint.position:
            upto = min(position + page, checkpoint.position)
            events = read_events(connection, projection, ledger, position, upto, execution_id)
            _execute(connection, projection, events)
            done, position = done + len(events), upto
        return done


def _passes(error: Exception) -> bool:
    """Whether an error is not about an event: the database's trouble, another transaction's, or tables that lack."""
    of_database = isinstance(error, SQLAlchemyError | OSError)
    return of_database and isinstance(translate(error), StoreUnavailable | LedgerBusy | SchemaNotReady)
