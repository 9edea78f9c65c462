"""Pages of the run list and of the audit, near and deep, in small ledgers and in large ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Any

from rich.progress import track
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.infrastructure import ExecutionRepository, create_engine, create_sync_engine
from execution_ledger.infrastructure.history_query import Cursor
from execution_ledger.projections import AuditQueries, mark_times

from .fill import Runs, fill
from .results import Measured, Result
from .rounds import Measure, take_turns
from .stores import POSTGRESQL
from .world import World

LIST_FIRST = "run list: first page"
LIST_FILTERED = "run list: first page of a status"
LIST_DEEP = "run list: a page in the middle"
AUDIT_FIRST = "audit: first page"
AUDIT_DEEP = "audit: page far down"


def list_name(who: str, runs: int) -> str:
    """The contender in a ledger of that size."""
    return f"{who}, {runs:,} runs"


_LIST, _AUDIT = 50, 100
"""Rows of a page."""
_LENGTH = 4
"""Events of a run in the ledger that is audited."""
BYTES = "bytes"
_SIZES = """
SELECT CASE WHEN c.relkind = 'i' THEN i.indrelid::regclass || ': index ' || c.relname ELSE c.relname END,
    pg_relation_size(c.oid) + CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_total_relation_size(c.reltoastrelid) END
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'i') AND coalesce(i.indrelid, c.oid)::regclass::text
    IN ('execution_events', 'execution_streams', 'execution_history', 'execution_time_marks')
ORDER BY coalesce(i.indrelid, c.oid)::regclass::text, c.relkind DESC, c.relname"""


async def run(world: World, measured: Measured) -> None:
    """Fill ledgers by SQL, then read the same pages again and again, in transactions of their own."""
    contenders: dict[str, Measure] = {}
    engines: list[AsyncEngine] = []
    for number in world.scale.list_sizes:
        url = world.stores.create(POSTGRESQL)
        fill(url, [Runs(number, 1)], world.console)
        _vary(url, number)
        engine = create_engine(url)
        middle = Cursor(*await _middle(engine, number)).encode()
        engines.append(engine)
        reads: dict[str, Callable[[AsyncSession], Awaitable[None]]] = {
            LIST_FIRST: _list,
            LIST_FILTERED: partial(_list, status="failed"),
            LIST_DEEP: partial(_list, cursor=middle),
        }
        contenders |= {list_name(name, number): _pages(world, engine, read) for name, read in reads.items()}
    case = {"store": POSTGRESQL, "rows": _LIST}
    measured.results += await take_turns(case, contenders, world.scale, world.console, "pages/s")
    for engine in engines:
        await engine.dispose()
    for events in world.scale.audit_sizes:
        url = world.stores.create(POSTGRESQL)
        fill(url, [Runs(events // _LENGTH, _LENGTH)], world.console)
        _mark(url, world)
        engine = create_engine(url)
        far = await _cursor_far_down(engine, world.scale.audit_page)
        measured.results += _sizes(url, events)
        contenders = {
            AUDIT_FIRST: _pages(world, engine, _audit),
            AUDIT_DEEP: _pages(world, engine, partial(_audit, cursor=far)),
        }
        case = {"store": POSTGRESQL, "rows": _AUDIT, "events": events}
        measured.results += await take_turns(case, contenders, world.scale, world.console, "pages/s")
        await engine.dispose()
        world.stores.drop(url)


def _sizes(url: str, events: int) -> list[Result]:
    """Bytes of each table (with what is out of line) and of each index, for one execution."""
    engine = create_sync_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(_SIZES)).all()
    engine.dispose()
    case = {"store": POSTGRESQL, "events": events}
    return [Result(name, case, [size / (events // _LENGTH)], BYTES) for name, size in found]


def _pages(world: World, engine: AsyncEngine, read: Callable[[AsyncSession], Awaitable[Any]]) -> Measure:
    async def measure() -> float:
        begin = perf_counter()
        for _ in range(world.scale.pages):
            async with AsyncSession(engine) as session:
                await read(session)
        return world.scale.pages / (perf_counter() - begin)

    return measure


async def _list(session: AsyncSession, cursor: str | None = None, **filters: Any) -> None:
    page = await ExecutionRepository(session).get_execution_page(_LIST, cursor, **filters)
    assert page.executions


async def _audit(session: AsyncSession, cursor: str | None = None) -> None:
    page = await AuditQueries(session).events(_AUDIT, cursor)
    assert page.events


def _vary(url: str, runs: int) -> None:
    """One run in a hundred failed: what the filter is to find, spread evenly."""
    engine = create_sync_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        failed = "UPDATE execution_history SET status = 'failed', completed_at = started_at WHERE id % :n = 0"
        connection.execute(text(failed), {"n": min(100, max(1, runs // 2))})
        connection.execute(text("VACUUM ANALYZE execution_history"))
    engine.dispose()


async def _middle(engine: AsyncEngine, runs: int) -> tuple[Any, int]:
    async with AsyncSession(engine) as session:
        row = await ExecutionRepository(session).get(runs // 2)
        assert row is not None
        return row.created_at, row.id


def _mark(url: str, world: World) -> None:
    engine = create_sync_engine(url)
    for _ in track(iter(lambda: _mark_some(engine), 0), "  marks of time", console=world.console, transient=True):
        pass
    engine.dispose()


def _mark_some(engine: Any) -> int:
    with engine.begin() as connection:
        return mark_times(connection, "default")


async def _cursor_far_down(engine: AsyncEngine, page: int) -> str:
    """Behind so many pages."""
    left, cursor = (page - 1) * _AUDIT, None
    while left:
        async with AsyncSession(engine) as session:
            found = await AuditQueries(session).events(min(10_000, left), cursor)
        left, cursor = left - len(found.events), found.next_cursor
    assert cursor is not None
    return cursor
