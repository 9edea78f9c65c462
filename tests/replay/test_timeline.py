"""Timelines: what each event changed, spans, gaps; and pages, put together, are the whole."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import FinishStep, Note, StartStep, Update, stream_id
from execution_ledger.projections import ReplayQueries, Spans, Timeline, apply_diff, time_in_statuses
from execution_ledger.projections.replay import RowDiff
from support.examples import examples
from support.histories import COLUMNS, START, Told, exactly, fold, histories, ids, stored, write

Sessions = async_sessionmaker[AsyncSession]
some = settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))


async def pages(queries: ReplayQueries, job: str, limit: int) -> list[Timeline]:
    found: list[Timeline] = []
    version: int | None = 1
    while version is not None:
        page = await queries.timeline(job, limit=limit, from_version=version, least_gap=0)
        assert page is not None
        found.append(page)
        version = page.next_version
    return found


async def spans_by_pages(queries: ReplayQueries, job: str, limit: int, *, steps: bool = True) -> Spans:
    found = await queries.spans(job, limit=limit, steps=steps)
    assert found is not None
    while found.next_version is not None:
        page = await queries.spans(job, limit=limit, from_version=found.next_version, steps=steps)
        assert page is not None
        assert len(page.statuses) <= 3 * limit, "one that was created with a life behind it has three"
        assert len(flat(page.steps)) + len(page.ended) <= limit
        found.extend(page)
    return found


def flat(steps: list[Any]) -> list[Any]:
    return [each for step in steps for each in (step, *flat(step.steps))]


def joined(gaps: list[Any]) -> list[tuple[datetime, datetime]]:
    """Gaps that touch, or lie over each other, are one."""
    merged: list[tuple[datetime, datetime]] = []
    for gap in sorted(gaps, key=lambda gap: gap.started_at):
        if merged and merged[-1][1] >= gap.started_at:
            merged[-1] = (merged[-1][0], max(merged[-1][1], gap.finished_at))
        else:
            merged.append((gap.started_at, gap.finished_at))
    return merged


@some
@given(history=histories, every=st.none() | st.integers(1, 6), limit=st.integers(1, 7))
async def test_pages_put_together_are_the_whole(
    sync_engine: Engine, sessions: Sessions, history: Any, every: Any, limit: int
) -> None:
    ledger = write(sync_engine, history, every=every)
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger)
        (whole,) = await pages(queries, "job-0", 10_000)
        parts = await pages(queries, "job-0", limit)
        spans = await queries.spans("job-0")
        of_parts = await spans_by_pages(queries, "job-0", limit)
        statuses = await spans_by_pages(queries, "job-0", limit, steps=False)
    assert [each for page in parts for each in page.events] == whole.events
    assert {version: each for page in parts for version, each in page.changes.items()} == whole.changes
    assert spans is not None
    assert [each for page in parts for each in page.statuses] == whole.statuses == spans.statuses
    assert spans.steps == whole.steps
    assert of_parts == spans
    assert (statuses.statuses, statuses.steps, statuses.version) == (spans.statuses, [], len(whole.events))
    for page, later in itertools.pairwise(parts):
        assert later.status_before == (page.statuses or [page.status_before])[-1]
    steps = {each.step_id: each for page in parts for each in flat(page.steps)}
    for ended in (each for page in parts for each in page.steps_ended):
        begun = steps[ended.step_id]
        assert (begun.finished_at, begun.outcome, begun.name) == (ended.finished_at, ended.outcome, ended.name)
        begun.error, begun.finished_version = ended.error, ended.finished_version
    told = [msgspec.structs.replace(each, steps=[]) for each in flat(whole.steps)]
    assert [msgspec.structs.replace(steps[each.step_id], steps=[]) for each in told] == told
    for kind in ("silence", "uncovered"):
        of_parts = [gap for page in parts for gap in page.gaps if gap.kind == kind]
        of_whole = [gap for gap in whole.gaps if gap.kind == kind]
        assert joined(of_parts) == joined(of_whole)
        assert kind == "uncovered" or of_parts == of_whole


@some
@given(history=histories, limit=st.integers(1, 7))
async def test_what_each_event_changed_leads_from_row_to_row(
    sync_engine: Engine, sessions: Sessions, history: Any, limit: int
) -> None:
    ledger = write(sync_engine, history)
    events = stored(sync_engine, ledger)[stream_id(ledger, "job-1")]
    number = ids(sync_engine, ledger)[events[0].execution_id]
    async with sessions() as session:
        changes = {
            v: c
            for page in await pages(ReplayQueries(session, ledger=ledger), "job-1", limit)
            for v, c in page.changes.items()
        }
    for at, event in enumerate(events, 1):
        older, newer = (
            fold(ledger, number, events[: at - 1]) or dict.fromkeys(COLUMNS),
            fold(ledger, number, events[:at]),
        )
        if newer is not None:
            diff = RowDiff(changes=changes.get(event.version, []), before_exists=True, after_exists=True)
            changed = apply_diff(older, diff)
            assert changed is not None
            assert exactly({name: changed[name] for name in COLUMNS}) == exactly(
                {name: newer[name] for name in COLUMNS}
            )


def story(*told: tuple[Any, int]) -> list[Told]:
    """Commands on the first job, with the seconds that passed before each."""
    return [Told(0, command, passed, None, "ada") for command, passed in told]


RUN = story(
    (Update.of({"status": "running"}), 10),
    (StartStep.of("fetch"), 5),
    (StartStep.of("inner", parent_step_id="fetch"), 5),
    (FinishStep.of("inner"), 20),
    (FinishStep.of("fetch", "failed", error="no route"), 10),
    (StartStep.of("store"), 100),
    (Note.of("still here"), 300),
    (FinishStep.of("store"), 10),
    (Update.of({"status": "completed", "result": {"rows": 3}}), 15),
)


async def test_a_timeline_tells_times_steps_and_gaps(sync_engine: Engine, sessions: Sessions) -> None:
    ledger = write(sync_engine, RUN)
    async with sessions() as session:
        timeline = await ReplayQueries(session, ledger=ledger).timeline("job-0", least_gap=12)
    assert timeline is not None

    def after(seconds: int) -> datetime:
        return START + timedelta(seconds=seconds)

    assert time_in_statuses(timeline.statuses) == {"pending": 10.0, "running": 465.0, "completed": 0.0}
    fetch, store = timeline.steps
    (inner,) = fetch.steps
    assert [(each.name, each.seconds, each.outcome) for each in (fetch, inner, store)] == [
        ("fetch", 35.0, "failed"),
        ("inner", 20.0, "completed"),
        ("store", 310.0, "completed"),
    ]
    assert (fetch.error, inner.parent_step_id) == ("no route", "fetch")
    assert [(gap.kind, gap.started_at, gap.finished_at) for gap in timeline.gaps] == [
        ("silence", after(20), after(40)),
        ("silence", after(50), after(150)),
        ("silence", after(150), after(450)),
        ("silence", after(460), after(475)),
        ("uncovered", after(50), after(150)),
        ("uncovered", after(460), after(475)),
    ]
    (result,) = [each for each in timeline.changes[10] if each.path == ("result",)]
    assert (result.kind, result.before, result.after) == ("set", None, {"rows": 3})


async def test_a_page_tells_what_was_going_on_when_it_begins(sync_engine: Engine, sessions: Sessions) -> None:
    ledger = write(sync_engine, RUN)
    async with sessions() as session:
        page = await ReplayQueries(session, ledger=ledger).timeline("job-0", from_version=5, limit=2)
    assert page is not None
    assert page.status_before is not None
    assert (page.status_before.status, page.status_before.seconds) == ("running", 465.0)
    assert [each.step_id for each in page.steps_before] == ["fetch", "inner"]
    assert [(each.step_id, each.outcome, each.error) for each in page.steps_ended] == [
        ("fetch", "failed", "no route"),
        ("inner", "completed", None),
    ]
    assert (page.statuses, page.steps, page.next_version) == ([], [], 7)


async def test_a_gap_is_told_where_a_page_begins_with_a_late_start(sync_engine: Engine, sessions: Sessions) -> None:
    ledger = write(
        sync_engine,
        [
            Told(0, StartStep.of("fetch"), 10, None, "ada"),
            Told(0, FinishStep.of("fetch"), 5, None, "ada"),
            Told(0, Note.of("still here"), 10, None, "ada"),
            Told(0, Update.of({"status": "running"}), 0, 21, "ada"),
        ],
    )
    async with sessions() as session:
        timelines = [await pages(ReplayQueries(session, ledger=ledger), "job-0", limit) for limit in (1, 4, 10)]
    for parts in timelines:
        uncovered = [
            ((gap.started_at - START).total_seconds(), gap.seconds)
            for page in parts
            for gap in page.gaps
            if gap.kind == "uncovered"
        ]
        assert uncovered == [(4.0, 6.0), (15.0, 10.0)]


async def test_spans_of_what_was_added_tell_ends_of_what_was_there(sync_engine: Engine, sessions: Sessions) -> None:
    ledger = write(sync_engine, RUN)
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger)
        page = await queries.spans("job-0", limit=3)
        rest = await queries.spans("job-0", from_version=5)
        nothing = await queries.spans("job-0", from_version=11)
        assert await queries.spans("nobody") is None
    assert page is not None
    assert rest is not None
    assert nothing is not None
    (fetch,) = page.steps
    assert (page.version, page.next_version) == (3, 4)
    assert (fetch.outcome, fetch.seconds, fetch.error) == ("failed", 35.0, None), "ended beyond the page"
    assert [each.status for each in page.statuses] == ["pending", "running"]
    assert [(end.step_id, end.outcome, end.error) for end in rest.ended] == [
        ("inner", "completed", None),
        ("fetch", "failed", "no route"),
    ]
    assert ([step.name for step in rest.steps], [each.status for each in rest.statuses]) == (["store"], ["completed"])
    assert (rest.version, rest.next_version, nothing.version) == (10, None, 10)
    assert nothing.statuses == nothing.steps == nothing.ended == []
