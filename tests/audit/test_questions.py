"""The questions of an audit: who changed what last, everything somebody did, what a piece of work touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput
from execution_ledger.infrastructure import ExecutionRepository
from execution_ledger.projections import AuditQueries, FieldChange
from execution_ledger.projections.audit import Filters
from execution_ledger.projections.audit.pages import read_page
from support.audits import histories, new_ledger, write
from support.examples import examples
from support.histories import exactly, fold, stored


@pytest.fixture
async def session(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


@pytest.fixture
async def story(session: AsyncSession) -> AuditQueries:
    """Two runs, and three people who change them."""
    ada = ExecutionRepository(session, actor="ada", correlation_id="work-1")
    bob = ExecutionRepository(session, actor="bob", reason="as was agreed")
    first = await ada.create_execution({"job_id": "first", "run_name": "nightly"})
    second = await bob.create_execution({"job_id": "second", "status": "running"})
    await ada.update_execution(first.id, {"status": "running", "message": "one"})
    await bob.update_execution(first.id, {"message": "two"})
    await ada.mark_execution_completed(first.id, {"rows": 3})
    await bob.correct_execution("first", {"result": {"rows": 4}}, reason="miscounted")
    await ada.start_step("second", "load")
    await ada.finish_step("second", "load", "failed", error="Disk full")
    await ada.delete(second.id)
    other = ExecutionRepository(session, ledger="other", actor="ada", correlation_id="work-1")
    await other.create_execution({"job_id": "elsewhere"})
    return AuditQueries(session)


def changed(page: Any) -> list[tuple[str, dict[str, tuple[Any, Any]]]]:
    return [(each.event.name, {name: (c.before, c.after) for name, c in each.changes.items()}) for each in page.events]


async def test_each_row_tells_before_and_after(story: AuditQueries) -> None:
    page = await story.events(newest_first=False, job_id="first")
    completed_at = page.events[3].event.recorded_at
    told = changed(page)
    assert told[0][1].keys() == {"job_id", "status", "run_name", "attempt", "created_at"}
    assert {before for before, _ in told[0][1].values()} == {None}
    assert told[1][1] == {
        "status": ("pending", "running"),
        "message": (None, "one"),
        "started_at": (None, page.events[1].event.recorded_at),
    }
    assert told[2:] == [
        ("details_changed", {"message": ("one", "two")}),
        (
            "completed",
            {"status": ("running", "completed"), "result": (None, {"rows": 3}), "completed_at": (None, completed_at)},
        ),
        ("corrected", {"result": ({"rows": 3}, {"rows": 4})}),
    ]


async def test_steps_tell_what_they_were_and_a_deletion_takes_everything(story: AuditQueries) -> None:
    page = await story.events(newest_first=False, job_id="second")
    created, started, finished, deleted = page.events
    assert {name: each.after for name, each in started.changes.items()} == {
        "steps.load.name": "load",
        "steps.load.started_at": started.event.recorded_at,
    }
    assert finished.changes["steps.load.outcome"] == FieldChange(None, "failed")
    assert {each.after for each in deleted.changes.values()} == {None}
    assert {name: each.before for name, each in deleted.changes.items()} == {
        name: each.after for name, each in created.changes.items()
    }


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_before_is_the_fold_up_to_there_and_after_the_fold_with_it(sync_engine: Engine, history: Any) -> None:
    ledger = new_ledger()
    write(sync_engine, ledger, history)
    with sync_engine.connect() as connection:
        page = read_page(connection, [ledger], Filters(), limit=1_000, cursor=None, newest_first=True, max_scan=None)
    events = stored(sync_engine, ledger)
    for each in page.events:
        of_run, version = events[each.event.execution_id], each.event.version
        before = fold(ledger, 1, of_run[: version - 1]) or {}
        after = fold(ledger, 1, of_run[:version]) or {}
        told = {name: change for name, change in each.changes.items() if not name.startswith("steps.")}
        for name, change in told.items():
            assert exactly(change.before) == exactly(before.get(name))
            assert exactly(change.after) == exactly(after.get(name))
        given_by_ledger = {"version", "updated_at", "id", "execution_id", "ledger_id"}
        differing = {name for name in before | after if exactly(before.get(name)) != exactly(after.get(name))}
        assert differing - given_by_ledger <= told.keys(), "a change that is not told"


async def test_who_changed_a_field_last(story: AuditQueries) -> None:
    message, result = await story.last_change("first", "message"), await story.last_change("first", "result")
    assert message is not None
    assert (message.event.actor, message.event.reason) == ("bob", "as was agreed")
    assert message.changes["message"] == FieldChange("one", "two")
    assert result is not None
    assert (result.event.name, result.event.actor, result.event.reason) == ("corrected", "bob", "miscounted")
    assert await story.last_change("first", "error") is None
    assert await story.last_change("no such job", "status") is None


async def test_everything_that_somebody_did(story: AuditQueries) -> None:
    page = await story.by_actor("ada", newest_first=False)
    assert [(each.event.job_id, each.event.name) for each in page.events] == [
        ("first", "created"),
        ("first", "started"),
        ("first", "completed"),
        ("second", "step_started"),
        ("second", "step_finished"),
        ("second", "deleted"),
    ]
    assert (page.complete, page.next_cursor, page.previous_cursor) == (True, None, None)
    assert str(await story.count(actor="ada")) == "6"
    assert str(await story.count(actor="ada", up_to=5)) == "at least 5"


async def test_every_correction_and_deletion(story: AuditQueries) -> None:
    page = await story.corrections_and_deletions()
    assert [(each.event.name, each.event.reason) for each in page.events] == [
        ("deleted", None),
        ("corrected", "miscounted"),
    ]


async def test_all_runs_that_a_piece_of_work_touched(story: AuditQueries, session: AsyncSession) -> None:
    everywhere = AuditQueries(session, ledger=["default", "other", "nobody's"])
    runs = await everywhere.touched_runs("work-1")
    assert [(each.ledger_id, each.job_id, each.status, each.deleted, each.events) for each in runs] == [
        ("default", "first", "completed", False, 3),
        ("default", "second", "running", True, 3),
        ("other", "elsewhere", "pending", False, 1),
    ]
    assert [(each.first_position, each.last_position) for each in runs] == [(1, 5), (7, 9), (1, 1)]
    one_by_one = [await everywhere.touched_runs("work-1", 1, after=after) for after in (None, *runs)]
    assert one_by_one == [[each] for each in runs] + [[]]
    assert [each.job_id for each in await story.touched_runs("work-1")] == ["first", "second"]
    assert await story.touched_runs("work-2") == []


async def test_several_ledgers_come_one_after_the_other_and_no_other_ledger_is_read(
    story: AuditQueries, session: AsyncSession
) -> None:
    both = AuditQueries(session, ledger=["other", "default"])
    page = await both.events(4, newest_first=False)
    assert [(each.event.ledger_id, each.event.position) for each in page.events] == [
        ("other", 1),
        ("default", 1),
        ("default", 2),
        ("default", 3),
    ]
    assert (await both.count()).number == 10
    assert (await story.count()).number == 9
    with pytest.raises(InvalidInput, match=r"cursor: belongs to another query.*same filters, ledgers"):
        await story.events(4, page.next_cursor, newest_first=False)


async def test_a_scan_that_is_bounded_says_how_far_it_came_and_goes_on(story: AuditQueries) -> None:
    page = await story.events(text="DISK full", max_scan=1)
    seen = []
    while not page.complete:
        assert page.scanned == 1
        seen += page.events
        page = await story.events(text="DISK full", cursor=page.next_cursor, max_scan=1)
    assert [each.event.name for each in [*seen, *page.events]] == ["step_finished"]
    assert (await story.count(text="disk full", max_scan=1)).exact is False
    assert str(await story.count(text="disk full")) == "1"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"actors": "ada"}, r"actors: is not a filter.*Use: actor, type, job_id, status"),
        ({"type": "finished"}, r"type: 'finished' is not an event.*execution\.created"),
        ({"type": []}, "type: is empty"),
        ({"status": "done"}, r"status: 'done' is not a status.*pending"),
        ({"status": ()}, "status: is empty"),
        ({"changed_field": "state"}, r"changed_field: 'state' is not a field.*Use: job_id, status"),
        ({"changed_field": 7}, "changed_field: 7 is not a field"),
        ({"recorded_from": "yesterday"}, r"recorded_from: 'yesterday' is not a time.*ISO 8601"),
        ({"occurred_before": 7}, "occurred_before: int is not a time"),
        ({"trace_id": "xyz"}, r"trace_id: 'xyz' is not a W3C trace id.*32"),
        ({"text": ""}, "text: is empty"),
        ({"text": "a\x1fb"}, "text: holds a unit separator"),
        ({"actor": "a\x00"}, "actor: holds a NUL"),
        ({"after": -1}, "after: -1"),
        ({"limit": 0}, r"limit: 0 is not such a number.*1 to 10000"),
        ({"max_scan": 0}, "max_scan: 0"),
        ({"cursor": "nonsense!"}, "cursor: is not a cursor"),
        ({"cursor": 7}, "cursor: is not a cursor"),
    ],
)
async def test_a_bad_filter_is_refused_by_name_with_the_remedy(
    session: AsyncSession, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        await AuditQueries(session).events(**options)


async def test_a_question_about_one_run_needs_one_ledger_and_no_ledger_is_none(session: AsyncSession) -> None:
    with pytest.raises(InvalidInput, match="ledger: is more than one"):
        await AuditQueries(session, ledger=["a", "b"]).last_change("first", "status")
    with pytest.raises(InvalidInput, match="ledger: is empty"):
        AuditQueries(session, ledger=[])


async def test_times_may_be_text_and_naive_ones_are_utc(story: AuditQueries) -> None:
    assert (await story.count(recorded_from=datetime(2000, 1, 1), recorded_before="2999-01-01T00:00Z")).number == 9
    assert (await story.count(occurred_before=datetime(2000, 1, 1, tzinfo=UTC))).number == 0


async def test_positions_beyond_every_ledger_are_bounds_like_any_other(story: AuditQueries) -> None:
    most = 2**63 - 1
    assert (await story.count(job_id="first", actor="ada", after=most)).number == 0
    assert (await story.events(after=most)).events == []
    assert await story.count(before=most) == await story.count()
