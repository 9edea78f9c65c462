"""On SQLite, too, candidates come out of one index, in order, and rows are found by their key."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event

from execution_ledger.projections.audit import Filters, Scan
from support import Database

pytestmark = pytest.mark.store("sqlite")


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"actor": "ada"}, "COVERING INDEX execution_events_actor"),
        ({"correlation_id": "work"}, "COVERING INDEX execution_events_correlation_id"),
        ({"trace_id": "c4ca4238a0b923820dcc509a6f75849b"}, "COVERING INDEX execution_events_trace_id"),
        ({"type": "corrected"}, "COVERING INDEX execution_events_type"),
        ({"type": ["corrected", "deleted"]}, "COVERING INDEX execution_events_type"),
        ({"status": "failed"}, "INDEX execution_events_status"),
        ({"changed_field": "error"}, "COVERING INDEX execution_events_type"),
        ({"job_id": "job"}, "INDEX sqlite_autoindex_execution_events_2 (ledger_id=? AND execution_id=?)"),
    ],
)
@pytest.mark.parametrize("backward", [True, False])
def test_each_filter_uses_its_index(
    database: Database, sync_engine: Engine, filters: dict[str, Any], index: str, backward: bool
) -> None:
    sent: list[tuple[str, Any]] = []
    event.listen(sync_engine, "before_cursor_execute", lambda *each: sent.append((each[2], each[3])))
    with sync_engine.connect() as connection:
        scan = Scan(connection, "default", Filters.of(filters), size=1_000)
        scan.page(100, backward=backward)
        scan._rows([1, 2, 3], 3, backward=backward)
        asked = [each for each in sent if "execution_events" in each[0]]
        plans = [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
        ]
    *_, candidates, rows = plans
    assert any(index in line for line in candidates), candidates
    for line in candidates + rows:
        assert not line.startswith("SCAN execution_"), (line, plans)
    if len(filters.get("type", "")) != 2 and "changed_field" not in filters and "status" not in filters:
        assert not [line for line in candidates if "TEMP B-TREE" in line], candidates
    assert any("SEARCH execution_events" in line and "position=?" in line for line in rows), rows
