"""Reading the command side: one narrow row of an entity, the steps and the receipt that a command concerns."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Text, TextualSelect, bindparam, select, text

from ..domain import StreamState
from ..domain.aggregate import Step
from .tables import command_receipts as receipts
from .tables import execution_steps, execution_streams, ledgers

STREAM = tuple(column.name for column in execution_streams.columns if column.name != "ledger_id")
"""Columns of a stream's state."""


class StoredReceipt(NamedTuple):
    """What became of an earlier command."""

    fingerprint: bytes
    first_position: int | None
    event_count: int
    outcome: dict[str, Any]


class Found(NamedTuple):
    """What one read told."""

    ledger_exists: bool
    state: StreamState | None
    steps: dict[str, Step]
    receipt: StoredReceipt | None


def read_stream(
    connection: Connection,
    ledger: str,
    target: int | UUID | None,
    *,
    steps: Collection[str] = (),
    command_id: str | None = None,
) -> Found:
    """All that is needed to decide on one command, in one statement. `target` is an id or a stream's UUID."""
    statement = _statement(type(target), bool(steps), command_id is not None)
    parameters: dict[str, Any] = {"ledger_id": ledger}
    if target is not None:
        parameters["target"] = target
    if steps:
        parameters["steps"] = list(steps)
    if command_id is not None:
        parameters["command_id"] = command_id
    rows = connection.execute(statement, parameters).all()
    first = rows[0]
    state = receipt = None
    if target is not None and first.version is not None:
        state = to_state(first)
    if command_id is not None and first.fingerprint is not None:
        receipt = StoredReceipt(first.fingerprint, first.first_position, first.event_count, first.receipt_outcome)
    known = {row.step_id: Step(row.step_outcome) for row in rows if row.step_id is not None} if steps else {}
    return Found(first.known_ledger is not None, state, known, receipt)


def lock_streams(
    connection: Connection, ledger: str, execution_ids: Collection[UUID], *, skip_locked: bool = False
) -> dict[UUID, StreamState]:
    """The rows of these streams, locked to the end of the transaction in the one order that everybody keeps: by id.

    With `skip_locked`, without those that somebody else has locked, rather than wait.
    """
    stream = execution_streams.c
    statement = (
        select(*(stream[name] for name in STREAM))
        .where(stream.ledger_id == ledger, stream.execution_id.in_(execution_ids))
        .order_by(stream.id)
        .with_for_update(skip_locked=skip_locked)
    )
    return {row.execution_id: to_state(row) for row in connection.execute(statement)}


def known_commands(connection: Connection, ledger: str, command_ids: Collection[str]) -> list[str]:
    """Those of the command ids that have a receipt."""
    column = receipts.c
    statement = select(column.command_id).where(column.ledger_id == ledger, column.command_id.in_(command_ids))
    return list(connection.execute(statement).scalars())


def read_steps(connection: Connection, ledger: str, execution_id: UUID, steps: Collection[str]) -> dict[str, Step]:
    """The named steps of an execution, as far as they exist."""
    step = execution_steps.c
    statement = select(step.step_id, step.outcome).where(
        step.ledger_id == ledger, step.execution_id == execution_id, step.step_id.in_(steps)
    )
    return {row.step_id: Step(row.outcome) for row in connection.execute(statement)}


def to_state(row: Any) -> StreamState:
    """The state in a row of `STREAM`."""
    return StreamState(
        execution_id=row.execution_id,
        id=row.id,
        key=row.job_id,
        version=row.version,
        status=row.status,
        started_at=row.started_at,
        last_recorded_at=row.last_recorded_at,
        deleted=row.deleted,
        lease_token=row.lease_token,
    )


@lru_cache
def _statement(target: type, with_steps: bool, with_receipt: bool) -> TextualSelect:
    # Text, since building this select anew for every command costs more than the database needs to answer it.
    columns: list[Any] = [ledgers.c.ledger_id.label("known_ledger")]
    joins = ["LEFT JOIN ledgers l ON l.ledger_id = :ledger_id"]
    names = ["l.ledger_id"]
    binds = [bindparam("ledger_id", type_=Text())]
    if target is not type(None):
        column = execution_streams.c.id if target is int else execution_streams.c.execution_id
        joins.append(f"LEFT JOIN execution_streams s ON s.ledger_id = :ledger_id AND s.{column.name} = :target")
        binds.append(bindparam("target", type_=BigInteger() if target is int else column.type))
        names += [f"s.{name}" for name in STREAM]
        columns += [execution_streams.c[name] for name in STREAM]
    if with_receipt:
        joins.append("LEFT JOIN command_receipts r ON r.ledger_id = :ledger_id AND r.command_id = :command_id")
        names += ["r.fingerprint", "r.first_position", "r.event_count", "r.outcome AS receipt_outcome"]
        columns += [receipts.c.fingerprint, receipts.c.first_position, receipts.c.event_count]
        columns.append(receipts.c.outcome.label("receipt_outcome"))
    if with_steps:
        joins.append(
            "LEFT JOIN execution_steps p ON p.ledger_id = :ledger_id AND p.execution_id = s.execution_id "
            "AND p.step_id IN :steps"
        )
        binds.append(bindparam("steps", expanding=True))
        names += ["p.step_id", "p.outcome AS step_outcome"]
        columns += [execution_steps.c.step_id, execution_steps.c.outcome.label("step_outcome")]
    statement = text(f"SELECT {', '.join(names)} FROM (SELECT 1) one {' '.join(joins)}")
    return statement.bindparams(*binds).columns(*columns)
