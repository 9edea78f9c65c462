"""The rows that say how far a projection is, which are also its locks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ...infrastructure.event_store import utc_now
from ...infrastructure.tables import execution_streams, ledgers, projection_checkpoints, quarantined_executions
from .protocol import Projection

_ERROR_LENGTH = 2_000


class Checkpoint(NamedTuple):
    """How far a projection has read a ledger."""

    position: int
    failed_position: int | None


def claim(connection: Connection, projection: str, ledger: str) -> Checkpoint | None:
    """The checkpoint, locked until the transaction ends; None where another worker has it."""
    row = connection.execute(_of(projection, ledger).with_for_update(skip_locked=True)).one_or_none()
    if row is None and not make_checkpoint(connection, projection, ledger):
        return None
    return Checkpoint(0, None) if row is None else Checkpoint(row.position, row.failed_position)


def read_checkpoint(connection: Connection, projection: str, ledger: str) -> Checkpoint:
    """The same without a lock; 0 where nothing was projected yet."""
    row = connection.execute(_of(projection, ledger)).one_or_none()
    return Checkpoint(0, None) if row is None else Checkpoint(row.position, row.failed_position)


def _of(projection: str, ledger: str) -> Any:
    checkpoint = projection_checkpoints.c
    return select(checkpoint.position, checkpoint.failed_position).where(
        checkpoint.projection == projection, checkpoint.ledger_id == ledger
    )


def make_checkpoint(connection: Connection, projection: str, ledger: str) -> bool:
    """Make the row, unless another worker does, or has it."""
    values = {"projection": projection, "ledger_id": ledger, "position": 0, "updated_at": utc_now()}
    made = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(projection_checkpoints)
    made = made.values(values).on_conflict_do_nothing().returning(projection_checkpoints.c.position)
    return connection.execute(made).first() is not None


def move(connection: Connection, projection: str, ledger: str, position: int) -> None:
    """Everything up to a position is projected."""
    _set(connection, projection, ledger, position=position, failed_position=None, error=None, failed_at=None)


def stop(connection: Connection, projection: str, ledger: str, before: int, error: BaseException) -> None:
    """Everything before a position is projected, and the event there failed."""
    told = {"failed_position": before, "error": tell(error), "failed_at": utc_now()}
    _set(connection, projection, ledger, position=before - 1, **told)


def _set(connection: Connection, projection: str, ledger: str, **values: Any) -> None:
    checkpoint = projection_checkpoints.c
    connection.execute(
        update(projection_checkpoints)
        .where(checkpoint.projection == projection, checkpoint.ledger_id == ledger)
        .values(**values, updated_at=utc_now())
    )


def tell(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return f"{type(error).__name__}: {text}"[:_ERROR_LENGTH] if text else type(error).__name__


def start_again(connection: Connection, projection: str, ledger: str) -> bool:
    """Forget that an event failed, so that it is tried again; False where none did."""
    checkpoint = projection_checkpoints.c
    cleared = (
        update(projection_checkpoints)
        .where(
            checkpoint.projection == projection, checkpoint.ledger_id == ledger, checkpoint.failed_position.is_not(None)
        )
        .values(failed_position=None, error=None, failed_at=None, updated_at=utc_now())
    )
    return bool(connection.execute(cleared).rowcount)


class Due(NamedTuple):
    """A ledger that a projection has something to read of."""

    projection: Projection
    ledger: str


def find_due(connection: Connection, projection: Projection, names: Collection[str] | None, limit: int) -> list[Due]:
    """Ledgers, or those of `names`, that a projection lags behind and has not stopped at; the longest lag first."""
    checkpoint, head = projection_checkpoints.c, ledgers.c
    joined = ledgers.outerjoin(
        projection_checkpoints, (checkpoint.ledger_id == head.ledger_id) & (checkpoint.projection == projection.name)
    )
    lag = head.size - func.coalesce(checkpoint.position, 0)
    found = select(head.ledger_id).select_from(joined).where(lag > 0, checkpoint.failed_position.is_(None))
    if names is not None:
        found = found.where(head.ledger_id.in_(names))
    return [
        Due(projection, name) for name in connection.scalars(found.order_by(lag.desc(), head.ledger_id).limit(limit))
    ]


class Quarantined(NamedTuple):
    """An execution that a projection leaves out from the position of the event that failed."""

    projection: str
    ledger: str
    job_id: str
    execution_id: UUID
    position: int
    error: str
    quarantined_at: datetime


def quarantine(
    connection: Connection, projection: str, ledger: str, execution_id: UUID, position: int, error: BaseException
) -> None:
    """Leave out an execution from now on."""
    connection.execute(
        insert(quarantined_executions).values(
            projection=projection,
            ledger_id=ledger,
            execution_id=execution_id,
            position=position,
            error=tell(error),
            quarantined_at=utc_now(),
        )
    )


def read_quarantined(connection: Connection, projection: str | None, ledger: str | None) -> list[Quarantined]:
    """What is left out, of one projection or all, in one ledger or all."""
    aside, stream = quarantined_executions.c, execution_streams.c
    joined = quarantined_executions.join(
        execution_streams, (stream.ledger_id == aside.ledger_id) & (stream.execution_id == aside.execution_id)
    )
    found = select(
        aside.projection, aside.ledger_id, stream.job_id, aside.execution_id, aside.position, aside.error,
        aside.quarantined_at,
    ).select_from(joined)  # fmt: skip
    if projection is not None:
        found = found.where(aside.projection == projection)
    if ledger is not None:
        found = found.where(aside.ledger_id == ledger)
    return [Quarantined(*row) for row in connection.execute(found.order_by(aside.ledger_id, aside.position))]


def quarantined_ids(connection: Connection, projection: str, ledger: str) -> set[UUID]:
    """The executions that a projection leaves out in a ledger."""
    aside = quarantined_executions.c
    found = select(aside.execution_id).where(aside.projection == projection, aside.ledger_id == ledger)
    return set(connection.scalars(found))


def release(connection: Connection, projection: str, ledger: str, execution_id: UUID) -> int | None:
    """Leave an execution out no longer, and answer from which position on it was; None where it was not."""
    aside = quarantined_executions.c
    here = (aside.projection == projection, aside.ledger_id == ledger, aside.execution_id == execution_id)
    position = connection.execute(select(aside.position).where(*here)).scalar()
    connection.execute(delete(quarantined_executions).where(*here))
    return position
