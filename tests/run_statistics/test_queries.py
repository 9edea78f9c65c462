"""The questions, answered for random stories as by hand, and for a small one as anybody would."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, SchemaNotReady
from execution_ledger.infrastructure import create_engine
from execution_ledger.projections import RecordedEvent, RunStatistics, Statistics, StatisticsQueries, Times
from support import Database
from support.examples import examples
from support.percentiles import assert_summarizes
from support.projecting import apply_each, execute_all, make_event, stored_events
from support.run_stories import ENDS, START, Counts, Run, Told, count, ended_runs, stories, write_story

BOUNDED: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
Ask = Callable[[StatisticsQueries], Awaitable[Any]]


def assert_counts(found: Statistics, counts: Counts) -> None:
    assert found.outcomes == {outcome: counts.outcomes[outcome] for outcome in ENDS}
    assert found.runs == counts.outcomes.total()
    assert found.late == counts.late
    assert_summarizes(found.duration, counts.durations)
    assert_summarizes(found.queue_time, counts.queue_times)


def test_statistics_over_any_window_and_names_are_as_by_hand(database: Database, sync_engine: Engine) -> None:
    engine = create_engine(database.url)

    async def ask(ledger: str, question: Ask) -> Any:
        async with AsyncSession(engine) as session:
            return await question(StatisticsQueries(session, ledger=ledger))

    @settings(max_examples=examples(60), **BOUNDED)
    @given(
        stories, st.integers(-30, 60), st.integers(1, 80), st.none() | st.sampled_from([("nightly",), ("", "ad hoc")])
    )
    def check(story: list[Told], begin: int, hours: int, names: tuple[str, ...] | None) -> None:
        ledger = write_story(sync_engine, story)
        events = stored_events(sync_engine, ledger)
        apply_each(sync_engine, RunStatistics(), events)
        window = (START + timedelta(hours=begin), START + timedelta(hours=begin + hours))
        first, end = window[0].replace(minute=0), window[1].replace(minute=0) + timedelta(hours=1)
        runs = [
            run
            for run in ended_runs(events)
            if first <= run.ended_at < end and (names is None or run.run_name in names)
        ]
        (whole,) = runner.run(ask(ledger, lambda queries: queries.statistics(*window, run_name=names)))
        assert_counts(whole, count(runs).get((), Counts()))
        for by, name in (
            ("run_name", "run_name"),
            ("execution_type", "execution_type"),
            ("hour", "hour"),
            ("day", "day"),
        ):
            found = runner.run(ask(ledger, lambda queries, by=by: queries.statistics(*window, by=by, run_name=names)))
            expected = count(runs, name)
            assert [key_of(each, by) for each in found] == sorted(key for (key,) in expected)
            for each in found:
                assert_counts(each, expected[key_of(each, by),])
        assert_lists(runner, lambda question: ask(ledger, question), window, runs, names)

    with asyncio.Runner() as runner:
        check()
        runner.run(engine.dispose())


def key_of(found: Statistics, by: str) -> Any:
    if by in ("hour", "day"):
        assert found.at is not None
        return int(found.at.timestamp()) // (3_600 if by == "hour" else 86_400)
    return getattr(found, by) or ""


def assert_lists(runner: asyncio.Runner, ask: Any, window: Any, runs: list[Run], names: Any) -> None:
    shown = [run for run in runs if not run.is_deleted]
    longest = runner.run(ask(lambda queries: queries.longest_runs(*window, limit=3, run_name=names)))
    durations = sorted((run.duration for run in shown if run.duration is not None), reverse=True)
    assert [each.duration for each in longest] == [each / 10**6 for each in durations[:3]]
    retried = runner.run(ask(lambda queries: queries.most_retried(*window, limit=3, run_name=names)))
    attempts = sorted((run.row["attempt"] for run in shown if run.row["attempt"] > 1), reverse=True)
    assert [each.attempt for each in retried] == attempts[:3]
    failed = [run for run in runs if run.row["status"] == "failed"]
    reasons = runner.run(ask(lambda queries: queries.failure_reasons(*window, run_name=names)))
    assert {each.reason or "": each.runs for each in reasons} == Counter(run.reason for run in failed)
    assert [each.runs for each in reasons] == sorted((each.runs for each in reasons), reverse=True)
    for each in reasons:
        alike = [run for run in failed if run.reason == (each.reason or "")]
        assert each.last_at == max(run.ended_at for run in alike)
        left = [run for run in alike if not run.is_deleted]
        last = max((run.ended_at for run in left), default=None)
        assert each.job_id in ({run.row["job_id"] for run in left if run.ended_at == last} or {None})
    failing = runner.run(ask(lambda queries: queries.most_failing(*window, run_name=names)))
    assert {each.run_name or "": each.outcomes["failed"] for each in failing} == Counter(run.run_name for run in failed)


def story() -> list[RecordedEvent]:
    """Two names: `nightly` ends on three days, `ad hoc` fails twice for one reason."""
    events: list[RecordedEvent] = []

    def run(job: str, name: str, begin: str, waits: float, takes: float, outcome: str, **more: Any) -> None:
        created = datetime.fromisoformat(begin)
        started = created + timedelta(seconds=waits)
        ended = started + timedelta(seconds=takes)
        for event, data in (
            ("created", {"job_id": job, "status": "pending", "attempt": 1, "run_name": name, "created_at": created}),
            ("started", {"status": "running", "started_at": started}),
            (outcome, {"status": outcome, "completed_at": ended, **more}),
        ):
            plain = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in data.items()}
            events.append(make_event(len(events) + 1, job, event, data=plain))

    run("n1", "nightly", "2026-03-01T01:10:00Z", 2, 60, "completed", execution_type="flow")
    run("n2", "nightly", "2026-03-02T01:10:00Z", 4, 120, "completed", execution_type="flow", attempt=2)
    run("n3", "nightly", "2026-03-03T01:10:00Z", 6, 600, "cancelled", execution_type="flow")
    run("a1", "ad hoc", "2026-03-01T09:00:00Z", 0, 5, "failed", error="no worker 7")
    run("a2", "ad hoc", "2026-03-01T09:30:00Z", 0, 15, "failed", error="no worker 12", attempt=4)
    run("a3", "ad hoc", "2026-03-01T09:30:00Z", 0, 30, "failed", error="Disk full")
    events.append(make_event(len(events) + 1, "a3", "deleted"))
    return events


@pytest.fixture
async def queries(engine: AsyncEngine, sync_engine: Engine) -> AsyncIterator[StatisticsQueries]:
    apply_each(sync_engine, RunStatistics(), story())
    async with async_sessionmaker(engine)() as session:
        yield StatisticsQueries(session)


@pytest.fixture
async def hourly(engine: AsyncEngine, sync_engine: Engine) -> AsyncIterator[StatisticsQueries]:
    """A run of a minute at the start of each of 72 hours."""
    begins = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(72)]
    events = [
        make_event(
            n,
            f"job-{n}",
            "created",
            data={
                "status": "completed",
                "created_at": begin.isoformat(),
                "started_at": begin.isoformat(),
                "completed_at": (begin + timedelta(minutes=1)).isoformat(),
            },
        )
        for n, begin in enumerate(begins, 1)
    ]
    with sync_engine.begin() as connection:
        execute_all(connection, RunStatistics().batch(events))
    async with async_sessionmaker(engine)() as session:
        yield StatisticsQueries(session)


MARCH = ("2026-03-01", "2026-04-01")


async def test_a_window_is_one_answer(queries: StatisticsQueries) -> None:
    (found,) = await queries.statistics(*MARCH)
    assert found.outcomes == {"completed": 2, "failed": 3, "cancelled": 1, "stopped": 0, "rejected": 0}
    assert (found.runs, found.failure_rate, found.duration.runs) == (6, 0.5, 6)
    assert found.duration.p50 == pytest.approx(30, rel=0.01)
    assert found.duration.max == pytest.approx(600, rel=0.01)
    assert found.queue_time.min == 0


async def test_a_window_without_runs_is_an_empty_answer(queries: StatisticsQueries) -> None:
    (found,) = await queries.statistics("2027-01-01", "2027-01-02")
    assert (found.runs, found.failure_rate, found.duration) == (0, None, Times(runs=0))
    assert await queries.statistics("2027-01-01", "2027-01-02", by="hour") == []


async def test_groups_come_page_by_page(queries: StatisticsQueries) -> None:
    days = await queries.statistics(*MARCH, by="day", limit=2)
    assert [(each.at, each.runs) for each in days] == [
        (datetime(2026, 3, 1, tzinfo=UTC), 4),
        (datetime(2026, 3, 2, tzinfo=UTC), 1),
    ]
    last = days[-1].at
    assert last is not None
    assert [each.runs for each in await queries.statistics(*MARCH, by="day", limit=2, after=last)] == [1]
    names = await queries.statistics(*MARCH, by="run_name")
    assert [(each.run_name, each.runs, each.failure_rate) for each in names] == [("ad hoc", 3, 1), ("nightly", 3, 0)]
    assert [each.run_name for each in await queries.statistics(*MARCH, by="run_name", after="ad hoc")] == ["nightly"]
    hours = await queries.statistics(*MARCH, by="hour", after="2026-03-01T09:00Z")
    assert [each.at and each.at.day for each in hours] == [2, 3]
    types = await queries.statistics(*MARCH, by="execution_type")
    assert [(each.execution_type, each.runs) for each in types] == [(None, 3), ("flow", 3)]


async def test_filters_narrow(queries: StatisticsQueries) -> None:
    (found,) = await queries.statistics(*MARCH, run_name="nightly", outcome=["COMPLETED", "cancelled"])
    assert found.runs == 3
    assert (await queries.statistics(*MARCH, execution_type="flow"))[0].runs == 3
    assert (await queries.statistics(*MARCH, execution_type="", outcome="completed"))[0].runs == 0


async def test_an_hour_of_which_the_window_holds_a_part_is_in_it(queries: StatisticsQueries) -> None:
    assert (await queries.statistics("2026-03-01T09:20Z", "2026-03-01T09:21Z"))[0].runs == 3
    assert (await queries.statistics("2026-03-01T08:00Z", "2026-03-01T09:00Z"))[0].runs == 0


async def test_failures_are_grouped_by_reason_with_their_last_run_that_is_not_deleted(
    queries: StatisticsQueries,
) -> None:
    one, other = await queries.failure_reasons(*MARCH)
    assert (one.reason, one.runs, one.job_id) == ("no worker <n>", 2, "a2")
    assert one.last_at == datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)
    assert (other.reason, other.runs, other.job_id) == ("Disk full", 1, None)


async def test_the_run_shown_for_a_reason_is_the_last_that_is_not_deleted(
    queries: StatisticsQueries, sync_engine: Engine
) -> None:
    apply_each(sync_engine, RunStatistics(), [make_event(99, "a2", "deleted")])
    reason, _ = await queries.failure_reasons(*MARCH)
    assert (reason.runs, reason.job_id) == (2, "a1")
    assert reason.last_at == datetime(2026, 3, 1, 9, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize("begin", [0, 1, 23, 24, 25, 47, 50])
@pytest.mark.parametrize("end", [24, 26, 48, 49, 71, 72])
async def test_a_window_is_its_whole_days_and_the_hours_around_them(
    hourly: StatisticsQueries, begin: int, end: int
) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    if begin < end:
        window = (start + timedelta(hours=begin), start + timedelta(hours=end))
        (found,) = await hourly.statistics(*window)
        assert (found.runs, found.duration.runs) == (end - begin, end - begin)
        assert sum(each.runs for each in await hourly.statistics(*window, by="day")) == end - begin


async def test_names_with_the_most_failures_come_first(queries: StatisticsQueries) -> None:
    assert [(each.run_name, each.outcomes["failed"]) for each in await queries.most_failing(*MARCH)] == [("ad hoc", 3)]


async def test_runs_are_listed_with_exact_times(queries: StatisticsQueries) -> None:
    longest = await queries.longest_runs(*MARCH, limit=2)
    assert [(each.job_id, each.duration, each.queue_time) for each in longest] == [("n3", 600, 6), ("n2", 120, 4)]
    assert longest[0].started_at == datetime(2026, 3, 3, 1, 10, 6, tzinfo=UTC)
    retried = await queries.most_retried(*MARCH)
    assert [(each.job_id, each.attempt, each.outcome) for each in retried] == [
        ("a2", 4, "failed"),
        ("n2", 2, "completed"),
    ]


async def test_the_runs_that_failed_for_a_reason_are_listed(queries: StatisticsQueries) -> None:
    runs = await queries.longest_runs(*MARCH, reason="no worker <n>")
    assert sorted(each.job_id for each in runs) == ["a1", "a2"]
    assert {each.outcome for each in runs} == {"failed"}
    assert await queries.longest_runs(*MARCH, reason="Disk full") == [], "deleted"
    assert await queries.longest_runs(*MARCH, reason="none like this") == []
    with pytest.raises(InvalidInput, match="reason: has 201 characters"):
        await queries.longest_runs(*MARCH, reason="x" * 201)


async def test_deleted_runs_stay_counted_and_are_not_listed(queries: StatisticsQueries) -> None:
    assert (await queries.statistics(*MARCH, run_name="ad hoc"))[0].runs == 3
    assert "a3" not in {each.job_id for each in await queries.longest_runs(*MARCH)}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ended_before": "2026-03-01"}, "ended_before"),
        ({"ended_from": "yesterday"}, "ended_from"),
        ({"by": "week"}, "by"),
        ({"after": "n"}, "after"),
        ({"by": "day", "after": "nightly"}, "after"),
        ({"by": "run_name", "after": datetime(2026, 3, 1)}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"run_name": []}, "run_name"),
        ({"run_name": 7}, "run_name"),
        ({"outcome": "running"}, "outcome"),
        ({"outcome": "done"}, "outcome"),
        ({"status": "failed"}, "status"),
    ],
)
async def test_what_cannot_be_answered_is_refused_by_name(
    queries: StatisticsQueries, wrong: dict[str, Any], field: str
) -> None:
    question: dict[str, Any] = {"ended_from": "2026-03-01", "ended_before": "2026-04-01"} | wrong
    with pytest.raises(InvalidInput) as refused:
        await queries.statistics(**question)
    assert refused.value.field == field


async def test_missing_tables_are_told_in_words_of_the_ledger() -> None:
    engine = create_engine("sqlite:///:memory:")
    async with AsyncSession(engine) as session:
        with pytest.raises(SchemaNotReady):
            await StatisticsQueries(session).statistics(*MARCH)
    await engine.dispose()
