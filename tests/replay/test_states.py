"""The row of an execution right after a version, made of the events that its values come from."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from execution_ledger.domain import stream_id
from execution_ledger.projections import states_at
from support.examples import examples
from support.histories import exactly, fold, histories, ids, stored, take_snapshots, write

some = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))


def at_all_versions(engine: Engine, ledger: str) -> dict[Any, Any]:
    points = [(id, version) for id, events in stored(engine, ledger).items() for version in range(len(events) + 1)]
    with engine.connect() as connection:
        return states_at(connection, ledger, points)


def folded(engine: Engine, ledger: str) -> dict[Any, Any]:
    numbers = ids(engine, ledger)
    return {
        (id, version): fold(ledger, numbers[id], events[:version])
        for id, events in stored(engine, ledger).items()
        for version in range(len(events) + 1)
    }


@some
@given(history=histories, every=st.integers(1, 6), kept=st.integers(1, 3))
def test_the_row_at_any_version_is_the_fold_with_and_without_snapshots(
    sync_engine: Engine, history: Any, every: int, kept: int
) -> None:
    ledger = write(sync_engine, history)
    expected = folded(sync_engine, ledger)
    assert exactly_all(at_all_versions(sync_engine, ledger)) == exactly_all(expected)
    take_snapshots(sync_engine, ledger, every, only=lambda each: each.version // every % kept == 0)
    assert exactly_all(at_all_versions(sync_engine, ledger)) == exactly_all(expected)
    take_snapshots(sync_engine, ledger, every)
    assert exactly_all(at_all_versions(sync_engine, ledger)) == exactly_all(expected)
    with sync_engine.connect() as connection:
        for point, row in expected.items():
            assert exactly(states_at(connection, ledger, [point])[point]) == exactly(row)


def exactly_all(rows: dict[Any, Any]) -> dict[Any, str]:
    return {point: exactly(row) for point, row in rows.items()}


def test_many_points_cost_three_statements(sync_engine: Engine) -> None:
    ledger = write(sync_engine, [])
    sent: list[str] = []
    event.listen(sync_engine, "before_cursor_execute", lambda *each: sent.append(each[2]))
    points = [(stream_id(ledger, f"job-{n % 3}"), n % 4) for n in range(2_000)]
    with sync_engine.connect() as connection:
        rows = states_at(connection, ledger, points)
    assert len([each for each in sent if each.startswith("SELECT")]) == 3
    assert rows.keys() == set(points)
    for (id, version), row in rows.items():
        known = id in (stream_id(ledger, "job-0"), stream_id(ledger, "job-1")) and version
        assert (row and row["version"]) == (1 if known else None)


def test_where_there_is_nothing_there_is_no_row(sync_engine: Engine) -> None:
    nobody = (uuid4(), 7)
    with sync_engine.connect() as connection:
        assert states_at(connection, "nowhere", [nobody]) == {nobody: None}
        assert states_at(connection, "nowhere", []) == {}
