"""Many commands of one ledger in one transaction: each decided on what the one before left, all appended at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from ...domain import LedgerError, row_changes
from ..batch import Appended, Batch, Row, Work, make_batch
from ..event_store import EventStore, Outcome, Request, check_same_command
from ..recovery import find_batch
from ..streams import Found
from .reading import Known, read_group, target_of

Answer = Outcome | LedgerError | None
"""What became of a command: None where its target does not exist."""


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
class Group:
    """The commands of one transaction, decided one after the other."""

    store: EventStore
    connection: Connection
    ledger: str
    known: Known
    rows: bool
    """Whether the answers are to carry the projected rows."""
    works: dict[UUID, Work] = field(default_factory=dict)
    """The newest work of each stream."""
    answers: list[Answer | Decided] = field(default_factory=list)
    by_command: dict[str, Decided] = field(default_factory=dict)
    bytes: int = 0
    """Of all payloads."""
    batch: Batch = field(init=False)
    committing: bool = False
    """Whether it was appended, so that a connection that breaks now leaves its outcome open."""
    folded: dict[UUID, list[Row | None]] = field(default_factory=dict)
    """The rows of some streams before and after each of their new events."""

    def decide(self, request: Request) -> None:
        """Decide on one command; a refusal is its own."""
        try:
            self.answers.append(self._decide(request))
        except LedgerError as error:
            self.answers.append(error)

    def _decide(self, request: Request) -> Answer | Decided:
        if request.command_id is not None:
            if (receipt := self.known.receipts.get(request.command_id)) is not None:
                return self.store.replay(self.connection, request, receipt)
            if (earlier := self.by_command.get(request.command_id)) is not None:
                fingerprint = earlier.request.fingerprint()
                check_same_command(request, fingerprint, earlier.work.id, earlier.work.aggregate.key)
                return Decided(request, earlier.work, earlier.count)
        target = target_of(request)
        state = None if target is None else self.known.states.get(target)
        execution_id = state.execution_id if state else target
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

    def append(self) -> list[Answer]:
        """Append what was decided, and answer each command."""
        self.batch = make_batch(self.ledger, self.works.values())
        self._fold_by_hand()
        appended = Appended(0, 0, {})
        if self.batch.events:
            appended = self._append()
        elif self.batch.receipts:
            self.store.write_receipts(self.connection, self.ledger, self.batch.receipts)
        return self.answer(appended)

    def _append(self) -> Appended:
        returning = self.rows and any(work.events and id not in self.folded for id, work in self.works.items())
        appended = self.store.append(self.connection, self.batch, returning=returning)
        if appended is None:
            self.store.ensure_ledger(self.connection, self.ledger)
            appended = self.store.append(self.connection, self.batch, returning=returning)
        assert appended is not None, "the streams are locked and the ledger exists"
        return appended

    def answer(self, appended: Appended) -> list[Answer]:
        """What became of each command, now that it is known where the batch landed."""
        born = {state.execution_id: appended.id + at for at, state in enumerate(self.batch.born, 1)}
        return [self._answer(each, appended, born) if isinstance(each, Decided) else each for each in self.answers]

    def _answer(self, decided: Decided, appended: Appended, born: dict[UUID, int]) -> Outcome:
        work, execution_id = decided.work, decided.execution_id
        id = work.id or born[execution_id]
        row: Row | None = appended.rows.get(id)
        if (folded := self.folded.get(execution_id)) is not None:
            row = folded[len(work.events)]
            row = row if row is None else {**row, "id": id}
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

    def recover(self, connection: Connection) -> list[Answer] | None:
        """The answers, if the group was committed although the connection broke."""
        found = find_batch(connection, self.batch)
        if found is None:
            return None
        rows: dict[int, Row] = {}
        born = {state.execution_id: found.id + at for at, state in enumerate(self.batch.born, 1)}
        for execution_id, work in self.works.items() if self.rows else ():
            if work.events and execution_id not in self.folded:
                state = work.aggregate.state(work.id or born[execution_id])
                row = self.store.read_row_at(connection, self.ledger, state, state.version)
                if row is not None:
                    rows[row["id"]] = row
        return self.answer(found._replace(rows=rows))

    def _fold_by_hand(self) -> None:
        """Fold rows that the append cannot return, since they are of a moment between two commands or before any."""
        if not self.rows:
            return
        commands = Counter(each.execution_id for each in self.answers if isinstance(each, Decided))
        wanted = {id for id, count in commands.items() if count > 1 or not self.works[id].events}
        ids = {id: number for id in wanted if (number := self.works[id].id) is not None}
        stored = self.store.read_rows(self.connection, self.ledger, list(ids.values())) if ids else {}
        blank = dict.fromkeys(self.store.entity.table.columns.keys()) | {"ledger_id": self.ledger}
        for id in wanted:
            self.folded[id] = _fold(stored.get(ids[id]) if id in ids else blank, self.works[id].events)


def _fold(row: Row | None, events: Sequence[Any]) -> list[Row | None]:
    """The row before, and after each of these events."""
    rows = [row]
    for event in events:
        row = None if event.removes else {**(row or {}), **row_changes(event)}
        rows.append(row)
    return rows


def decide_group(
    store: EventStore,
    connection: Connection,
    requests: Sequence[Request],
    *,
    rows: bool = True,
    expect_new: bool = True,
    locked: Callable[[], object] = lambda: None,
    max_bytes: int | None = None,
) -> Group:
    """Decide on commands of one ledger, in order, in a transaction that the caller began.

    `locked` is called once the streams are locked and read. It stops short once the payloads have `max_bytes`:
    `len(group.answers)` commands were decided.
    """
    known = read_group(connection, requests, expect_new=expect_new)
    locked()
    group = Group(store, connection, requests[0].ledger, known, rows)
    for request in requests:
        if max_bytes is not None and group.bytes >= max_bytes:
            break
        group.decide(request)
    return group
