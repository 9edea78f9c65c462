"""Many commands in one transaction: each decided on what the one before left, all appended at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ...domain import Create, LedgerError
from ..batch import Appended, Batch, Row, Work, make_batch
from ..database_errors import UniqueViolation
from ..event_store import EventStore
from ..recovery import find_batch
from ..requests import Outcome, Request, check_same_command
from ..stream_memory import memory_of
from ..streams import Found
from .reading import Known, target_of

Answer = Outcome | Exception | None
"""What became of a command: None where its target does not exist; a `LedgerError` unless a program is wrong."""


class Held(NamedTuple):
    """Nothing became of a command: somebody holds a lock that it needs. It can be tried again."""

    error: LedgerError


@dataclass(slots=True)
class Decided:
    """One command that was decided and waits for the append."""

    request: Request
    work: Work
    """As it was after this command; its stream's newest work is what is appended."""
    count: int
    """Its events, the last ones of the work."""

    @property
    def execution_id(self) -> UUID:
        """The stream."""
        return self.work.aggregate.id


@dataclass(slots=True)
class LedgerGroup:
    """The commands of one ledger in one transaction, decided one after the other."""

    store: EventStore
    ledger: str
    known: Known
    works: dict[UUID, Work] = field(default_factory=dict)
    """The newest work of each stream."""
    answers: list[Answer | Decided] = field(default_factory=list)
    by_command: dict[str, Decided] = field(default_factory=dict)
    bytes: int = 0
    """Of all payloads."""
    batch: Batch = field(init=False)
    folded: dict[UUID, list[Mapping[str, Any] | None]] = field(default_factory=dict)
    """Rows before and after each new event, JSON as text, of the streams whose row before is known."""

    def decide(self, connection: Connection, request: Request) -> None:
        """Decide on one command; a refusal is its own.

        But one that creates, and was taken for new, may be refused for another reason once all is read.
        """
        try:
            self.answers.append(self._decide(connection, request))
        except LedgerError as error:
            if self.known.expect_new and isinstance(request.command, Create):
                raise UniqueViolation from error
            self.answers.append(error)
        except (SQLAlchemyError, OSError, UniqueViolation):
            raise  # the whole group's
        except Exception as error:
            self.answers.append(error)

    def _decide(self, connection: Connection, request: Request) -> Answer | Decided:
        if request.command_id is not None:
            if (receipt := self.known.receipts.get((self.ledger, request.command_id))) is not None:
                return self.store.replay(connection, request, receipt)
            if (earlier := self.by_command.get(request.command_id)) is not None:
                fingerprint = earlier.request.fingerprint()
                check_same_command(request, fingerprint, earlier.work.id, earlier.work.aggregate.key)
                return Decided(request, earlier.work, earlier.count)
        state = self.known.find(request)
        execution_id = state.execution_id if state else target_of(request)
        earlier_work = self.works.get(execution_id) if isinstance(execution_id, UUID) else None
        steps = self.known.steps.get(state.execution_id, {}) if state else {}
        work = self.store.decide(request, Found(True, state, steps, None), earlier_work)
        if work is None:
            return None
        before = len(earlier_work.events) if earlier_work else 0
        decided = Decided(request, work, len(work.events) - before)
        self.works[decided.execution_id] = work
        if request.command_id is not None:
            self.by_command[request.command_id] = decided
        self.bytes += sum(len(row.data or "") for row in work.rows[before:])
        return decided

    def prepare(self, connection: Connection, *, rows: bool) -> None:
        """Make the batch, and read what rows the append cannot return."""
        self.batch = make_batch(self.ledger, self.works.values())
        if rows:
            self._fold_by_hand(connection)

    @property
    def wants_rows(self) -> bool:
        """Whether there are rows left that the append has to return."""
        return any(work.events and id not in self.folded for id, work in self.works.items())

    def answer(self, appended: Appended) -> list[Answer]:
        """What became of each command, now that it is known where the batch landed."""
        born = self.batch.new_ids(appended.id)
        return [self._answer(each, appended, born) if isinstance(each, Decided) else each for each in self.answers]

    def _answer(self, decided: Decided, appended: Appended, born: dict[UUID, int]) -> Outcome:
        work, execution_id = decided.work, decided.execution_id
        id = work.id or born[execution_id]
        row: Row | None = appended.rows.get(id)
        if (folded := self.folded.get(execution_id)) is not None:
            after = folded[len(work.events)]
            row = after if after is None else self.store.entity.from_database({**after, "id": id})
        first = appended.position + self.works[execution_id].offset + len(work.events) - decided.count + 1
        command_id = decided.request.command_id
        return Outcome(
            execution_id=execution_id,
            id=id,
            version=work.aggregate.version,
            first_position=first if decided.count else None,
            event_count=decided.count,
            row=row,
            replayed=command_id is not None and self.by_command[command_id] is not decided,
        )

    def recover(self, connection: Connection, *, rows: bool) -> Appended | None:
        """Where the batch landed, if it was committed although the connection broke."""
        found = find_batch(connection, self.batch)
        if found is None:
            return None
        born = self.batch.new_ids(found.id)
        for execution_id, work in self.works.items() if rows else ():
            if work.events and execution_id not in self.folded:
                state = work.aggregate.state(work.id or born[execution_id])
                row = self.store.read_row_at(connection, self.ledger, state, state.version)
                if row is not None:
                    found.rows[row["id"]] = row
        return found

    def _fold_by_hand(self, connection: Connection) -> None:
        """Fold the rows whose state before is known, and those that the append cannot return.

        Those are of a moment between two commands, or before any.
        """
        memory, entity = memory_of(connection), self.store.entity
        commands = Counter(each.execution_id for each in self.answers if isinstance(each, Decided))
        unread: dict[UUID, int] = {}
        for execution_id, work in self.works.items():
            if work.base is None:
                self.folded[execution_id] = self._fold(entity.blank(self.ledger), work.events)
                continue
            assert work.base.id is not None
            entry = memory.recall(self.ledger, work.base.id)
            if entry is not None and entry.row is not None and entry.state == work.base:
                self.folded[execution_id] = self._fold(entry.row, work.events)
            elif commands[execution_id] > 1 or not work.events:
                unread[execution_id] = work.base.id
        if unread:
            stored = self.store.read_rows(connection, self.ledger, list(unread.values()))
            for execution_id, id in unread.items():
                row = entity.to_database(stored[id]) if id in stored else None
                self.folded[execution_id] = self._fold(row, self.works[execution_id].events)

    def _fold(self, row: Mapping[str, Any] | None, events: Sequence[Any]) -> list[Mapping[str, Any] | None]:
        """The row before, and after each of these events."""
        rows = [row]
        for event in events:
            row = self.store.entity.advance(row, event)
            rows.append(row)
        return rows

    def remember(self, connection: Connection, appended: Appended) -> None:
        """Keep the rows for the commands to come."""
        memory, entity = memory_of(connection), self.store.entity
        born = self.batch.new_ids(appended.id)
        for execution_id, work in self.works.items():
            id = work.id or born[execution_id]
            row = self.folded[execution_id][-1] if execution_id in self.folded else None
            if row is not None:
                row = {**row, "id": id}
            elif id in appended.rows:
                row = entity.to_database(appended.rows[id])
            memory.remember(self.ledger, work.aggregate.state(id), row)


