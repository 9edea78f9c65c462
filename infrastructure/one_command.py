"""One command: decided on what is remembered or read, appended, and tried again where another writer was first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ..domain import Create, LedgerBusy, LedgerError, StreamState
from .batch import Appended, Batch, Row, Work, make_batch
from .connections import write_transaction
from .database_errors import UniqueViolation, is_conflict, leaves_doubt
from .recovery import find_batch
from .requests import Outcome, Request
from .stream_memory import memory_of
from .streams import Found, lock_streams

if TYPE_CHECKING:
    from .event_store import EventStore

_ATTEMPTS = 20
"""Decisions on one command before the store gives up: each failed one means that another writer was first."""


class OneCommand:
    """The tries of one command on one connection."""

    def __init__(self, store: EventStore, connection: Connection, request: Request, tried: list[Batch]) -> None:
        self._store = store
        self._connection = connection
        self._tried = tried
        self._doubtful = tuple(tried)
        """Batches of earlier connections that may have been appended though these broke."""
        if self._doubtful and self._doubtful[0].born:
            request = request.with_key(self._doubtful[0].born[0].key)
        self._request = request
        self._left: tuple[StreamState, Mapping[str, Any] | None] | None = None
        """The entity as the append left it, to be remembered."""

    def run(self, *, autocommit: bool) -> Outcome | None:
        """Decide and append; None where the target does not exist."""
        request = self._request
        # A violated key aborts a PostgreSQL transaction that is not ours to lose; only these commands insert keys.
        savepoint = not autocommit and (isinstance(request.command, Create) or request.command_id is not None)
        moved: UUID | None = None
        recalled = self._recall() if autocommit and not self._doubtful else None
        for _ in range(_ATTEMPTS):
            self._leave_no_doubt()
            begin = autocommit and (moved is not None or bool(self._doubtful))
            try:
                with write_transaction(self._connection, savepoint=savepoint, begin=begin):
                    # In one transaction with the append: what arrives late waits for its locks, and is refused.
                    if (recovered := self._recover()) is not None:
                        return recovered
                    if moved is not None:
                        lock_streams(self._connection, request.ledger, [moved])
                    outcome = self._try() if recalled is None else self._try_recalled(recalled)
            except UniqueViolation:
                outcome = _Again(None)
            except LedgerError:
                # A `Create` may be refused because of the very one that arrived late.
                if (recovered := self._recover()) is not None:
                    return recovered
                raise
            except DBAPIError as error:
                if not leaves_doubt(error):
                    self._leave_no_doubt()
                if not (autocommit and is_conflict(error)):
                    raise
                outcome = _Again(None)  # nothing of the caller's was lost with this transaction
            if not isinstance(outcome, _Again):
                if autocommit and self._left is not None:  # nobody knows whether a caller commits
                    memory_of(self._connection).remember(request.ledger, *self._left)
                return outcome
            # Writers of one execution would meet again and again: from the second try on, they queue for its row.
            moved, recalled = outcome.moved, None
        self._leave_no_doubt()
        raise LedgerBusy(problem="too many writers change the same execution", remedy="Try again later.")

    def _leave_no_doubt(self) -> None:
        """What this connection tried was refused."""
        del self._tried[len(self._doubtful) :]

    def _recall(self) -> _Recalled | None:
        """What a read would tell, as far as this process knows, where that is all that the command needs."""
        request = self._request
        if isinstance(request.command, Create):
            # Most are new; the keys tell where one is not.
            return _Recalled(Found(True, None, {}, None), self._store.entity.blank(request.ledger))
        if request.target is None or request.command.step_ids():
            return None
        entry = memory_of(self._connection).recall(request.ledger, request.target)
        return None if entry is None else _Recalled(Found(True, entry.state, {}, None), entry.row)

    def _try_recalled(self, recalled: _Recalled) -> Outcome | _Again:
        """Decide without a read. Only what the append then confirms counts; all else is asked of the database again."""
        outcome = None
        try:
            work = self._store.decide(self._request, recalled.found)
            if work and work.events:
                outcome = self._append(work, recalled.row)
        except (LedgerError, UniqueViolation):
            pass
        if isinstance(outcome, Outcome):
            return outcome
        if (state := recalled.found.state) is not None:
            memory_of(self._connection).forget(self._request.ledger, state)
        return _Again(None)

    def _try(self) -> Outcome | _Again | None:
        store, connection, request = self._store, self._connection, self._request
        found = store.read(connection, request)
        if found.receipt is not None:
            return store.replay(connection, request, found.receipt)
        work = store.decide(request, found)
        if work is None:
            return None
        if not work.events:
            return self._settle(work)
        if not found.ledger_exists:
            store.ensure_ledger(connection, request.ledger)
        return self._append(work, None)

    def _append(self, work: Work, row: Mapping[str, Any] | None) -> Outcome | _Again:
        """Append; `row` is the projected row before it, JSON as text, where that is known."""
        entity = self._store.entity
        batch = make_batch(self._request.ledger, [work])
        self._tried.append(batch)
        appended = self._store.append(self._connection, batch, returning=row is None)
        if appended is None:
            return _Again(work.base.execution_id if work.base else None)
        id = work.id or appended.id + 1
        state = work.aggregate.state(id)
        if row is None:
            found = appended.rows.get(id)
            row = None if found is None else entity.to_database(found)
        else:
            row = {**row, "id": id}
            for event in work.events:
                row = entity.advance(row, event)
        self._left = (state, row)
        return _outcome(state, appended, len(batch.events), None if row is None else entity.from_database(row))

    def _recover(self) -> Outcome | None:
        """The outcome of a command whose connection broke, if one of the batches tried was committed all the same."""
        for batch in self._doubtful:
            if (appended := find_batch(self._connection, batch)) is not None:
                state = batch.moved[0][0] if batch.moved else batch.born[0]._replace(id=appended.id + 1)
                row = self._store.read_row_at(self._connection, self._request.ledger, state, state.version)
                return _outcome(state, appended, len(batch.events), row)
        return None

    def _settle(self, work: Work) -> Outcome:
        """The outcome of a command that changed nothing."""
        if work.receipts:
            self._store.write_receipts(self._connection, self._request.ledger, work.receipts)
        assert work.id is not None
        row = self._store.read_row(self._connection, self._request.ledger, work.id)
        return Outcome(work.aggregate.id, work.id, work.aggregate.version, None, 0, row)


def _outcome(state: StreamState, appended: Appended, count: int, row: Row | None) -> Outcome:
    assert state.id is not None
    return Outcome(
        execution_id=state.execution_id,
        id=state.id,
        version=state.version,
        first_position=appended.position + 1,
        event_count=count,
        row=row,
    )


class _Recalled(NamedTuple):
    """What this process knows of the target of a command."""

    found: Found
    row: Mapping[str, Any] | None
    """The projected row, JSON as text, where it is known."""


class _Again(NamedTuple):
    """Nothing was written: read and decide again."""

    moved: UUID | None
    """The stream that another writer moved on, if that is why."""
