"""Write what is derived of one execution once more, from its events."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from ...domain import UnknownExecution, check_ledger, stream_id
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_text
from ...infrastructure.database_errors import translated
from ...infrastructure.short_transactions import short_transaction
from ...infrastructure.tables import (
    STATUSES,
    ExecutionHistory,
    execution_steps,
    execution_streams,
    ledgers,
)
from .differences import Difference
from .folding import Folded, among, fold_executions
from .verify import head_as_it_should_be, verify_executions, verify_head

_HISTORY: Any = ExecutionHistory.__table__


def repair_execution(engine: Engine, job_id: str, ledger: str = "default") -> list[Difference]:
    """Make the history, the stream and the steps of an execution what its events say; answer what was different.

    Nothing is appended. Events that were changed are told as well, and stay: only a backup has what they were. Counters
    of the ledger are mended by `repair_head`.
    """
    ledger = check_ledger(ledger)
    execution_id = stream_id(ledger, check_text(job_id, "job_id", KEY_LENGTH))
    with translated(), short_transaction(engine) as connection:
        stream = execution_streams.c
        here = (stream.ledger_id == ledger, stream.execution_id == execution_id)
        # The order of locks that every writer keeps: the stream first. The head is not needed.
        row = connection.execute(select(execution_streams).where(*here).with_for_update()).one_or_none()
        if row is None:
            raise UnknownExecution(target=job_id, ledger=ledger)
        different = verify_executions(connection, ledger, [row], hashes=True)
        if any(each.table != "execution_events" for each in different):
            for folded in fold_executions(connection, ledger, among([row.id])):
                _write(connection, ledger, folded)
        return different


def _write(connection: Connection, ledger: str, folded: Folded) -> None:
    stream = execution_streams.c
    state: dict[str, Any] = folded.stream()
    if folded.key is None:  # erased
        del state["job_id"]
    connection.execute(
        update(execution_streams)
        .where(stream.ledger_id == ledger, stream.execution_id == folded.execution_id)
        .values(**state)
    )
    history = (_HISTORY.c.ledger_id == ledger, _HISTORY.c.id == folded.id)
    row = folded.history()
    if row is None:
        connection.execute(delete(_HISTORY).where(*history))
    # In place: a writer that waits for the stream meanwhile would not find a row that was added anew.
    elif not connection.execute(update(_HISTORY).where(*history).values(**row)).rowcount:
        connection.execute(insert(_HISTORY).values(**row))
    step = execution_steps.c
    connection.execute(
        delete(execution_steps).where(step.ledger_id == ledger, step.execution_id == folded.execution_id)
    )
    for each in folded.steps.values():
        connection.execute(insert(execution_steps).values(ledger_id=ledger, execution_id=folded.execution_id, **each))


def repair_head(engine: Engine, ledger: str = "default") -> list[Difference]:
    """Count the executions of a ledger once more, by status; answer what was different. Writers wait meanwhile."""
    ledger = check_ledger(ledger)
    with translated(), short_transaction(engine) as connection:
        connection.execute(select(ledgers.c.size).where(ledgers.c.ledger_id == ledger).with_for_update())
        different = [each for each in verify_head(connection, ledger) if each.table == "ledgers"]
        if different:
            counted = head_as_it_should_be(connection, ledger)
            names = ("last_id", "executions", *STATUSES)
            connection.execute(
                update(ledgers).where(ledgers.c.ledger_id == ledger).values({name: counted[name] for name in names})
            )
        return different