class Group:
    """The commands of one transaction, of one ledger or of several."""

    def __init__(self, store: EventStore, known: Known, *, rows: bool) -> None:
        """With `rows` the answers are to carry the projected rows."""
        self.committing = False
        """Whether it was appended, so that a connection that breaks now leaves its outcome open."""
        self._store = store
        self._known = known
        self._rows = rows
        self._returning = False
        self._batches: list[Batch] = []
        self._appended: dict[str, Appended] = {}
        self._ledgers: dict[str, LedgerGroup] = {}
        self._order: list[str] = []
        """The ledger of each command."""

    def decide(self, connection: Connection, requests: Sequence[Request], max_bytes: int) -> None:
        """Decide on commands in order. Stops short once the payloads have `max_bytes`."""
        size = 0
        for request in requests:
            group = self._ledgers.get(request.ledger)
            if group is None:
                group = self._ledgers[request.ledger] = LedgerGroup(self._store, request.ledger, self._known)
            size -= group.bytes
            group.decide(connection, request)
            self._order.append(request.ledger)
            size += group.bytes
            if size >= max_bytes:
                break

    @property
    def is_plain(self) -> bool:
        """Whether every command gave events, so that nothing but the append depends on what was known."""
        answers = (answer for group in self._ledgers.values() for answer in group.answers)
        return all(isinstance(answer, Decided) and answer.count for answer in answers)

    def append(self, connection: Connection) -> list[Answer]:
        """Append what was decided, and answer each command that was."""
        self.prepare(connection)
        batches = self._batches
        appended: dict[str, Appended] | None = {}
        if batches:
            appended = self._store.append_all(connection, batches, returning=self._returning)
            if appended is None:
                raise LedgersMissing({batch.ledger_id for batch in batches})
            self.committing = True
        for batch in (group.batch for group in self._ledgers.values() if not group.batch.events):
            if batch.receipts:
                self._store.write_receipts(connection, batch.ledger_id, batch.receipts)
        self._appended = appended
        return self._answers(appended)

    def is_outdated(self, connection: Connection) -> bool:
        """Whether this process remembers another state of some stream by now."""
        memory = memory_of(connection)
        return any(
            (entry := memory.recall(batch.ledger_id, old.id)) is None or entry.state is not old
            for batch in self._batches
            for _, old in batch.moved
        )

    def append_alone(self, connection: Connection) -> list[Answer] | None:
        """The same, once it is prepared, in a statement that commits itself.

        None, and nothing written, where what was known is outdated.
        """
        batches = self._batches
        self.committing = True
        appended = self._store.append_alone(connection, batches, returning=self._returning)
        if appended is not None:
            self._appended = appended
            return self._answers(appended)
        self.committing = False
        for batch in batches:
            for _, state in batch.moved:
                memory_of(connection).forget(batch.ledger_id, state)
        return None

    def prepare(self, connection: Connection) -> None:
        """Make what is appended."""
        groups = [self._ledgers[name] for name in sorted(self._ledgers)]
        for group in groups:
            group.prepare(connection, rows=self._rows)
        self._returning = self._rows and any(group.wants_rows for group in groups)
        self._batches = [group.batch for group in groups if group.batch.events]

    def remember(self, connection: Connection) -> None:
        """Keep what was appended for the commands to come, once it is committed."""
        for name, landed in self._appended.items():
            self._ledgers[name].remember(connection, landed)

    def recover(self, connection: Connection) -> list[Answer] | None:
        """The answers, if it was committed although the connection broke: wholly, or not at all."""
        appended: dict[str, Appended] = {}
        for name, group in sorted(self._ledgers.items()):
            if group.batch.events:
                found = group.recover(connection, rows=self._rows)
                if found is None:
                    return None
                appended[name] = found
        return self._answers(appended)

    def with_keys(self, requests: Sequence[Request]) -> list[Request]:
        """The same commands with the keys that they were given here."""
        answers = {name: iter(group.answers) for name, group in self._ledgers.items()}
        decided = [next(answers[name]) for name in self._order]
        keyed = [
            request.with_key(each.work.aggregate.key) if isinstance(each, Decided) else request
            for request, each in zip(requests, decided, strict=False)
        ]
        return [*keyed, *requests[len(keyed) :]]

    def _answers(self, appended: dict[str, Appended]) -> list[Answer]:
        nowhere = Appended(0, 0, {})
        answers = {name: iter(group.answer(appended.get(name, nowhere))) for name, group in self._ledgers.items()}
        return [next(answers[name]) for name in self._order]


class LedgersMissing(Exception):
    """Some of these ledgers are written to for the first time: they must be made, and the transaction done again."""

    def __init__(self, ledgers: set[str]) -> None:
        super().__init__(ledgers)
        self.ledgers = ledgers
