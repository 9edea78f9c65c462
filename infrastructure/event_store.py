"""The event store: read the narrow state, decide, append. The one writer of a ledger's tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, text
from sqlalchemy.exc import DBAPIError

from ..domain import (
    Create,
    InvalidInput,
    Limits,
    StreamState,
    VersionConflict,
    check_ledger,
    fold,
    stream_id,
)
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_int, check_text, shown
from . import append_postgresql, append_sqlite
from .announcer import Announcer
from .batch import Appended, Batch, Receipt, Row, Work
from .codec import decode_event, encode_event
from .connections import check_connection, write_transaction
from .database_errors import UniqueViolation, is_unique_violation
from .entity import EXECUTIONS, Entity
from .one_command import OneCommand
from .requests import Outcome, Request, check_same_command
from .streams import Found, StoredReceipt, read_stream
from .tables import command_receipts, execution_events, ledgers
from .types import UTCDateTime


def utc_now() -> datetime:
    """The writer's clock."""
    return datetime.now(UTC)


class EventStore:
    """Appends to ledgers of one kind of entity. Stateless but for its settings: one serves every thread."""

    def __init__(
        self,
        entity: Entity = EXECUTIONS,
        *,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        clock: Callable[[], datetime] = utc_now,
        announcer: Announcer | None = None,
    ) -> None:
        """With an `announcer`, readers are told of what was committed through it."""
        self.entity = entity
        self.limits = limits
        self.clock = clock
        self.announcer = announcer

    def execute(
        self,
        connection: Connection,
        request: Request,
        *,
        autocommit: bool = False,
        tried: list[Batch] | None = None,
    ) -> Outcome | None:
        """Decide and append one command; None where its target does not exist.

        Costs one statement on PostgreSQL, and a read where the stream was not seen before. The caller commits, unless
        the connection is in autocommit mode. One command for each transaction: several go through a `UnitOfWork` or a
        `GroupWriter`, which keep the order of locks. What may have been appended though the connection broke is put
        into `tried`: with that, on another connection, the command is answered if it was, and run if it was not.
        """
        check_connection(connection)
        tried = [] if tried is None else tried
        return OneCommand(self, connection, self.named(request), tried).run(autocommit=autocommit)

    def named(self, request: Request) -> Request:
        """The same command, its names checked; one that creates is about the entity that its details name."""
        check_ledger(request.ledger)
        if request.command_id is not None:
            check_text(request.command_id, "command_id", KEY_LENGTH, min_length=1)
        target = request.target
        key_field = self.entity.aggregate.key_field
        if isinstance(request.command, Create):
            key = getattr(request.command.details, key_field, None)
            if isinstance(key, str):
                return request if key == target else replace(request, target=key)
            fits = target is None or isinstance(target, str)
        else:
            fits = isinstance(target, int | str) and not isinstance(target, bool)
        if not fits:
            raise InvalidInput(
                field="target",
                problem=f"{shown(target)} names no entity",
                remedy="Send its key, or its id once it has one.",
            )
        if isinstance(target, str):
            check_text(target, key_field, KEY_LENGTH, min_length=1 if isinstance(request.command, Create) else 0)
        elif target is not None:
            check_int(target, "id", -(2**63))
        return request

    def read(self, connection: Connection, request: Request) -> Found:
        """All that is needed to decide on a command."""
        target: int | UUID | None
        target = stream_id(request.ledger, request.target) if isinstance(request.target, str) else request.target
        return read_stream(
            connection, request.ledger, target, steps=request.command.step_ids(), command_id=request.command_id
        )

    def decide(self, request: Request, found: Found, earlier: Work | None = None) -> Work | None:
        """Decide on what was found, or on what `earlier` commands of the same transaction left.

        Returns the work with the new events; `earlier` stays as it was, also where the command is refused.
        """
        kind = self.entity.aggregate
        current = None
        if earlier is not None:
            current = kind.restore(earlier.aggregate.state(earlier.id), found.steps | earlier.aggregate.steps)
        elif found.state is not None:
            current = kind.restore(found.state, found.steps)
        creating = isinstance(request.command, Create)
        if not creating and (current is None or current.deleted):
            return None
        self._check_version(request, current)
        command = _with_key(request, kind.key_field) if isinstance(request.command, Create) else request.command
        aggregate = kind.decide(current, command, request.context, self.clock(), request.ledger, request.lease)
        events = list(aggregate.collect_events())
        rows = [encode_event(event, request.ledger, request.command_id, self.limits) for event in events]
        work = Work(
            base=earlier.base if earlier else found.state,
            aggregate=aggregate,
            events=[*earlier.events, *events] if earlier else events,
            rows=[*earlier.rows, *rows] if earlier else rows,
            receipts=list(earlier.receipts) if earlier else [],
        )
        if request.command_id is not None:
            work.receipts.append(self._receipt(request, work, len(events)))
        return work

    def _check_version(self, request: Request, current: Any) -> None:
        expected, actual = request.expected_version, current.version if current else 0
        if expected is not None and expected != actual:
            key = current.key if current else str(request.target)
            raise VersionConflict(key=key, expected=expected, actual=actual)

    def _receipt(self, request: Request, work: Work, count: int) -> Receipt:
        assert request.command_id is not None
        return Receipt(
            command_id=request.command_id,
            fingerprint=request.fingerprint(),
            first_event=len(work.events) - count if count else None,
            event_count=count,
            outcome={"execution_id": str(work.aggregate.id), "version": work.aggregate.version},
            recorded_at=work.aggregate.modified_on if count else self.clock(),
        )

    def replay(self, connection: Connection, request: Request, receipt: StoredReceipt) -> Outcome:
        """The outcome of an earlier command with the same id; another command with that id is refused."""
        execution_id = UUID(receipt.outcome["execution_id"])
        state = read_stream(connection, request.ledger, execution_id).state
        assert state is not None, "streams are never dropped"
        assert state.id is not None
        check_same_command(request, receipt.fingerprint, state.id, state.key)
        return Outcome(
            execution_id=execution_id,
            id=state.id,
            version=receipt.outcome["version"],
            first_position=receipt.first_position,
            event_count=receipt.event_count,
            row=self.read_row_at(connection, request.ledger, state, receipt.outcome["version"]),
            replayed=True,
        )

    def append(self, connection: Connection, batch: Batch, *, returning: bool = False) -> Appended | None:
        """Write a batch. None, and nothing written, where a stream moved on meanwhile or the ledger is missing."""
        appended = self.append_all(connection, [batch], returning=returning)
        return None if appended is None else appended[batch.ledger_id]

    def append_all(
        self, connection: Connection, batches: Sequence[Batch], *, returning: bool = False
    ) -> dict[str, Appended] | None:
        """Write batches to several ledgers. None where the transaction has to be rolled back, as for `append`."""
        executor = append_sqlite if connection.dialect.name == "sqlite" else append_postgresql
        with unique_violations():
            return executor.append(connection, self.entity, batches, returning=returning)

    def append_alone(
        self, connection: Connection, batches: Sequence[Batch], *, returning: bool = False
    ) -> dict[str, Appended] | None:
        """The same on PostgreSQL, in a statement that commits itself: nothing is written where the answer is None."""
        with unique_violations():
            return append_postgresql.append(connection, self.entity, batches, returning=returning, alone=True)

    def write_receipts(self, connection: Connection, ledger: str, receipts: list[Receipt]) -> None:
        """Keep the outcomes of commands that gave no event."""
        rows = [receipt._asdict() | {"ledger_id": ledger, "first_position": None} for receipt in receipts]
        for row in rows:
            del row["first_event"]
        with unique_violations():
            connection.execute(insert(command_receipts), rows)

    def ensure_ledger(self, connection: Connection, ledger: str) -> None:
        """Make the head row of a ledger that is written to for the first time."""
        values = {"ledger_id": ledger, "created_at": self.clock()}
        with unique_violations():
            connection.execute(insert(ledgers).values(values))

    def ensure_ledgers(self, connection: Connection, ledgers: Iterable[str]) -> None:
        """The same for several, of which some may exist."""
        statement = text(
            "INSERT INTO ledgers (ledger_id, created_at) VALUES (:ledger_id, :created_at) ON CONFLICT DO NOTHING"
        ).bindparams(bindparam("created_at", type_=UTCDateTime()))
        for ledger in sorted(ledgers):
            connection.execute(statement, {"ledger_id": ledger, "created_at": self.clock()})

    def read_row(self, connection: Connection, ledger: str, id: int) -> Row | None:
        """The projected row of an entity."""
        table = self.entity.table
        statement = select(table).where(table.c.ledger_id == ledger, table.c.id == id)
        return connection.execute(statement).mappings().one_or_none()

    def read_rows(self, connection: Connection, ledger: str, ids: Collection[int]) -> dict[int, Row]:
        """The projected rows of some entities, by id."""
        table = self.entity.table
        statement = select(table).where(table.c.ledger_id == ledger, table.c.id.in_(ids))
        return {row["id"]: row for row in connection.execute(statement).mappings()}

    def read_row_at(self, connection: Connection, ledger: str, state: StreamState, version: int) -> Row | None:
        """The projected row as it was at a version, folded from the events that set something."""
        event = execution_events.c
        statement = (
            select(execution_events)
            .where(
                event.ledger_id == ledger,
                event.execution_id == state.execution_id,
                event.version <= version,
                event.type.in_(self.entity.projected_types) | (event.version == version),
            )
            .order_by(event.version)
        )
        row = fold(decode_event(stored, self.entity.catalog) for stored in connection.execute(statement))
        blank = dict.fromkeys(self.entity.table.columns.keys())
        return None if row is None else blank | {"ledger_id": ledger, "id": state.id} | row

    def forget_receipts(self, connection: Connection, ledger: str, before: datetime) -> int:
        """Delete receipts recorded before a time, and answer how many: their commands could then run again."""
        column = command_receipts.c
        statement = delete(command_receipts).where(column.ledger_id == ledger, column.recorded_at < before)
        with write_transaction(connection, savepoint=False):
            return connection.execute(statement).rowcount


def _with_key(request: Request, key_field: str) -> Create:
    """The command with the key that its target gives it, where it has none itself."""
    assert isinstance(request.command, Create)
    details = request.command.details
    if not isinstance(request.target, str) or getattr(details, key_field) is not msgspec.UNSET:
        return request.command
    return Create(details=msgspec.structs.replace(details, **{key_field: request.target}))


@contextmanager
def unique_violations() -> Iterator[None]:
    """Tell a key that somebody else wrote first apart from other errors."""
    try:
        yield
    except DBAPIError as error:
        if is_unique_violation(error):
            raise UniqueViolation from error
        raise
