"""Random commands, cut into groups at random, give what the same commands give one at a time."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from execution_ledger.domain import Command, Context, Correct, Create, Delete, FinishStep, LedgerError, Note, StartStep
from execution_ledger.domain import ReportLateOutcome as Late
from execution_ledger.infrastructure import EventStore, GroupWriter, Outcome, Request, create_sync_engine
from support import Database
from support.audit import audit
from support.audit import audit_ledger as read_ledger
from support.examples import examples
from support.writers import create, update

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
JOBS = ("a", "b", "ü'", "new", "newer")
OLD = 3
"""How many of them are there from the start; an id that a group gives is known to nobody before it is committed."""
STATUSES = ("pending", "running", "waiting_for_approval", "stopping", "completed", "failed")
STEPS = ("s", "t")

fields = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(STATUSES),
        "message": st.sampled_from(["m", "n", None]),
        "inputs": st.sampled_from([{"k": [1, 1.0, None, "é"]}, [], "text", None, 0, False]),
        "progress": st.sampled_from([0, 0.5, 1.0, None]),
        "started_at": st.sampled_from(["2026-01-31T13:00:00+05:45", None]),
        "attributes": st.sampled_from([{"x": {"y": 1e300}}, {}, None]),
    },
)
changes = st.one_of(
    fields.map(lambda data: update("", **data).command),
    fields.map(lambda data: update("", **data).command),
    fields.map(Correct.of),
    st.sampled_from(["completed", "failed"]).map(lambda status: Late.of(status, {"rows": 3})),
    st.builds(StartStep.of, st.sampled_from(STEPS), parent_step_id=st.none() | st.sampled_from(STEPS)),
    st.builds(FinishStep.of, st.sampled_from(STEPS), st.sampled_from(["completed", "failed"])),
    st.builds(Note.of, st.just("text"), step_id=st.none() | st.none() | st.sampled_from(STEPS)),
    st.just(Delete()),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A command on one of the jobs, by job id or by id."""
    job = draw(st.sampled_from(JOBS))
    command: Command
    if draw(st.integers(0, 3)) == 0:
        target: int | str = job
        command = Create.of({"job_id": job} | draw(fields))
    else:
        target, command = draw(st.just(job) | st.integers(0, OLD)), draw(changes)
    context = Context(actor=draw(st.none() | st.just("ada")), reason=draw(st.sampled_from([None, "because"])))
    expected = draw(st.sampled_from([None] * 6 + [0, 1, 2, 3]))
    command_id = draw(st.sampled_from([None, None, None, "c1", "c2", "c3"]))
    return Request("", target, command, context, expected, command_id)


groups = st.lists(st.lists(requests(), min_size=1, max_size=8), min_size=1, max_size=5)


def comparable(answer: Any) -> Any:
    """What an answer says, but for where it lies."""
    if not isinstance(answer, Outcome):
        details = answer and {name: value for name, value in answer.details.items() if name != "ledger"}
        return answer and (type(answer), details)
    row = answer.row and {name: (type(value), value) for name, value in sorted(answer.row.items())}
    for name in ("ledger_id", "execution_id") if row else ():
        del row[name]
    return answer.id, answer.version, answer.event_count, answer.first_position is None, answer.replayed, row


def check_positions(stored: list[dict[str, Any]], request: Request, outcome: Outcome) -> None:
    """The events of an outcome are where it says, and are its own."""
    first = outcome.first_position or 1
    events = stored[first - 1 : first - 1 + outcome.event_count]
    versions = list(range(outcome.version - outcome.event_count + 1, outcome.version + 1))
    found = [(each["execution_id"], each["version"], each["command_id"]) for each in events]
    assert found == [(outcome.execution_id, version, request.command_id) for version in versions]


class Alone:
    """One command at a time, without a writer."""

    def __init__(self, engine: Engine, store: EventStore) -> None:
        self._engine = engine
        self._store = store

    def execute(self, request: Request) -> Any:
        try:
            with self._engine.begin() as connection:
                return self._store.execute(connection, request)
        except LedgerError as refusal:
            return refusal


def contents(engine: Engine, name: str) -> tuple[Any, ...]:
    """A ledger but for its name and the order in which its streams alternate."""
    with engine.begin() as connection:
        ledger = read_ledger(connection, name)
    streams = {
        ledger.streams[id]["job_id"]: [(each["version"], each["type"], each["data"], each["actor"]) for each in events]
        for id, events in ledger.of_stream.items()
    }
    rows = [{n: v for n, v in row.items() if n not in ("ledger_id", "execution_id")} for row in ledger.rows.values()]
    head = {n: v for n, v in ledger.head.items() if n != "ledger_id"}
    return streams, sorted(rows, key=lambda row: row["id"]), ledger.steps, head


def hold_against_single_commands(database: Database, **bounds: Any) -> None:
    number = itertools.count()
    store = EventStore(clock=lambda: NOON)
    engine = create_sync_engine(database.url)
    alone = Alone(engine, store)
    writer = GroupWriter(database.url, store=store)

    @settings(
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        **bounds,
    )
    @given(groups=groups)
    def compare(groups: list[list[Request]]) -> None:
        groups = [[create(job) for job in JOBS[:OLD]], *groups]
        one, other = f"alone {(at := next(number))}", f"together {at}"

        async def together() -> list[Any]:
            named = [[replace(each, ledger=other) for each in group] for group in groups]
            return [answer for group in named for answer in await writer.execute_together(group, rows=True)]

        answers = asyncio.run(together())
        expected = [alone.execute(replace(each, ledger=one)) for group in groups for each in group]
        assert list(map(comparable, answers)) == list(map(comparable, expected))
        assert contents(engine, other) == contents(engine, one)
        with engine.begin() as connection:
            stored = read_ledger(connection, other).events
        for request, outcome in zip(itertools.chain(*groups), answers, strict=True):
            if isinstance(outcome, Outcome):
                check_positions(stored, request, outcome)

    try:
        compare()
    finally:
        writer.close_and_wait()
        engine.dispose()
    audit(database.url)


def test_commands_in_groups_give_what_they_give_one_at_a_time(database: Database) -> None:
    hold_against_single_commands(database, max_examples=examples(30), derandomize=bool(os.environ.get("CI")))


@pytest.mark.soak
def test_many_commands_in_groups_give_what_they_give_one_at_a_time(database: Database) -> None:
    hold_against_single_commands(database, max_examples=2_000)
