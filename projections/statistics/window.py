"""The window and the filters that every question to the statistics takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, Table, and_, or_

from ...domain import TERMINAL, InvalidInput, parse_status
from ...domain.limits import KEY_LENGTH
from ...domain.values import check_text, check_time
from ...infrastructure.tables import run_facts, run_statistics
from .cells import DAY, HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


class StatisticsFilters(TypedDict, total=False):
    """What runs may be narrowed by; every given filter must hold."""

    run_name: str | Iterable[str] | None
    """One name or several; "" for runs without one."""
    execution_type: str | Iterable[str] | None
    """One type or several; "" for runs without one."""
    outcome: str | Iterable[str] | None
    """One terminal status or several, in any case."""


@dataclass(frozen=True)
class Window:
    """Runs of a ledger that ended in some hours, and that filters let through."""

    ledger: str
    first: int
    """The first hour, counted since 1970 in UTC."""
    end: int
    """The hour after the last one."""
    filters: Mapping[str, list[str]]

    @classmethod
    def of(cls, ledger: str, ended_from: Any, ended_before: Any, filters: Mapping[str, Any]) -> Window:
        """Check times and filters; an hour that the window holds a part of is in it as a whole."""
        begin, end = check_time(ended_from, "ended_from"), check_time(ended_before, "ended_before")
        if begin >= end:
            raise InvalidInput(
                field="ended_before", problem="is not after ended_from", remedy="Send a window of an hour or more."
            )
        given = {name: value for name, value in filters.items() if value is not None}
        if unknown := given.keys() - StatisticsFilters.__annotations__.keys():
            names = ", ".join(StatisticsFilters.__annotations__)
            raise InvalidInput(field=min(unknown), problem="is not a filter", remedy=f"Use: {names}.")
        checked = {name: _values(name, value) for name, value in given.items()}
        return cls(ledger, (begin - _EPOCH) // _HOUR, -((_EPOCH - end) // _HOUR), checked)

    def facts(self) -> list[ColumnElement[bool]]:
        """The conditions on rows of `run_facts`."""
        fact = run_facts.c
        # The last as the partial index on `ended` has it.
        times = [fact.ended >= self.first * HOUR, fact.ended < self.end * HOUR, fact.outcome != ""]
        return [fact.ledger_id == self.ledger, *times, *self._narrowed(run_facts)]

    def cells(self, *, fine: bool) -> list[ColumnElement[bool]]:
        """The conditions on rows of `run_statistics`: `fine` where hours or names matter, else whole days count."""
        first_day, end_day = -(-self.first // DAY) * DAY, self.end // DAY * DAY
        if fine or "run_name" in self.filters or first_day >= end_day:
            times = _cells(1, self.first, self.end)
        else:
            hours = (_cells(1, self.first, first_day), _cells(1, end_day, self.end))
            times = or_(_cells(DAY, first_day, end_day), *hours)
        return [run_statistics.c.ledger_id == self.ledger, times, *self._narrowed(run_statistics)]

    def _narrowed(self, table: Table) -> Iterable[ColumnElement[bool]]:
        return (table.c[name].in_(values) for name, values in self.filters.items())


def _cells(span: int, first: int, end: int) -> ColumnElement[bool]:
    cell = run_statistics.c
    return and_(cell.span == span, cell.hour >= first, cell.hour < end)


def hour_of(time: datetime) -> int:
    """The hour that a time is in, counted since 1970 in UTC."""
    return (time - _EPOCH) // _HOUR


def begin_of(hour: int) -> datetime:
    """When an hour begins."""
    return _EPOCH + hour * _HOUR


def time_of(microseconds: int) -> datetime | None:
    """The time that a fact holds; None for none."""
    return _EPOCH + timedelta(microseconds=microseconds) if microseconds else None


def _values(name: str, value: Any) -> list[str]:
    several = isinstance(value, Iterable) and not isinstance(value, str)
    values: list[Any] = list(value) if several else [value]
    if not values:
        raise InvalidInput(field=name, problem="is empty", remedy="Name one, or leave it out.")
    return [_outcome(each) if name == "outcome" else check_text(each, name, KEY_LENGTH) for each in values]


def _outcome(value: Any) -> str:
    status = parse_status(value, "outcome")
    if status not in TERMINAL:
        names = ", ".join(sorted(TERMINAL))
        raise InvalidInput(field="outcome", problem=f"{status} is not an end", remedy=f"Use: {names}.")
    return status.value
