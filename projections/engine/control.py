"""How projections are doing, and what to do where one has stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Engine, Select, func, select

from ...domain import InvalidInput, UnknownProjection, check_ledger, stream_id
from ...domain.values import check_int
from ...infrastructure.database_errors import translated
from ...infrastructure.short_transactions import short_transaction
from ...infrastructure.tables import ledgers, projection_checkpoints, quarantined_executions
from .batch import take_back
from .checkpoints import Quarantined, read_quarantined, start_again
from .protocol import Projection

_T = TypeVar("_T")


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection has read a ledger."""

    projection: str
    ledger: str
    position: int
    size: int
    """Of the ledger."""
    failed_position: int | None
    """Position of the event that failed, at which it has stopped."""
    error: str | None
    failed_at: datetime | None
    quarantined: int
    """Executions that it leaves out."""
    updated_at: datetime | None
    """When it last moved; None where it has not begun."""

    @property
    def lag(self) -> int:
        """Events that it has not read yet: exact."""
        return self.size - self.position

    @property
    def stopped(self) -> bool:
        """Whether it waits for a fix, and for `retry`."""
        return self.failed_position is not None


class ProjectionControl:
    """Status, retries and quarantine of projections, on a synchronous engine: call it from a thread."""

    def __init__(self, engine: Engine, projections: Sequence[Projection]) -> None:
        self._engine = engine
        self._projections = {each.name: each for each in projections}

    def statuses(
        self, ledger: str | None = None, *, stopped: bool = False, limit: int = 1_000
    ) -> list[ProjectionStatus]:
        """Of every projection in a ledger, or in all that were written to; those that lag the most come first.

        `stopped` leaves only those that wait for a retry.
        """
        limit = check_int(limit, "limit", 1)
        name = None if ledger is None else check_ledger(ledger)
        with translated(), self._engine.connect() as connection:
            found = [
                ProjectionStatus(projection=projection, **row)
                for projection in self._projections
                for row in connection.execute(_select_statuses(projection, name, stopped, limit)).mappings()
            ]
        return sorted(found, key=lambda each: (-each.lag, each.projection, each.ledger))[:limit]

    def retry(self, projection: str, ledger: str = "default") -> bool:
        """Have a projection that has stopped try its event again; False where it has not stopped."""
        name, ledger = self._find(projection).name, check_ledger(ledger)
        return self._write(lambda engine: _start_again(engine, name, ledger))

    def quarantined(self, projection: str | None = None, ledger: str | None = None) -> list[Quarantined]:
        """Executions that projections leave out, since an event of theirs failed."""
        name = None if projection is None else self._find(projection).name
        with translated(), self._engine.connect() as connection:
            return read_quarantined(connection, name, None if ledger is None else check_ledger(ledger))

    def release(self, projection: str, job_id: str, ledger: str = "default") -> int:
        """Project what was left out of an execution, and answer how many events that were.

        What fails again is raised as it is, with its cause, and the execution stays left out.
        """
        found, ledger = self._find(projection), check_ledger(ledger)
        done = self._write(lambda engine: take_back(engine, found, ledger, stream_id(ledger, job_id)))
        if done is None:
            raise InvalidInput(
                field="job_id", problem=f"{job_id!r} is not quarantined", remedy="Ask `quarantined` for those that are."
            )
        return done

    def _find(self, name: str) -> Projection:
        try:
            return self._projections[name]
        except KeyError:
            raise UnknownProjection(name=name, known=", ".join(sorted(self._projections)) or "none") from None

    def _write(self, write: Callable[[Engine], _T]) -> _T:
        with translated():
            return write(self._engine)


def _start_again(engine: Engine, projection: str, ledger: str) -> bool:
    with short_transaction(engine) as connection:
        return start_again(connection, projection, ledger)


def _select_statuses(projection: str, ledger: str | None, stopped: bool, limit: int) -> Select[*tuple[Any, ...]]:
    checkpoint, head, aside = projection_checkpoints.c, ledgers.c, quarantined_executions.c
    joined = ledgers.outerjoin(
        projection_checkpoints, (checkpoint.ledger_id == head.ledger_id) & (checkpoint.projection == projection)
    )
    left_out = select(func.count()).where(aside.ledger_id == head.ledger_id, aside.projection == projection)
    position = func.coalesce(checkpoint.position, 0)
    found = select(
        head.ledger_id.label("ledger"),
        position.label("position"),
        head.size,
        checkpoint.failed_position,
        checkpoint.error,
        checkpoint.failed_at,
        left_out.scalar_subquery().label("quarantined"),
        checkpoint.updated_at,
    ).select_from(joined)
    if ledger is not None:
        found = found.where(head.ledger_id == ledger)
    if stopped:
        found = found.where(checkpoint.failed_position.is_not(None))
    return found.order_by((head.size - position).desc(), head.ledger_id).limit(limit)
