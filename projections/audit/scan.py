"""The one way through a ledger's events: candidates by an index, then their rows, until a page is full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, any_, bindparam, func, select

from ...infrastructure.root import read_size
from ...infrastructure.tables import execution_events
from ...infrastructure.types import to_json
from ..recorded_event import select_events
from .conditions import conditions
from .drivers import Driver, Everything, choose_driver, names_exactly, text_driver
from .filters import Filters
from .text_index import is_indexed
from .time_marks import Stretch, stretch_of

event = execution_events.c
MAX_SCAN = 100_000
"""Candidates that one call looks at, unless told otherwise."""
_CHUNK = 5_000
"""Candidates whose rows are asked for at once, at most."""
_POSITIONS = "positions"


class Found(NamedTuple):
    """What a scan found."""

    rows: list[Any]
    """Rows of `select_events`, in the order of the scan."""
    scanned: int
    """Candidates that were looked at."""
    last: int | None
    """The last of them."""
    more: bool
    """Whether there may be more behind that."""


class Scan:
    """Through the events of one ledger that pass filters, forward or backward, within a stretch of positions."""

    def __init__(
        self,
        connection: Connection,
        ledger: str,
        filters: Filters,
        *,
        size: int | None = None,
        most_data: int | None = None,
        extra: Sequence[ColumnElement[Any]] = (),
    ) -> None:
        """`size` bounds it to the ledger as it was then, `most_data` the characters of payloads that are read at once.

        `extra` columns of the events come with the rows.
        """
        self._connection = connection
        self._ledger = ledger
        self._filters = filters
        self._dialect = connection.dialect.name
        present = read_size(connection, ledger) if size is None else size
        self.stretch = stretch_of(connection, ledger, filters, present)
        self._conditions = list(conditions(ledger, filters, self._dialect))
        self._driver: Driver | None = None
        self._most_data = most_data
        self._select = select_events(ledger).add_columns(*extra)

    def after(self, position: int | None, *, backward: bool) -> Scan:
        """The same scan, only behind a position."""
        if position is not None:
            first, last = self.stretch
            beyond = Stretch(first, min(last, position - 1)) if backward else Stretch(max(first, position + 1), last)
            self.stretch = beyond
        return self

    def page(self, limit: int, *, backward: bool, most: int | None = MAX_SCAN) -> Found:
        """The first `limit` events; fewer where `most` candidates were looked at (None: never), or memory is full."""
        rows: list[Any] = []
        scanned, last = 0, None
        stretch, chunk = self.stretch, min(limit, _CHUNK)
        while stretch.first <= stretch.last:
            if most is not None:
                chunk = min(chunk, most - scanned)
            asked = self._next(stretch, chunk, backward=backward)
            candidates = self._fitting(asked)
            scanned += len(candidates)
            if candidates:
                rows += self._rows(candidates, limit - len(rows), backward=backward)
            exhausted = len(asked) < chunk and len(candidates) == len(asked)
            if len(rows) == limit:
                last = rows[-1].position
                return Found(rows, scanned, last, not exhausted or candidates[-1] != last)
            if exhausted:
                break
            last = candidates[-1]
            if len(candidates) < len(asked):
                return Found(rows, scanned, last, True)
            stretch = Stretch(stretch.first, last - 1) if backward else Stretch(last + 1, stretch.last)
            if most is not None and scanned >= most:
                return Found(rows, scanned, last, stretch.first <= stretch.last)
            chunk = min(chunk * 4, _CHUNK)
            self._turn_to_text()
        return Found(rows, scanned, None, False)

    def count(self, most: int, *, scan: int) -> tuple[int, bool]:
        """How many events pass, and whether that is all: counted up to `most`, among `scan` candidates."""
        driver = self._choose()
        if self.stretch.first > self.stretch.last:
            return 0, True
        if names_exactly(self._filters):
            counted = driver.count(self._connection, self.stretch, most + 1)
            exact = isinstance(driver, Everything) or counted <= most
            return (counted if exact else most), exact
        counted, scanned, stretch = 0, 0, self.stretch
        while stretch.first <= stretch.last:
            if scanned >= scan or counted > most:
                return min(counted, most), False
            candidates = self._next(stretch, min(_CHUNK, scan - scanned), backward=True)
            if not candidates:
                break
            where = self._where(candidates)
            counted += self._connection.execute(
                select(func.count()).select_from(execution_events).where(*where), self._parameters(candidates)
            ).scalar_one()
            scanned += len(candidates)
            stretch = Stretch(stretch.first, candidates[-1] - 1)
            self._turn_to_text()
        return min(counted, most), counted <= most

    def _choose(self) -> Driver:
        if self._driver is None:
            self._driver = choose_driver(self._connection, self._ledger, self._filters, self.stretch)
        return self._driver

    def _next(self, stretch: Stretch, limit: int, *, backward: bool) -> Sequence[int]:
        return self._choose().candidates(self._connection, stretch, limit, backward=backward)

    def _turn_to_text(self) -> None:
        """Use the index of texts where the first candidates did not do: it finds all, so it is for rare phrases."""
        phrase = self._filters.text
        if phrase is not None and isinstance(self._driver, Everything) and is_indexed(self._connection, phrase):
            self._driver = text_driver(self._ledger, phrase, self._dialect)

    def _fitting(self, candidates: Sequence[int]) -> Sequence[int]:
        """The first candidates, as many as have no more payload together than may be in memory; one at least."""
        if self._most_data is None or not candidates:
            return candidates
        # Bytes as they are stored, which PostgreSQL tells without reading them; SQLite counts characters.
        length = func.length(event.data) if self._dialect == "sqlite" else func.octet_length(event.data)
        statement = select(event.position, length).where(event.ledger_id == self._ledger, self._among(candidates))
        lengths: dict[int, int | None] = {}
        for position, characters in self._connection.execute(statement, self._parameters(candidates)):
            lengths[position] = characters
        left = self._most_data
        for at, position in enumerate(candidates):
            left -= lengths.get(position) or 0
            if left < 0:
                return candidates[: max(at, 1)]
        return candidates

    def _rows(self, candidates: Sequence[int], limit: int, *, backward: bool) -> Sequence[Any]:
        order = event.position.desc() if backward else event.position
        statement = self._select.where(*self._where(candidates)).order_by(order).limit(limit)
        return self._connection.execute(statement, self._parameters(candidates)).all()

    def _where(self, candidates: Sequence[int]) -> list[ColumnElement[bool]]:
        return [event.ledger_id == self._ledger, self._among(candidates), *self._conditions]

    def _among(self, candidates: Sequence[int]) -> ColumnElement[bool]:
        if isinstance(candidates, range):
            return event.position.between(min(candidates[0], candidates[-1]), max(candidates[0], candidates[-1]))
        if self._dialect == "sqlite":
            each = func.json_each(bindparam(_POSITIONS)).table_valued("value")
            return event.position.in_(select(each.c.value))
        return event.position == any_(bindparam(_POSITIONS, type_=ARRAY(BigInteger)))

    def _parameters(self, candidates: Sequence[int]) -> dict[str, Any]:
        if isinstance(candidates, range):
            return {}
        return {_POSITIONS: to_json(candidates) if self._dialect == "sqlite" else candidates}
