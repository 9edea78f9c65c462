"""A unit of work on a caller's session: commands are decided at once and appended together, before the commit."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction, make_transient_to_detached

from ..domain import Delete, LedgerBusy, LedgerError, UnitRefused, VersionConflict, row_changes, stream_id
from .announcer import Announcer
from .batch import Batch, Work, make_batch
from .connections import check_connection, write_transaction
from .database_errors import UniqueViolation, translated
from .event_store import EventStore
from .requests import Request, check_same_command
from .streams import Found, known_commands, lock_streams, read_steps

_INFO = "execution_ledger.unit_of_work"
_FLUSHES = 5
"""Tries of a flush: each failed one means that another writer created the same key in between."""


@dataclass(slots=True)
class Pending:
    """One stream with commands that are decided and not yet appended."""

    store: EventStore
    ledger: str
    work: Work
    row: dict[str, Any] | None
    """The projected row as these commands leave it; None where they delete it."""
    requests: list[Request] = field(default_factory=list)
    entities: list[Any] = field(default_factory=list)
    """What was handed out for a stream that begins here, to learn its id at the flush."""
    answers: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """The row that each command with an id was answered with."""

    def handed_out(self, entity: Any) -> Any:
        """The same entity, remembered where it has no id yet."""
        if self.work.base is None and isinstance(entity, self.store.entity.model):
            self.entities.append(entity)
        return entity


class Decided(NamedTuple):
    """The projected row as a decided command leaves it; the row of a new entity has no id before the flush."""

    row: dict[str, Any] | None
    pending: Pending | None
    """Where the command waits; None where it ran in an earlier transaction."""


class UnitOfWork:
    """The undelivered commands of one session; every repository on the session shares it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pending: dict[tuple[str, UUID], Pending] = {}
        self._ids: dict[tuple[str, int], UUID] = {}
        self._refused: LedgerError | None = None
        self._landed: dict[str, tuple[Announcer, int]] = {}
        """What readers are told once it is committed: the size of each ledger."""

    @classmethod
    def on(cls, session: Session) -> UnitOfWork | None:
        """The session's unit of work, where it has one."""
        return session.info.get(_INFO)

    @classmethod
    def of(cls, session: Session) -> UnitOfWork:
        """The session's unit of work, made at the first call."""
        unit = cls.on(session)
        if unit is None:
            unit = session.info[_INFO] = cls(session)
            event.listen(session, "before_commit", lambda _: unit.flush())
            event.listen(session, "after_commit", lambda _: unit.announce())
            event.listen(session, "after_soft_rollback", lambda *_: unit.discard())
            event.listen(session, "after_transaction_end", unit._after_transaction)
            event.listen(session, "after_transaction_create", unit._before_savepoint)
        return unit

    def __len__(self) -> int:
        return len(self._pending)

    def discard(self) -> None:
        """Forget what was decided: the transaction it was meant for is gone."""
        self._clear()
        self._refused = None
        self._landed.clear()

    def announce(self) -> None:
        """Tell readers what was committed."""
        for ledger, (announcer, size) in self._landed.items():
            announcer.announce({ledger: size})
        self._landed.clear()

    def _clear(self) -> None:
        self._pending.clear()
        self._ids.clear()

    def _check(self) -> None:
        # As SQLAlchemy does after a failed flush: a commit that follows must not succeed without what was refused.
        if self._refused is not None:
            raise UnitRefused(problem=str(self._refused)) from self._refused

    def _before_savepoint(self, _: Session, transaction: SessionTransaction) -> None:
        # What came before a savepoint must survive its rollback, so it goes in first.
        # Through the parent, for the session's own connection would begin the savepoint first.
        if transaction.nested and transaction.parent is not None and (self._pending or self._refused):
            self.flush(transaction.parent.connection(None))

    def _after_transaction(self, _: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            self.discard()

    def find(self, store: EventStore, ledger: str, target: int | str) -> Pending | None:
        """The pending commands on an entity, if there are any."""
        execution_id = self._ids.get((ledger, target)) if isinstance(target, int) else stream_id(ledger, target)
        pending = self._pending.get((ledger, execution_id)) if execution_id else None
        return pending if pending and pending.store.entity is store.entity else None

    def submit(self, store: EventStore, request: Request) -> Decided | None:
        """Decide on a command now; None where its target does not exist."""
        self._check()
        connection = self._session.connection()
        check_connection(connection)
        if (earlier := self._earlier(request)) is not None:
            return earlier
        found = store.read(connection, request)
        if found.receipt is not None:
            outcome = store.replay(connection, request, found.receipt)
            return Decided(dict(outcome.row) if outcome.row else None, None)
        pending = self._pending_of(store, request, found)
        work = store.decide(request, found, pending.work if pending else None)
        if work is None:
            return None
        if pending is None:
            row = self._read_row(store, request, work)
            pending = Pending(store, request.ledger, work, row)
            self._pending[request.ledger, work.aggregate.id] = pending
            if work.id is not None:
                self._ids[request.ledger, work.id] = work.aggregate.id
            new = work.events
        else:
            new = work.events[len(pending.work.events) :]
            pending.work = work
        pending.requests.append(request)
        for each in new:
            pending.row = None if each.removes else (pending.row or {}) | row_changes(each)
        if request.command_id is not None:
            pending.answers[request.command_id] = pending.row
        return Decided(pending.row, pending)

    def _earlier(self, request: Request) -> Decided | None:
        """What a command with this id was answered, where it waits here."""
        if request.command_id is None:
            return None
        for pending in self._pending.values():
            if pending.ledger != request.ledger:
                continue
            for receipt in pending.work.receipts:
                if receipt.command_id == request.command_id:
                    check_same_command(request, receipt.fingerprint, pending.work.id, pending.work.aggregate.key)
                    return Decided(pending.answers[request.command_id], pending)
        return None

    def _pending_of(self, store: EventStore, request: Request, found: Found) -> Pending | None:
        if found.state is not None:
            pending = self._pending.get((request.ledger, found.state.execution_id))
        elif request.target is not None:
            pending = self.find(store, request.ledger, request.target)
        else:
            pending = None
        if pending is not None and not _is_current(pending.work, found.state):
            self._decide_again(self._session.connection(), pending, found)
        return pending

    def _read_row(self, store: EventStore, request: Request, work: Work) -> dict[str, Any] | None:
        if work.id is None:
            return dict.fromkeys(store.entity.table.columns.keys()) | {"ledger_id": request.ledger}
        row = store.read_row(self._session.connection(), request.ledger, work.id)
        return dict(row) if row is not None else None

    def _decide_again(self, connection: Connection, pending: Pending, found: Found) -> None:
        """Another writer moved the stream on: the same commands, decided on what it left."""
        names = frozenset[str]().union(*(request.command.step_ids() for request in pending.requests))
        steps = read_steps(connection, pending.ledger, pending.work.aggregate.id, names) if names else {}
        fresh = found._replace(steps=steps)
        work: Work | None = None
        for request in pending.requests:
            decided = pending.store.decide(request, fresh, work)
            if decided is None and not isinstance(request.command, Delete):
                raise _deleted_meanwhile(pending.work, fresh.state)  # nothing that was promised vanishes silently
            work = decided or work
        if work is None:  # it was to be deleted, and is
            work = Work(fresh.state, pending.work.aggregate)
        pending.work = work
        row = None
        if work.id is not None and (read := pending.store.read_row(connection, pending.ledger, work.id)) is not None:
            row = dict(read)
        for each in work.events:
            row = None if each.removes else (row or {}) | row_changes(each)
        pending.row = row

    def flush(self, connection: Connection | None = None) -> None:
        """Append what is pending, ledger by ledger: streams ordered by id, the head last. All of it, or nothing."""
        self._check()
        if not self._pending:
            return
        everything = sorted(self._pending.values(), key=lambda pending: pending.ledger)
        groups = [(ledger, list(group)) for ledger, group in groupby(everything, key=lambda pending: pending.ledger)]
        try:
            with translated():
                connection = connection or self._session.connection()
                with write_transaction(connection, savepoint=True) if len(groups) > 1 else nullcontext():
                    if len(groups) > 1:  # the streams of all ledgers before any head, as everybody locks them
                        for ledger, group in groups:
                            lock_streams(connection, ledger, [pending.work.aggregate.id for pending in group])
                    for ledger, group in groups:
                        self._flush_ledger(connection, ledger, group)
        except LedgerError as error:
            self._refused = error
            raise
        finally:
            self._clear()

    def _flush_ledger(self, connection: Connection, ledger: str, group: list[Pending]) -> None:
        keys = any(pending.work.base is None or pending.work.receipts for pending in group)
        for _ in range(_FLUSHES):
            try:
                with write_transaction(connection, savepoint=keys):
                    self._append(connection, ledger, group)
                return
            except UniqueViolation:
                continue
        raise LedgerBusy(problem="other writers create the same keys", remedy="Roll back and try again.")

    def _append(self, connection: Connection, ledger: str, group: list[Pending]) -> None:
        store = group[0].store
        self._lock(connection, ledger, group)
        batch = make_batch(ledger, [pending.work for pending in group])
        if batch.events:
            appended = store.append(connection, batch)
            if appended is None:
                store.ensure_ledger(connection, ledger)
                appended = store.append(connection, batch)
            assert appended is not None, "the streams are locked and the ledger exists"
            self._give_ids(batch, group, appended.id)
            if store.announcer is not None:
                self._landed[ledger] = store.announcer, appended.position + len(batch.events)
        elif batch.receipts:
            store.write_receipts(connection, ledger, batch.receipts)

    def _lock(self, connection: Connection, ledger: str, group: list[Pending]) -> None:
        """Take the locks, and decide again wherever the state is not the one that was decided on."""
        states = lock_streams(connection, ledger, [pending.work.aggregate.id for pending in group])
        command_ids = [receipt.command_id for pending in group for receipt in pending.work.receipts]
        # First, since what is refused below may only be refused because the very same command ran elsewhere.
        if command_ids and (known := known_commands(connection, ledger, command_ids)):
            raise LedgerBusy(
                problem=f"command {known[0]!r} ran in another transaction meanwhile",
                remedy="Roll back; the same command id then answers with its first outcome.",
            )
        for pending in group:
            state = states.get(pending.work.aggregate.id)
            if not _is_current(pending.work, state):
                self._decide_again(connection, pending, Found(True, state, {}, None))

    def _give_ids(self, batch: Batch, group: list[Pending], last_id: int) -> None:
        born = batch.new_ids(last_id)
        for pending in group:
            for entity in pending.entities:
                entity.id = born[pending.work.aggregate.id]
                make_transient_to_detached(entity)


def _deleted_meanwhile(work: Work, state: Any) -> VersionConflict:
    actual = state.version if state else 0
    return VersionConflict(key=work.aggregate.key, expected=work.base.version if work.base else 0, actual=actual)


def _is_current(work: Work, state: Any) -> bool:
    """Whether a decision rests on this very state; a lease taken since moves the token and not the version."""
    base = work.base
    return (base and (base.version, base.lease_token)) == (state and (state.version, state.lease_token))
