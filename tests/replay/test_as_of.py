"""States, differences, explanations and history pages of random histories, against folds made by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model.strategies import json_values, statuses
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import InvalidInput, stream_id
from execution_ledger.projections.replay import ReplayQueries, apply_diff, diff_rows
from support.examples import examples
from support.histories import START, exactly, fold, histories, ids, stored, write

Sessions = async_sessionmaker[AsyncSession]

some = settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
instants = st.integers(-100, 1_200).map(lambda seconds: START + timedelta(seconds=seconds))
every = st.none() | st.integers(1, 6)
jobs = st.sampled_from(["job-0", "job-1"])


def counted(events: list[Any], instant: datetime, by: str) -> list[Any]:
    """The events that count at an instant: by the reporter's clock, none does before the creation."""
    if by == "recorded":
        return [each for each in events if each.recorded_at <= instant]
    return [each for each in events if (each.occurred_at or each.recorded_at) <= instant]


class Ledger:
    """A history as it was written, and what is asked of it."""

    def __init__(self, engine: Engine, history: Any, every: int | None) -> None:
        self.name = write(engine, history, every=every)
        self.events = stored(engine, self.name)
        self.ids = ids(engine, self.name)

    def of(self, job: str) -> list[Any]:
        return self.events[stream_id(self.name, job)]

    def fold(self, events: list[Any]) -> dict[str, Any] | None:
        return fold(self.name, self.ids[events[0].execution_id], events) if events else None


@some
@given(history=histories, every=every, job=jobs, instant=instants, by=st.sampled_from(["recorded", "occurred"]))
async def test_the_state_as_of_an_instant_is_the_fold_of_what_counted_then(
    sync_engine: Engine, sessions: Sessions, history: Any, every: Any, job: str, instant: datetime, by: Any
) -> None:
    ledger = Ledger(sync_engine, history, every)
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger.name)
        for moment in {instant, *(each.recorded_at for each in ledger.of(job)[-3:])}:
            events = counted(ledger.of(job), moment, by)
            state = await queries.state_at(job, as_of=moment, by=by)
            assert state is not None
            assert exactly(state.row) == exactly(ledger.fold(events))
            created = bool(events) and events[0].version == 1
            assert state.version == (events[-1].version if created else 0)
            assert state.deleted == (created and events[-1].type == "execution.deleted")


@some
@given(history=histories, every=every, job=jobs, data=st.data())
async def test_the_older_state_with_the_difference_is_the_newer(
    sync_engine: Engine, sessions: Sessions, history: Any, every: Any, job: str, data: st.DataObject
) -> None:
    ledger = Ledger(sync_engine, history, every)
    events = ledger.of(job)
    versions = st.integers(0, len(events))
    first, last = sorted((data.draw(versions), data.draw(versions)))
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger.name)
        diff = await queries.diff(job, first, last)
        assert diff is not None
        assert exactly(apply_diff(ledger.fold(events[:first]), diff)) == exactly(ledger.fold(events[:last]))
        between = [each for each in events[first:last] if each.type.startswith("execution.step_")]
        assert [(each.version, each.kind) for each in diff.steps] == [
            (each.version, "began" if each.type.endswith("started") else "ended") for each in between
        ]
        early, late = sorted((data.draw(instants), data.draw(instants)))
        for by in ("recorded", "occurred"):
            older, newer = (ledger.fold(counted(events, instant, by)) for instant in (early, late))
            diff = await queries.diff(job, early, late, by=by)
            assert diff is not None
            assert exactly(apply_diff(older, diff)) == exactly(newer)


values = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3) | st.lists(json_values) | json_values


@settings(max_examples=500, deadline=None)
@given(before=values, after=values)
def test_a_difference_inside_json_leads_from_one_value_to_the_other(before: Any, after: Any) -> None:
    older, newer = {"result": before, "error": None}, {"result": after, "error": "e"}
    kept = exactly(older)
    diff = diff_rows(older, newer)
    assert exactly(apply_diff(older, diff)) == exactly(newer)
    assert exactly(older) == kept
    assert all(each.before is not each.after or each.kind != "changed" for each in diff.changes)
    assert diff_rows(newer, newer).changes == []


