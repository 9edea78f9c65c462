"""Each filter, alone and with another, reads its index and no more of 120,000 skewed events; pages cost the same."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine as create_plain_engine
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.infrastructure import create_engine
from execution_ledger.projections import AuditQueries, EventPage, mark_times
from execution_ledger.projections.audit.conditions import setting
from support.postgres import Server
from support.skewed import ROWS, Ask, fill, plans

pytestmark = pytest.mark.store("postgresql")

LIMIT = 20
FILTERS: dict[str, dict[str, Any]] = {
    "a rare actor": {"actor": "ada"},
    "a common actor": {"actor": "scheduler"},
    "a rare type": {"type": "corrected"},
    "common types": {"type": ["created", "completed"]},
    "old types": {"type": ["progressed"]},
    "an execution": {"job_id": "job-9"},
    "a status told by types": {"status": "completed"},
    "a status told by data": {"status": "failed"},
    "the first status": {"status": "pending"},
    "a wide, old range": {"recorded_before": "2026-01-01T12:00Z"},
    "a narrow, old range": {"recorded_from": "2026-01-01T01:00Z", "recorded_before": "2026-01-01T01:01Z"},
    "when it happened": {"occurred_from": "2026-01-01T02:00Z", "occurred_before": "2026-01-01T03:00Z"},
    "a piece of work": {"correlation_id": "work-7"},
    "a trace": {"trace_id": "c4ca4238a0b923820dcc509a6f75849b"},
    "a field": {"changed_field": "progress"},
    "a field of a type": {"changed_field": "job_id"},
}
INDEXES = {
    "a rare actor": "execution_events_actor",
    "a common actor": "execution_events_actor",
    "a rare type": "execution_events_type",
    "common types": "execution_events_type",
    "old types": "execution_events_type",
    "an execution": "execution_events_version_key",
    "a status told by types": "execution_events_type",
    "a status told by data": "execution_events_status",
    "the first status": "execution_events_type",
    "a wide, old range": "execution_events_pkey",
    "a narrow, old range": "execution_time_marks",
    "when it happened": "execution_events_pkey",
    "a piece of work": "execution_events_correlation_id",
    "a trace": "execution_events_trace_id",
    "a field": "execution_events_type",
    "a field of a type": "execution_events_type",
}
READS: dict[str, dict[str, Any]] = {
    "a field": {"type": setting("progress")},
    "a field of a type": {"type": "created"},
    "the first status": {"type": ["created", "corrected"]},
}
"""What is read for filters that have no index of their own: the types that can pass."""
READ = text(
    "SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('execution_events', "
    "'execution_time_marks')) + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN "
    "('execution_events', 'execution_streams'))"
)


@pytest.fixture(scope="module")
def filled(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    url = postgres_server.create_database(postgres_template)
    fill(url)
    engine = create_plain_engine(url)
    with engine.begin() as connection:
        while mark_times(connection, "default"):
            pass
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE execution_time_marks"))
    engine.dispose()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def full_engine(filled: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(filled)
    yield engine
    async with flushed(engine):
        pass
    await engine.dispose()


def _ask(**filters: Any) -> Ask:
    return lambda session: AuditQueries(session).events(LIMIT, **filters)


@asynccontextmanager
async def flushed(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session whose reads are in the statistics at its end, and not at some time after that."""
    async with AsyncSession(engine) as session:
        yield session
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
        await session.commit()


async def so_far(engine: AsyncEngine) -> int:
    async with flushed(engine) as session:
        return int((await session.execute(READ)).scalar_one())


async def read(engine: AsyncEngine, **filters: Any) -> tuple[EventPage, int]:
    """A page, and how many entries of indexes and rows were read for it."""
    before = await so_far(engine)
    async with flushed(engine) as session:
        page = await AuditQueries(session).events(LIMIT, **filters)
    return page, await so_far(engine) - before


@pytest.mark.parametrize("name", FILTERS)
async def test_each_filter_uses_its_index(full_engine: AsyncEngine, name: str) -> None:
    plan = await plans(full_engine, _ask(**FILTERS[name]), "SELECT")
    assert f" {INDEXES[name]} " in plan, plan
    assert "Seq Scan on execution_events" not in plan, plan
    assert "Seq Scan on execution_streams" not in plan, plan


@pytest.mark.parametrize("name", FILTERS)
async def test_the_first_page_and_a_deep_one_read_the_same(full_engine: AsyncEngine, name: str) -> None:
    first, cost = await read(full_engine, **FILTERS[name])
    if name != "a field":  # which has no index of its own: the events that could set it are read, and most do not
        assert cost < 3_000, "beside the page itself: the marks, and the block at the edge of a range of time"
    if len(first.events) < LIMIT:
        return
    async with flushed(full_engine) as session:
        # As far down as there is a whole page left.
        oldest = await AuditQueries(session).events(2 * LIMIT, newest_first=False, **FILTERS[name])
    deep, deep_cost = await read(full_engine, before=oldest.events[-1].event.position + 1, **FILTERS[name])
    assert deep.events[0].event.position == oldest.events[-1].event.position < first.events[0].event.position
    assert deep_cost <= 1.3 * cost + 10, "a few entries more or less, by where pages of the index end"


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FILTERS, 2)))
async def test_two_filters_read_the_smaller_set_at_most(full_engine: AsyncEngine, one: str, other: str) -> None:
    if FILTERS[one].keys() & FILTERS[other].keys():
        return
    filters = FILTERS[one] | FILTERS[other]
    page, cost = await read(full_engine, **filters)
    async with flushed(full_engine) as session:
        sizes = [
            (await AuditQueries(session).count(up_to=ROWS, max_scan=ROWS, **READS.get(each, FILTERS[each]))).number
            for each in (one, other)
        ]
    # Counted up to a thousand, each; then the candidates, twice: in the index, and as rows.
    assert cost <= 3_000 + 2 * min(sizes), (page, sizes)
    assert page.complete
