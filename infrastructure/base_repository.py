"""The repository interface of the seed, over an append-only store, for any event-sourced entity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypedDict, TypeVar, Unpack

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, make_transient_to_detached

from ..domain import (
    Command,
    Context,
    ContextFields,
    Create,
    Delete,
    InvalidInput,
    LedgerBusy,
    LedgerError,
    OutcomeUnknown,
    StoreUnavailable,
    Update,
    check_ledger,
    make_context,
)
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_int, check_text
from .batch import Batch, Row
from .connections import can_go_direct, check_connection, go_direct
from .database_errors import committing, is_lost, translate, translated
from .entity import Entity
from .event_store import EventStore
from .leases import Lease, check_lease
from .requests import Outcome, Request
from .unit_of_work import UnitOfWork
from .writing import GroupWriter

Model = TypeVar("Model")
_T = TypeVar("_T")


class WriteOptions(TypedDict, total=False):
    """What may be said beside the data of a write, all of it optional."""

    actor: str | None
    reason: str | None
    correlation_id: str | None
    causation_id: str | None
    trace_id: str | None
    occurred_at: Any
    expected_version: int | None
    """Refuse with `VersionConflict` unless the entity is at this version."""
    command_id: str | None
    """Sent again with the same command, it is answered with the first outcome and appends nothing."""
    lease: Lease | int | None
    """The worker's lease, or its token: refuse with `LeaseLost` once a newer one was taken."""


