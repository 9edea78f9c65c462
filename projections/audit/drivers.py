"""Where candidates come from: one index is read in the order of positions, whatever the others would give.

The planner is not asked which one: on a guess that two filters go together it walks the ledger by its key, and reads
all of it where they do not. The set with the fewest events drives, counted in the index up to a bound; whatever else
must hold is asked of the rows that it names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, Select, false, func, select, union_all

from ...domain import stream_id
from ...infrastructure.tables import execution_events
from .conditions import BY_DATA, possible_types, told_by_data
from .filters import Filters
from .text_index import matches
from .time_marks import Stretch

event = execution_events.c
_ENOUGH = 1_000
"""Sets that have more are as good as each other."""


class Driver(ABC):
    """Names candidates."""

    @abstractmethod
    def candidates(self, connection: Connection, stretch: Stretch, limit: int, *, backward: bool) -> Sequence[int]:
        """The first (or last) `limit` positions in the stretch that may pass, in that order."""

    @abstractmethod
    def count(self, connection: Connection, stretch: Stretch, most: int) -> int:
        """How many candidates there are in the stretch; no more than `most` are counted."""


class Everything(Driver):
    """Every position: they have no gaps, so nothing is read."""

    def candidates(self, connection: Connection, stretch: Stretch, limit: int, *, backward: bool) -> Sequence[int]:
        """The positions themselves."""
        first, last = stretch
        if backward:
            return range(last, max(first, last - limit + 1) - 1, -1)
        return range(first, min(last, first + limit - 1) + 1)

    def count(self, connection: Connection, stretch: Stretch, most: int) -> int:
        """All of them, however many."""
        return max(stretch.last - stretch.first + 1, 0)


class ByIndex(Driver):
    """Events that one index gives in the order of positions, or several stretches of one, merged."""

    def __init__(self, ledger: str, branches: Sequence[Sequence[ColumnElement[bool]]]) -> None:
        self._ledger = ledger
        self._branches = branches

    def candidates(self, connection: Connection, stretch: Stretch, limit: int, *, backward: bool) -> Sequence[int]:
        """Read from the index alone."""
        return list(connection.execute(self._first(stretch, limit, backward=backward)).scalars())

    def count(self, connection: Connection, stretch: Stretch, most: int) -> int:
        """Counted in the index alone."""
        first = self._first(stretch, most, backward=True).subquery()
        return connection.execute(select(func.count()).select_from(first)).scalar_one()

    def _first(self, stretch: Stretch, limit: int, *, backward: bool) -> Select[int]:
        if not self._branches:
            return select(event.position).where(false())
        order = event.position.desc() if backward else event.position
        each = [
            select(event.position)
            .where(event.ledger_id == self._ledger, *branch, event.position.between(*stretch))
            .order_by(order)
            .limit(limit)
            for branch in self._branches
        ]
        if len(each) == 1:
            return each[0]
        # Each branch is ordered and limited by itself: so each reads its part of the index, and no further.
        union = union_all(*(select(branch.subquery().c.position) for branch in each)).subquery()
        position = union.c.position
        return select(position).order_by(position.desc() if backward else position).limit(limit)


class ByText(ByIndex):
    """Events whose texts hold a phrase, by the index of trigrams: all of them are found, then the first are taken."""

    def _first(self, stretch: Stretch, limit: int, *, backward: bool) -> Select[int]:
        (branch,) = self._branches
        found = (
            select(event.position)
            .where(event.ledger_id == self._ledger, *branch)
            .cte("found")
            .prefix_with("MATERIALIZED")
        )
        position = found.c.position
        statement = select(position).where(position.between(*stretch))
        return statement.order_by(position.desc() if backward else position).limit(limit)


class ByRun(Driver):
    """Events of one execution, in the order of versions, which is that of positions."""

    def __init__(self, ledger: str, job_id: str) -> None:
        self._ledger = ledger
        self._execution_id = stream_id(ledger, job_id)

    def candidates(self, connection: Connection, stretch: Stretch, limit: int, *, backward: bool) -> Sequence[int]:
        """Read by version; from the event beside the stretch where that is one of them, as on every later page."""
        mine = [event.ledger_id == self._ledger, event.execution_id == self._execution_id]
        beside = stretch.last + 1 if backward else stretch.first - 1
        version = connection.execute(select(event.version).where(*mine, event.position == beside)).scalar()
        if version is not None:
            mine.append(event.version < version if backward else event.version > version)
        order = event.version.desc() if backward else event.version
        statement = select(event.position).where(*mine, _within(stretch)).order_by(order).limit(limit)
        return list(connection.execute(statement).scalars())

    def count(self, connection: Connection, stretch: Stretch, most: int) -> int:
        """Counted among its events."""
        mine = [event.ledger_id == self._ledger, event.execution_id == self._execution_id]
        each = select(event.position).where(*mine, _within(stretch)).limit(most).subquery()
        return connection.execute(select(func.count()).select_from(each)).scalar_one()


def _within(stretch: Stretch) -> ColumnElement[bool]:
    # A sum is in no index: a database is not to walk the ledger by its key for the events of one run.
    return (event.position + 0).between(*stretch)


def choose_driver(connection: Connection, ledger: str, filters: Filters, stretch: Stretch) -> Driver:
    """The driver with the fewest candidates; one that stands alone is not counted."""
    drivers = list(_drivers(ledger, filters, connection.dialect.name))
    if len(drivers) < 2:
        return drivers[0] if drivers else Everything()
    return min(drivers, key=lambda each: each.count(connection, stretch, _ENOUGH))


def names_exactly(filters: Filters) -> bool:
    """Whether every candidate of the driver passes, so that candidates need only be counted."""
    given = {name for name in filters.given() if name not in ("after", "before")}
    return not given or (len(given) == 1 and given <= _EXACT and "pending" not in (filters.status or ()))


def text_driver(ledger: str, phrase: str, dialect: str) -> Driver:
    """The driver by the index of free text."""
    return ByText(ledger, [[matches(phrase, dialect)]])


_EXACT = frozenset({"actor", "type", "job_id", "status", "correlation_id", "trace_id"})


def _drivers(ledger: str, filters: Filters, dialect: str) -> Iterator[Driver]:
    if filters.job_id is not None:
        yield ByRun(ledger, filters.job_id)
    for name in ("trace_id", "correlation_id", "actor"):
        if (value := getattr(filters, name)) is not None:
            yield ByIndex(ledger, [[event[name] == value]])
    if (types := possible_types(filters)) is not None:
        yield ByIndex(ledger, list(_branches(types, filters.status, dialect)))


def _branches(
    types: Sequence[str], statuses: Sequence[str] | None, dialect: str
) -> Iterator[list[ColumnElement[bool]]]:
    # What a payload tells is found by its own index, but for `pending`, which that leaves out.
    indexed = () if statuses is None or "pending" in statuses else statuses
    for each in types:
        if not (indexed and each in BY_DATA):
            yield [event.type == each]
    if any(each in BY_DATA for each in types):
        for status in indexed:
            yield [told_by_data(status, dialect)]
