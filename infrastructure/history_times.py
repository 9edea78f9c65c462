"""Which index a page of the history is read by, where it is narrowed by when executions ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .types import UTCDateTime

TIMES = ("created_from", "created_before", "ended_from", "ended_before")
"""The filters by time: from a time on, or before it."""

_EVER = datetime.min.replace(tzinfo=UTC)


class unindexed(GenericFunction[datetime]):
    """A time as it is, but for no index to be used for it."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(unindexed)
def _add_nothing(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)} + interval '0')"


@compiles(unindexed, "sqlite")
def _sign(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


def hold(
    times: Mapping[str, datetime], created: ColumnElement[datetime], completed: ColumnElement[datetime]
) -> Iterator[ColumnElement[bool]]:
    """The conditions that the filters make; what has not ended passes none by its end."""
    for name, at in times.items():
        column = created if name.startswith("created") else completed
        yield column >= at if name.endswith("from") else column < at


def of_page(
    times: Mapping[str, datetime], dialect: str, created: ColumnElement[datetime], completed: ColumnElement[datetime]
) -> tuple[ColumnElement[datetime], ColumnElement[datetime]]:
    """Both columns as a page is to be narrowed and ordered by: the index of one of them may be hidden."""
    if is_read_by_end(times):
        return unindexed(created), completed
    if dialect == "sqlite" and "ended_from" not in times:  # without statistics, it takes any range for a small part
        return created, unindexed(completed)
    return created, completed


def is_read_by_end(times: Mapping[str, datetime], now: datetime | None = None) -> bool:
    """Whether the stretch of time of the ends is shorter than the one to be passed over by order of creation.

    Databases guess that both times have nothing to do with each other, so that some of the newest executions had ended
    by any time, and some of the oldest later than it: for few ends in the past they would read all newer executions,
    and for those that were under way at a time all older ones.
    """
    begin = times.get("ended_from")
    if begin is None:
        return False
    now = now or datetime.now(UTC)
    end = min(times.get("ended_before", now), now)
    newest = min(times.get("created_before", now), now)
    passed = newest - times.get("created_from", _EVER) if newest <= begin else newest - end
    return end - begin < passed
