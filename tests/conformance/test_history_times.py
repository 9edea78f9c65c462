"""Pages by when executions ended are read by the index that has less to pass over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from execution_ledger.infrastructure import create_sync_engine
from execution_ledger.infrastructure.history_query import Cursor, HistoryQuery
from execution_ledger.infrastructure.history_times import is_read_by_end
from support import Database

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)


@pytest.mark.parametrize(
    ("times", "by_end"),
    [
        ({}, False),
        ({"created_from": -DAY}, False),
        ({"ended_before": -DAY}, False),
        ({"ended_from": -DAY}, False),  # what is newest has ended in it
        ({"ended_from": -DAY, "ended_before": HOUR}, False),
        ({"ended_from": -YEAR, "ended_before": -DAY}, False),
        ({"ended_from": -YEAR, "ended_before": DAY - YEAR}, True),  # a day against all since
        ({"ended_from": -YEAR, "ended_before": DAY - YEAR, "created_before": 2 * DAY - YEAR + HOUR}, True),
        ({"ended_from": -YEAR, "ended_before": DAY - YEAR, "created_before": DAY - YEAR}, False),
        ({"ended_from": -DAY, "created_before": -DAY}, True),  # under way a day ago, of all before
        ({"ended_from": -DAY, "created_before": -DAY, "created_from": -YEAR}, True),
        ({"ended_from": -YEAR, "created_before": -YEAR, "created_from": -YEAR - HOUR}, False),
        ({"ended_from": -YEAR, "created_from": -DAY}, False),
    ],
)
def test_the_shorter_way_is_taken(times: dict[str, timedelta], by_end: bool) -> None:
    assert is_read_by_end({name: NOON + by for name, by in times.items()}, NOON) is by_end


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("after", [None, Cursor(NOON - DAY, 5)])
@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"ended_from": NOON - DAY, "ended_before": NOON}, "completed_at"),
        ({"ended_from": NOON - DAY, "created_before": NOON - DAY}, "completed_at"),
        ({"created_before": NOON - DAY, "ended_before": NOON}, "created_at"),
        ({"ended_before": NOON}, "created_at"),
    ],
)
def test_sqlite_reads_by_it(database: Database, filters: dict[str, Any], index: str, after: Cursor | None) -> None:
    engine = create_sync_engine(database.url)
    sent: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *each: sent.append((each[2], each[3])))
    with engine.connect() as connection:
        connection.execute(HistoryQuery.of("default", filters).page("sqlite", 100, after=after))
        statement, parameters = sent[-1]
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    engine.dispose()
    assert f"USING INDEX execution_history_{index} " in plan[0], plan
