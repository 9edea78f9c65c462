"""One transaction for a group of commands: again where it is safe, in parts where one command spoils it for all."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from ...domain import LedgerBusy, LedgerError, OutcomeUnknown, StoreError, StoreFull
from ..batch import Batch
from ..connections import check_connection, committed
from ..database_errors import UniqueViolation, is_held, is_lost, leaves_doubt, translate
from ..event_store import EventStore
from ..requests import Request
from .group import Answer, Group, Held, LedgersMissing
from .jobs import Behind, Turn
from .reading import Known, read_group, recall_group

MAX_BYTES = 16 * 1024**2
"""Payloads of one transaction, beyond which the rest waits for the next one."""

_TRIES = 5
"""Of a group, before it is halved: each failed one means that another process was first."""
_BUSY = LedgerBusy(problem="other writers create the same keys", remedy="Try again later.")
_DELAYS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds between tries to reach the database."""


class Committer:
    """Commits groups of commands."""

    def __init__(self, engine: Engine, store: EventStore, patience: float) -> None:
        self._engine = engine
        self._store = store
        self._patience = patience

    def commit(self, requests: Sequence[Request], turn: Turn, *, rows: bool) -> list[Answer | Held]:
        """Answer every command once it is committed, or refused. Raises where the database does not answer.

        Where somebody holds a ledger, its commands from some point on are `Held`: whoever waits for other ledgers must
        not wait for that one.
        """
        answers: list[Answer | Held] = []
        while len(answers) < len(requests):
            rest = requests[len(answers) :]
            try:
                answers += self._commit(rest, turn, rows)
            except LedgerError as error:
                if not answers:
                    raise
                answers += [error] * len(rest)  # what was committed before is acknowledged all the same
        return answers

    def _commit(self, requests: Sequence[Request], turn: Turn, rows: bool) -> Sequence[Answer | Held]:
        """The answers of as many commands as fit into one transaction."""
        swiftly = self._engine.dialect.name != "sqlite"
        if len(requests) == 1:
            attempt = _Single(self._store, requests[0], turn)
        else:
            attempt = _Group(self._store, requests, turn, rows, swiftly)
        deadline, failures, conflicts = time.monotonic() + self._patience, 0, 0
        missing: set[str] = set()
        missing_before: set[str] | None = None
        while True:
            try:
                with self._engine.connect() as connection:
                    check_connection(connection)
                    if missing:
                        with committed(connection):
                            self._store.ensure_ledgers(connection, missing)
                        missing = set()
                    return self._run(attempt, connection)
            except Behind:
                return [Held(Behind.error)] * len(requests)
            except LedgerError as error:
                if isinstance(error, LedgerBusy):
                    _check_doubt(attempt, error, error)
                return [error] * len(requests)
            except LedgersMissing as error:
                if missing_before == error.ledgers:
                    raise StoreError(
                        problem="rows that were locked did not stay as they were read",
                        remedy="Let nothing but execution-ledger write to its tables.",
                    ) from error
                missing = missing_before = error.ledgers
                continue
            except UniqueViolation as error:
                attempt.expect_new, conflicts = False, conflicts + 1
                if conflicts >= _TRIES:
                    _check_doubt(attempt, _BUSY, error)
                    return self._apart(requests, turn, rows, _BUSY)
            except (DBAPIError, InvalidRequestError) as error:
                told = translate(error)
                late = time.monotonic() > deadline
                if is_lost(error) and not late:
                    time.sleep(_DELAYS[min(failures, len(_DELAYS) - 1)])
                    failures += 1
                    continue
                conflicts += 1
                if not isinstance(told, LedgerBusy) or late:
                    _check_doubt(attempt, told, error)
                    told.__cause__ = error
                    if type(told) in (StoreError, StoreFull):
                        return self._apart(requests, turn, rows, told)
                    raise told from error
                if is_held(error) and not attempt.in_doubt:
                    if _is_of_one_ledger(requests):
                        return [Held(told)] * len(requests)
                    return self._apart(requests, turn, rows, told)
            except SQLAlchemyError as error:
                _check_doubt(attempt, told := translate(error), error)
                raise told from error
            time.sleep(random.uniform(0, 0.01) * min(conflicts, 10))

    def _run(self, attempt: _Single | _Group, connection: Connection) -> list[Answer]:
        try:
            return attempt.run(connection)
        except DBAPIError as error:
            if is_lost(error):
                connection.invalidate(error)  # an engine that is not ours keeps one to a server that was demoted
            raise

    def _apart(self, requests: Sequence[Request], turn: Turn, rows: bool, error: LedgerError) -> list[Answer | Held]:
        """Something unexpected spoiled the group: find out what, so that only that fails."""
        if len(requests) == 1:
            return [error]
        parts: dict[str | int, list[int]] = {}
        halves = _is_of_one_ledger(requests)
        for at, request in enumerate(requests):
            parts.setdefault(2 * at // len(requests) if halves else request.ledger, []).append(at)
        answers: dict[int, Answer | Held] = {}
        held: Held | None = None
        for part in parts.values():
            if held is not None and halves:  # in order: what comes later is not tried earlier
                answers |= dict.fromkeys(part, held)
                continue
            try:
                answers |= zip(part, self.commit([requests[at] for at in part], turn, rows=rows), strict=True)
            except LedgerError as failed:
                answers |= dict.fromkeys(part, failed)
            last = answers[part[-1]]
            held = last if isinstance(last, Held) else None
        return [answers[at] for at in range(len(requests))]


class _Single:
    """The tries of one command: a statement that commits itself, where the database allows that."""

    def __init__(self, store: EventStore, request: Request, turn: Turn) -> None:
        self._store = store
        self._turn = turn
        self._request = request
        self._tried: list[Batch] = []
        self.expect_new = True

    @property
    def in_doubt(self) -> bool:
        return bool(self._tried)

    def run(self, connection: Connection) -> list[Answer]:
        self._turn.take()
        if connection.dialect.name != "sqlite":
            return [self._store.execute(connection, self._request, autocommit=True, tried=self._tried)]
        with committed(connection):
            return [self._store.execute(connection, self._request)]


class _Group:
    """The tries of several commands, in one transaction."""

    def __init__(self, store: EventStore, requests: Sequence[Request], turn: Turn, rows: bool, swiftly: bool) -> None:
        self._store = store
        self._turn = turn
        self._requests = requests
        self._rows = rows
        self._swiftly = swiftly
        """Whether to try first with what this process remembers, in one statement."""
        self._doubtful: list[Group] = []
        """Those whose commit was under way when the connection broke."""
        self.expect_new = True

    @property
    def in_doubt(self) -> bool:
        return bool(self._doubtful)

    def run(self, connection: Connection) -> list[Answer]:
        group: Group | None = None
        try:
            if self._swiftly:
                self._swiftly = False
                group = self._decide_from_memory(connection)
                self._turn.take()
                if group is not None and group.is_outdated(connection):
                    group = self._decide_from_memory(connection)
                if group is not None and (answers := group.append_alone(connection)) is not None:
                    group.remember(connection)
                    return answers
            self._turn.take()
            with committed(connection):
                known = read_group(connection, self._requests, expect_new=self.expect_new)
                # With the locks: what arrives from now on waits for them, and is refused.
                for earlier in self._doubtful:
                    if (answers := earlier.recover(connection)) is not None:
                        return answers
                group = self._decide(connection, known)
                answers = group.append(connection)
        except DBAPIError as error:
            if group is not None and group.committing and leaves_doubt(error):
                self._doubtful.append(group)
                # Decided again, nothing gets another key: whichever comes second is refused.
                self._requests = group.with_keys(self._requests)
            raise
        group.remember(connection)
        return answers

    def _decide_from_memory(self, connection: Connection) -> Group | None:
        known = recall_group(connection, self._requests)
        if known is None or not (group := self._decide(connection, known)).is_plain:
            return None
        group.prepare(connection)
        return group

    def _decide(self, connection: Connection, known: Known) -> Group:
        group = Group(self._store, known, rows=self._rows)
        group.decide(connection, self._requests, MAX_BYTES)
        return group


def _is_of_one_ledger(requests: Sequence[Request]) -> bool:
    return all(request.ledger == requests[0].ledger for request in requests)


def _check_doubt(attempt: _Single | _Group, told: LedgerError, error: Exception) -> None:
    """Whoever is told that something failed would send it again: not while it may have been done."""
    if attempt.in_doubt:
        raise OutcomeUnknown(problem=str(told)) from error
