"""The one query gives what a look at every event gives, for whatever filters, pages and marks of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from execution_ledger.infrastructure.tables import execution_time_marks
from execution_ledger.projections import EventPage, TimeMarks, mark_times
from execution_ledger.projections.audit import Filters, Scan, time_marks
from execution_ledger.projections.audit.pages import read_page
from execution_ledger.projections.recorded_event import to_recorded_event
from support.audits import expected, few_filters, histories, new_ledger, write
from support.examples import examples
from support.histories import stored_with_jobs

some = settings(max_examples=examples(80), deadline=None, suppress_health_check=list(HealthCheck))
SMALL = 3
"""Positions in a block: a mark for every few events."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_marks, "BLOCK", SMALL)
    monkeypatch.setattr(time_marks, "_FEW_BLOCKS", 1)


def page(engine: Engine, ledgers: list[str], filters: dict[str, Any], cursor: str | None, **options: Any) -> EventPage:
    options = {"limit": 5, "newest_first": True, "max_scan": 10_000} | options
    with engine.connect() as connection:
        return read_page(connection, ledgers, Filters.of(filters), cursor=cursor, **options)


def walk(ask: Callable[[str | None], EventPage], way: str, cursor: str | None = None) -> Iterator[list[Any]]:
    """The keys of the events of each page, in one direction, to its end."""
    while True:
        found = ask(cursor)
        yield [(each.event.ledger_id, each.event.position) for each in found.events]
        cursor = getattr(found, way)
        if cursor is None:
            return


@some
@given(
    history=histories,
    filters=few_filters,
    marks=st.integers(0, 20),
    newest_first=st.booleans(),
    limit=st.integers(1, 6),
    max_scan=st.integers(1, 60),
)
def test_pages_hold_what_a_look_at_every_event_gives(
    sync_engine: Engine, history: Any, filters: Any, marks: int, newest_first: bool, limit: int, max_scan: int
) -> None:
    ledger = new_ledger()
    write(sync_engine, ledger, history)
    with sync_engine.begin() as connection:
        mark_times(connection, ledger, most=marks)
    wanted = expected(sync_engine, ledger, filters)
    wanted = wanted[::-1] if newest_first else wanted

    def ask(cursor: str | None) -> EventPage:
        return page(sync_engine, [ledger], filters, cursor, limit=limit, newest_first=newest_first, max_scan=max_scan)

    pages = list(walk(ask, "next_cursor"))
    assert [position for each in pages for _, position in each] == wanted
    assert all(len(each) <= limit for each in pages)
    with sync_engine.connect() as connection:
        scan = Scan(connection, ledger, Filters.of(filters))
        assert [row.position for row in scan.page(1_000, backward=newest_first, most=None).rows] == wanted
        assert Scan(connection, ledger, Filters.of(filters)).count(1_000, scan=1_000) == (len(wanted), True)
        number, exact = Scan(connection, ledger, Filters.of(filters)).count(2, scan=max_scan)
        assert number == len(wanted) if exact else number <= len(wanted)


@some
@given(
    before=histories, meanwhile=st.lists(histories, max_size=4), after=histories,
    filters=few_filters, newest_first=st.booleans(), max_scan=st.integers(1, 60),
)  # fmt: skip
def test_pages_in_both_directions_neither_overlap_nor_leave_out_while_events_arrive(
    sync_engine: Engine,
    before: Any,
    meanwhile: list[Any],
    after: Any,
    filters: Any,
    newest_first: bool,
    max_scan: int,
) -> None:
    ledgers = [new_ledger(), new_ledger()]
    now = [write(sync_engine, ledger, before) for ledger in ledgers]
    waiting = [*meanwhile]

    def ask(cursor: str | None) -> EventPage:
        found = page(sync_engine, ledgers, filters, cursor, limit=3, newest_first=newest_first, max_scan=max_scan)
        if waiting:
            more = waiting.pop()
            for at, ledger in enumerate(ledgers):
                now[at] = write(sync_engine, ledger, more, now[at])
        return found

    def everything() -> list[Any]:
        found = [(ledger, expected(sync_engine, ledger, filters)) for ledger in ledgers]
        return [(name, each) for name, all in found for each in (all[::-1] if newest_first else all)]

    seen_first = everything()
    found: list[Any] = []
    cursor, back = None, None
    while True:
        asked = ask(cursor)
        found += [(each.event.ledger_id, each.event.position) for each in asked.events]
        cursor, back = asked.next_cursor, asked.previous_cursor
        if cursor is None:
            break
    # In the order of the query, each event once; none of those missing that were there when the walk began.
    assert found == [each for each in everything() if each in set(found)]
    assert set(seen_first) <= set(found)
    last = [(each.event.ledger_id, each.event.position) for each in asked.events]
    waiting.clear()
    for at, ledger in enumerate(ledgers):
        write(sync_engine, ledger, after, now[at])
    if back is not None:
        ahead = [each for page in reversed(list(walk(ask, "previous_cursor", back))) for each in page]
        # All the way back, with what arrived on it meanwhile.
        whole = everything()
        end = whole.index(last[0]) if last else max((whole.index(each) + 1 for each in found), default=0)
        assert ahead == whole[:end]


@some
@given(history=histories)
def test_marks_are_the_times_of_full_blocks_whoever_makes_them_and_however_often(
    sync_engine: Engine, history: Any
) -> None:
    ledger, other = new_ledger(), new_ledger()
    for each in (ledger, other):
        write(sync_engine, each, history)
    with sync_engine.begin() as connection:
        events = [to_recorded_event(row) for row in stored_with_jobs(sync_engine, ledger)]
        for event in [*events, *events]:
            for statement in TimeMarks().statements(event):
                connection.execute(statement)
        while mark_times(connection, other, most=2):
            pass
    expected = [
        (
            min(each.recorded_at for each in block),
            max(each.recorded_at for each in block),
            min(each.at for each in block),
            max(each.at for each in block),
        )
        for block in (events[at : at + SMALL] for at in range(0, len(events), SMALL))
        if len(block) == SMALL
    ]
    mark = execution_time_marks.c
    with sync_engine.connect() as connection:
        for each in (ledger, other):
            rows = connection.execute(select(execution_time_marks).where(mark.ledger_id == each).order_by(mark.block))
            assert [(row.block, row[2:]) for row in rows] == list(enumerate(expected))
