"""The history built anew. It is written with the events, so what was built keeps up with them, to the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, select

from ...infrastructure.bulk_rows import insert_rows
from ...infrastructure.connections import LOCK_TIMEOUT
from ...infrastructure.root import read_size
from ...infrastructure.tables import ExecutionHistory, execution_events, execution_streams, ledgers
from ..beside import built, earlier
from .folding import among, fold_executions, in_range
from .pages import is_long, read_page
from .rebuild_state import RebuildState, State
from .repair import repair_execution
from .row_sets import TableDifference, clear, copy, diff_sets, has_row, replace

_HISTORY: Any = ExecutionHistory.__table__
_EVENTS = 2_000
"""Events of a page, when it catches up."""
_IN_FLIGHT = 2 * LOCK_TIMEOUT / 1000
"""Seconds after which no statement of a writer waits for a lock that it asked for before."""


class HistoryTarget:
    """`execution_history` of a ledger."""

    name = "execution_history"
    unit = "executions"

    def __init__(self, ledger: str) -> None:
        self._ledger = ledger
        self._built, self._earlier = built(ledger), earlier(ledger)

    def begin(self, connection: Connection) -> int:
        """From here on, what changes is built once more."""
        self.clear(connection)
        return read_size(connection, self._ledger)

    def build(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, int] | None:
        """First all executions by their ids, then those that have changed since."""
        page = read_page(connection, self._ledger, state.done_id)
        if page:
            which = in_range(state.done_id, page[-1].id)
            self._fold(connection, which, _HISTORY.c.id > state.done_id, long=is_long(page))
            keep.step(connection, done_id=page[-1].id)
            head = select(ledgers.c.last_id).where(ledgers.c.ledger_id == self._ledger)
            return page[-1].id, max(connection.execute(head).scalar_one(), page[-1].id)
        position = self._catch_up(connection, state.position)
        keep.step(connection, position=position)
        size = read_size(connection, self._ledger)
        return None if size - position < _EVENTS else (state.done_id, state.done_id)

    def _catch_up(self, connection: Connection, position: int) -> int:
        """Build anew what the next events have changed, and answer up to which position that was."""
        upto = min(read_size(connection, self._ledger), position + _EVENTS)
        event, stream = execution_events.c, execution_streams.c
        ours = (stream.ledger_id == event.ledger_id) & (stream.execution_id == event.execution_id)
        changed = select(stream.id).distinct().join_from(execution_events, execution_streams, ours)
        changed = changed.where(event.ledger_id == self._ledger, event.position > position, event.position <= upto)
        if ids := connection.execute(changed).scalars().all():
            self._fold(connection, among(ids), _HISTORY.c.id.in_(ids))
        return upto

    def _fold(
        self, connection: Connection, which: ColumnElement[bool], rows: ColumnElement[bool], *, long: bool = True
    ) -> None:
        for name in (self._built, self._earlier):
            clear(connection, _HISTORY, name, rows)
        found = [folded.history() for folded in fold_executions(connection, self._ledger, which, long=long)]
        if new := [row | {"ledger_id": self._built} for row in found if row is not None]:
            insert_rows(connection, _HISTORY, new)

    def report(self, connection: Connection, state: State, keep: RebuildState) -> tuple[int, list[TableDifference]]:
        """Compared are the executions without an event behind the position."""
        position = self._catch_up(connection, state.position)
        keep.step(connection, position=position)
        return position, [diff_sets(connection, _HISTORY, self._ledger, self._built, self._untouched(position))]

    def _untouched(self, position: int) -> Callable[[Any], Sequence[ColumnElement[bool]]]:
        """Of the rows whose execution has no event behind a position."""
        event = execution_events.alias("later")
        later = select(1).where(event.c.ledger_id == self._ledger, event.c.position > position)
        return lambda row: [~later.where(event.c.execution_id == row.c.execution_id).exists()]

    def prepare(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Leave what does not differ out of the swap, which locks the head."""
        position = self._catch_up(connection, state.position)
        keep.step(connection, position=position)
        extra = [~has_row(_HISTORY, self._built), *self._untouched(position)(_HISTORY)]
        copy(connection, _HISTORY, self._ledger, self._earlier, *extra)
        changed = [has_row(_HISTORY, self._built, differing=True), *self._untouched(position)(_HISTORY)]
        copy(connection, _HISTORY, self._ledger, self._earlier, *changed)
        same = has_row(_HISTORY, self._ledger) & ~has_row(_HISTORY, self._ledger, differing=True)
        clear(connection, _HISTORY, self._built, same)

    def swap(self, connection: Connection, state: State, keep: RebuildState) -> None:
        """Replace what differs. The head is locked, last as ever: nobody appends until this is committed."""
        end, position = self._lock_head(connection), state.position
        while position < end:
            position = self._catch_up(connection, position)
        keep.step(connection, position=position)
        differs = has_row(_HISTORY, self._built, differing=True) & ~has_row(_HISTORY, self._earlier)
        copy(connection, _HISTORY, self._ledger, self._earlier, differs)
        self._put(connection, self._built, has_row(_HISTORY, self._earlier))

    def _put(self, connection: Connection, name: str, among: ColumnElement[bool]) -> None:
        """Make of the live rows among some what those under a name are: without them, there are none."""
        other = _HISTORY.alias("renamed")
        renamed = select(1).where(
            other.c.ledger_id == name, other.c.id == _HISTORY.c.id, other.c.job_id != _HISTORY.c.job_id
        )
        # One that has another's job id must make way for it first. (Two statements: with OR it would be quadratic.)
        clear(connection, _HISTORY, self._ledger, among, ~has_row(_HISTORY, name))
        clear(connection, _HISTORY, self._ledger, among, renamed.exists())
        replace(connection, _HISTORY, name, self._ledger)
        copy(connection, _HISTORY, name, self._ledger, ~has_row(_HISTORY, self._ledger))

    def settle(self, engine: Engine) -> None:
        """Mend rows that were added anew, where a writer's statement that had begun before did not find them."""
        stream = execution_streams.c
        swapped = (
            select(stream.job_id)
            .join_from(
                _HISTORY, execution_streams, (stream.id == _HISTORY.c.id) & (stream.version != _HISTORY.c.version)
            )
            .where(_HISTORY.c.ledger_id == self._ledger, stream.ledger_id == self._ledger)
            .where(has_row(_HISTORY, self._built))
        )
        time.sleep(_IN_FLIGHT)
        with engine.connect() as connection:
            behind = connection.execute(swapped).scalars().all()
        for job_id in behind:
            repair_execution(engine, job_id, self._ledger)

    def roll_back(self, connection: Connection, state: State) -> int:
        """Put back the rows that were replaced, but for those of executions that have gone on since."""
        self._lock_head(connection)
        stream = execution_streams.c
        gone_on = select(_HISTORY.c.id).join_from(
            _HISTORY, execution_streams, (stream.id == _HISTORY.c.id) & (stream.version != _HISTORY.c.version)
        )
        gone_on = gone_on.where(_HISTORY.c.ledger_id == self._built, stream.ledger_id == self._ledger)
        ids = connection.execute(gone_on).scalars().all()
        for name in (self._built, self._earlier):
            clear(connection, _HISTORY, name, _HISTORY.c.id.in_(ids))
        self._put(connection, self._earlier, has_row(_HISTORY, self._built))
        return len(ids)

    def clear(self, connection: Connection) -> None:
        """Remove what stands beside."""
        for name in (self._built, self._earlier):
            clear(connection, _HISTORY, name)

    def _lock_head(self, connection: Connection) -> int:
        size = select(ledgers.c.size).where(ledgers.c.ledger_id == self._ledger).with_for_update()
        return connection.execute(size).scalar() or 0
