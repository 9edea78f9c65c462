"""What holds for each projection that comes with the ledger, whatever happened in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from execution_ledger.api.runtime import PROJECTIONS
from execution_ledger.infrastructure import GroupWriter
from execution_ledger.projections import ExecutionSnapshots, Projection, Rebuild, TimeMarks, verify
from execution_ledger.projections.audit.time_marks import BLOCK
from execution_ledger.projections.beside import built
from execution_ledger.projections.engine.batch import project, read_events
from support import Database
from support.examples import examples
from support.histories import histories, write
from support.projecting import apply_each, projected, stored_events
from support.writers import create

some = settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
FREQUENT = ExecutionSnapshots(3)
"""Random histories are short."""
EACH = [FREQUENT if isinstance(each, ExecutionSnapshots) else each for each in PROJECTIONS]
each_projection = pytest.mark.parametrize("projection", EACH, ids=lambda each: each.name)


@each_projection
@some
@given(history=histories, size=st.integers(1, 30))
def test_live_is_what_is_projected_twice_and_what_is_rebuilt(
    sync_engine: Engine, projection: Projection, history: Any, size: int
) -> None:
    ledger = write(sync_engine, history)
    while project(sync_engine, projection, ledger, size):
        pass
    live = projected(sync_engine, projection, ledger)
    events = stored_events(sync_engine, ledger)
    for event in events:  # each twice in a row, then all again from the first on
        apply_each(sync_engine, projection, [event, event])
    apply_each(sync_engine, projection, events)
    assert projected(sync_engine, projection, ledger) == live
    assert_rebuilt_alike(sync_engine, projection, ledger, live)


@some
@given(history=histories)
def test_the_history_is_what_is_rebuilt(sync_engine: Engine, history: Any) -> None:
    ledger = write(sync_engine, history)
    rebuild = Rebuild(sync_engine, ledger)
    rebuild.build()
    assert rebuild.report().differences == 0
    rebuild.swap()
    rebuild.finish()
    assert list(verify(sync_engine, ledger)) == []


@each_projection
@some
@given(history=histories)
def test_events_that_are_passed_by_change_nothing(sync_engine: Engine, projection: Projection, history: Any) -> None:
    ledger = write(sync_engine, history)
    with sync_engine.connect() as connection:
        read = {each.position for each in read_events(connection, projection, ledger, 0, 1_000)}
    for event in stored_events(sync_engine, ledger):
        if projection.types is None or event.type in projection.types:
            assert event.position in read or not list(projection.statements(event))


async def test_full_blocks_are_marked_live_and_rebuilt(sync_engine: Engine, database: Database) -> None:
    async with GroupWriter(database.url) as writer:
        await writer.execute_many(create(f"job-{n}") for n in range(2 * BLOCK + 5))
    marks = next(each for each in EACH if isinstance(each, TimeMarks))
    while project(sync_engine, marks, "default", 1_000):
        pass
    live = projected(sync_engine, marks, "default")
    assert [row["block"] for row in live["execution_time_marks"]] == [0, 1]
    assert_rebuilt_alike(sync_engine, marks, "default", live)


def assert_rebuilt_alike(engine: Engine, projection: Projection, ledger: str, live: Any) -> None:
    rebuild = Rebuild(engine, ledger, projection)
    rebuild.build()
    assert rebuild.report().differences == 0
    assert projected(engine, projection, built(ledger)) == live
    rebuild.swap()
    rebuild.finish()
    assert projected(engine, projection, ledger) == live