@some
@given(history=histories, every=every, job=jobs, data=st.data())
async def test_an_explanation_names_the_event_that_set_the_value(
    sync_engine: Engine, sessions: Sessions, history: Any, every: Any, job: str, data: st.DataObject
) -> None:
    ledger = Ledger(sync_engine, history, every)
    version = data.draw(st.integers(1, len(ledger.of(job))))
    events = ledger.of(job)[:version]
    row = ledger.fold(events)
    async with sessions() as session:
        explained = await ReplayQueries(session, ledger=ledger.name).explain(job, version=version)
    assert explained is not None
    if row is None:
        assert explained == {}
        return
    import json

    for name, value in row.items():
        if name in ("version", "updated_at"):
            setters = events
        elif name in ("ledger_id", "id", "execution_id"):
            setters = events[:1]
        else:
            told = [each for each in events if not each.type.endswith(("_started", "_finished", "noted"))]
            told = [*told, *(each for each in events if each.type == "execution.started")]
            setters = sorted((each for each in told if name in json.loads(each.data)), key=lambda each: each.version)
        if not setters:
            assert name not in explained
            continue
        by, setter = explained[name], setters[-1]
        assert exactly(by.value) == exactly(value)
        assert (by.version, by.position, by.type) == (setter.version, setter.position, setter.type)
        assert (by.actor, by.reason, by.recorded_at) == (setter.actor, setter.reason, setter.recorded_at)


@some
@given(history=histories, instant=instants, status=st.none() | statuses, limit=st.integers(1, 3), data=st.data())
async def test_the_history_as_of_an_instant_is_the_list_of_what_there_was(
    sync_engine: Engine, sessions: Sessions, history: Any, instant: datetime, status: Any, limit: int, data: Any
) -> None:
    ledger = Ledger(sync_engine, history, data.draw(every))
    then = [ledger.fold(counted(events, instant, "recorded")) for events in ledger.events.values()]
    expected = [row for row in then if row is not None and status in (None, row["status"])]
    expected.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger.name)
        found: list[Any] = []
        cursor = None
        while True:
            page = await queries.history_at(instant, limit, cursor, status=status)
            found += page.executions
            cursor = page.next_cursor
            if cursor is None:
                break
            assert len(page.executions) == limit
    rows = [{name: getattr(each, name) for name in each.__table__.columns.keys()} for each in found]  # noqa: SIM118
    assert list(map(exactly, rows)) == list(map(exactly, expected))


async def test_bad_questions_are_told_what_is_wrong(sync_engine: Engine, sessions: Sessions) -> None:
    ledger = write(sync_engine, [])
    async with sessions() as session:
        queries = ReplayQueries(session, ledger=ledger)
        for ask, field in (
            (queries.state_at("job-0", version=1, as_of=START), "as_of"),
            (queries.state_at("job-0", version=2), "version"),
            (queries.state_at("job-0", version=-1), "version"),
            (queries.state_at("job-0", as_of="yesterday"), "as_of"),
            (queries.state_at("job-0", as_of=START, by="reported"), "by"),  # type: ignore[arg-type]
            (queries.diff("job-0", 1, 0), "before"),
            (queries.diff("job-0", 1, by="occurred"), "before"),
            (queries.diff("job-0", START, START - timedelta(1), by="occurred"), "before"),
            (queries.explain("job-0", "colour"), "field"),
            (queries.history_at(START, 0), "limit"),
            (queries.history_at(START, status="unheard of"), "status"),
            (queries.history_at(START, cursor="?"), "cursor"),
        ):
            with pytest.raises(InvalidInput) as refused:
                await ask
            assert refused.value.field == field
        for nothing in (queries.state_at("nobody"), queries.diff("nobody", 0), queries.explain("nobody")):
            assert await nothing is None