class BaseRepository(Generic[Model]):
    """`get`, `get_all`, `create`, `update`, `delete` for one entity; a subclass says which, by `entity`.

    Every change commits the session, as the seed does. With `commit=False` changes are decided at once and
    appended when the caller flushes or commits; with a `writer` they are written by that, in groups with those of other
    callers, and the session only reads. Entities that come back are detached, and fresh at each call.
    """

    entity: ClassVar[Entity]
    default_ledger: ClassVar[str] = "default"

    def __init__(
        self,
        session: AsyncSession,
        *,
        commit: bool = True,
        ledger: str | None = None,
        store: EventStore | None = None,
        writer: GroupWriter | None = None,
        **context: Unpack[ContextFields],
    ) -> None:
        if writer is not None and not commit:
            raise InvalidInput(
                field="writer", problem="does not go with commit=False", remedy="A writer has transactions of its own."
            )
        self.session = session
        self.model = self._get_model()
        self.ledger = check_ledger(self.default_ledger if ledger is None else ledger)
        self._commit = commit
        self._writer = writer
        self._store = store or (writer.store if writer else EventStore(self.entity))
        self._context = make_context(Context(), **context)
        self.position: int | None = None
        """Where the last write of this repository landed: hand it to a read that must not be older.

        None before the first one, and for what waits with `commit=False`.
        """

    def _get_model(self) -> type[Model]:
        return self.entity.model

    async def get(self, id: int | str) -> Model | None:
        """The entity with this id, or None."""
        return await self._read(lambda session: self._find(session, self._target(id)))

    async def get_all(self) -> list[Model]:
        """Every entity of the ledger, ordered by id. What waits with `commit=False` is flushed first."""
        table = self.entity.table
        statement = select(table).where(table.c.ledger_id == self.ledger).order_by(table.c.id)
        return await self._read(lambda session: self._load_all(session, statement))

    async def create(self, data: Mapping[str, Any], **options: Unpack[WriteOptions]) -> Model:
        """Record a new entity."""
        details = self.entity.aggregate.parse(data, creating=True)
        key = getattr(details, self.entity.aggregate.key_field)
        created = await self._write(key if isinstance(key, str) else None, Create(details=details), options)
        assert created is not None
        return created

    async def update(self, id: int | str, data: Mapping[str, Any], **options: Unpack[WriteOptions]) -> Model | None:
        """Change fields; None where there is no such entity. An empty update changes nothing."""
        changes = self.entity.aggregate.parse(data, creating=False)
        return await self._write(self._target(id), Update(changes=changes), options)

    async def delete(self, id: int | str, **options: Unpack[WriteOptions]) -> bool:
        """Take the entity out of its table and keep its events; False where there is no such entity."""
        found = await self._write(self._target(id), Delete(), options, lambda _: True)
        return bool(found)

    async def flush(self) -> None:
        """Append what was decided with `commit=False`, without committing."""
        with translated():
            await self.session.run_sync(_flush)

    def _target(self, target: int | str) -> int | str:
        return self._key(target) if isinstance(target, str) else check_int(target, "id", -(2**63))

    def _key(self, key: str) -> str:
        return check_text(key, self.entity.aggregate.key_field, KEY_LENGTH)

    async def _read(self, read: Callable[[Session], _T]) -> _T:
        with translated():
            return await self.session.run_sync(_read_or_again, read)

    def _find(self, session: Session, target: int | str) -> Model | None:
        unit = UnitOfWork.on(session)
        if unit is not None and (pending := unit.find(self._store, self.ledger, target)) is not None:
            return pending.handed_out(self._model(self.entity.copy(pending.row)))
        table = self.entity.table
        column = table.c.id if isinstance(target, int) else self.entity.key_column
        statement = select(table).where(table.c.ledger_id == self.ledger, column == target)
        return self._model(session.execute(statement).mappings().one_or_none())

    def _load_all(self, session: Session, statement: Any) -> list[Model]:
        _flush(session)  # as a session does before it queries
        return [self._new_model(row) for row in session.execute(statement).mappings()]

    async def _write(
        self,
        target: int | str | None,
        command: Command,
        options: WriteOptions,
        answer: Callable[[Row | None], Any] | None = None,
    ) -> Any:
        request = self._request(target, command, dict(options))
        answer = answer or self._model
        with translated():
            if self._writer is not None:
                # What the session has under way is committed as ever; on SQLite it would keep the writer waiting, too.
                if not is_idle(self.session.sync_session) or UnitOfWork.on(self.session.sync_session):
                    await self.session.run_sync(commit_all)
                outcome = await self._writer.execute(request)
                return self._answer(outcome, answer)
            return await self.session.run_sync(self._run, request, answer)

    def _request(self, target: int | str | None, command: Command, options: dict[str, Any]) -> Request:
        expected, command_id = options.pop("expected_version", None), options.pop("command_id", None)
        lease = options.pop("lease", None)
        return Request(
            ledger=self.ledger,
            target=target,
            command=command,
            context=make_context(self._context, **options),
            expected_version=None if expected is None else check_int(expected, "expected_version", 0),
            command_id=None if command_id is None else check_text(command_id, "command_id", KEY_LENGTH, min_length=1),
            lease=None if lease is None else check_lease(lease, self.ledger, target),
        )

    def _run(self, session: Session, request: Request, answer: Callable[[Row | None], Any]) -> Any:
        if not self._commit:
            return self._submit(session, request, answer)
        if UnitOfWork.on(session):
            # Together with what waits there: a second append in one transaction would take locks against the order.
            result = self._submit(session, request, answer)
            commit_all(session)
            return result
        outcome = self._run_and_commit(session, request)
        if outcome is not None and outcome.position is not None and self._store.announcer is not None:
            self._store.announcer.announce({request.ledger: outcome.position})
        return self._answer(outcome, answer)

    def _answer(self, outcome: Outcome | None, answer: Callable[[Row | None], Any]) -> Any:
        if outcome is None:
            return None
        self.position = outcome.position or self.position
        return answer(outcome.row)

    def _submit(self, session: Session, request: Request, answer: Callable[[Row | None], Any]) -> Any:
        decided = UnitOfWork.of(session).submit(self._store, request)
        if decided is None:
            return None
        result = answer(self.entity.copy(decided.row))
        return decided.pending.handed_out(result) if decided.pending is not None else result

    def _run_and_commit(self, session: Session, request: Request) -> Outcome | None:
        idle = is_idle(session)
        alone = idle and is_alone(session)
        tried: list[Batch] = []
        try:
            try:
                return self._attempt(session, request, tried, idle=idle, alone=alone)
            except (DBAPIError, OSError) as error:
                if not (alone and is_lost(error)):
                    raise
                # A server that restarted leaves dead connections in the pool; all of them are replaced by now.
                return self._attempt(session, request, tried, idle=idle, alone=alone)
        except (SQLAlchemyError, OSError, LedgerBusy) as error:
            if not tried:
                raise
            told = error if isinstance(error, LedgerBusy) else translate(error)
            raise OutcomeUnknown(problem=str(told)) from error

    def _attempt(
        self, session: Session, request: Request, tried: list[Batch], *, idle: bool, alone: bool
    ) -> Outcome | None:
        bind = session.get_bind()
        if alone and isinstance(bind, Engine) and bind.dialect.name != "sqlite":
            # The append is one statement that commits itself: it needs a connection, and no transaction of a session.
            with bind.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                return self._store.execute(connection, request, autocommit=True, tried=tried)
        try:
            connection = session.connection()
            check_connection(connection)
            if alone and can_go_direct(connection):
                outcome = go_direct(connection, lambda direct: self._execute_and_commit(direct, request))
            else:
                outcome = self._store.execute(connection, request)
        except BaseException as error:
            if idle and isinstance(error, LedgerError) and not isinstance(error, StoreUnavailable):
                session.commit()  # nothing was written; a rollback would expire what the caller has loaded
            elif idle:
                _end(session, lost=isinstance(error, (DBAPIError, OSError)) and is_lost(error))
            raise
        commit_all(session)
        return outcome

    def _execute_and_commit(self, connection: Connection, request: Request) -> Outcome | None:
        outcome = self._store.execute(connection, request)
        with committing():
            connection.commit()
        return outcome

    def _model(self, row: Row | None) -> Model | None:
        return None if row is None else self._new_model(row)

    def _new_model(self, row: Row) -> Model:
        model = self.entity.load(row)
        if row.get("id") is not None:
            make_transient_to_detached(model)
        return model


def _flush(session: Session) -> None:
    if (unit := UnitOfWork.on(session)) is not None:
        unit.flush()


def _read_or_again(session: Session, read: Callable[[Session], _T]) -> _T:
    """Read, and once again where the connection was lost and nothing of the caller's went with it."""
    idle = is_idle(session)
    try:
        return read(session)
    except (DBAPIError, OSError) as error:
        if not (idle and is_lost(error)):
            raise
        _end(session, lost=True)
        return read(session)


def commit_all(session: Session) -> None:
    """Commit what is the caller's, too."""
    with committing():
        session.commit()


def _end(session: Session, *, lost: bool) -> None:
    """End a transaction that held nothing of the caller's; where it was lost, what is loaded is not expired."""
    transaction = session.get_transaction()
    if lost and transaction is not None:
        transaction.close(invalidate=True)
    else:
        session.rollback()


def is_alone(session: Session) -> bool:
    """Whether a write may commit itself: not inside a transaction of the caller's, nor under hooks that expect one."""
    bind, hooks = session.get_bind(), session.dispatch
    hooked = hooks.after_begin or hooks.before_commit or hooks.before_flush or hooks.after_flush
    return isinstance(bind, Engine) and not hooked


def is_idle(session: Session) -> bool:
    """Whether nothing of the caller's would be committed along."""
    return not (session.in_transaction() or session.new or session.dirty or session.deleted)
