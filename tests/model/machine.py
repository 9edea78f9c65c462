"""Random commands through sessions, a group writer and reopened databases, held against the model step by step."""

from __future__ import annotations

import asyncio
import copy
import itertools
import sys
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from model.rules import ENDED, LEADS_TO, STATUSES, Call, Refused, Run
from model.strategies import (
    JOBS,
    NONSENSE,
    NOTHING,
    SESSIONS,
    Options,
    Place,
    fields,
    json_values,
    keys,
    options,
    outcomes,
    places,
    sessions,
    statuses,
    steps,
    texts,
)
from model.world import Ledger, Unit, Waiting, World, execute
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from execution_ledger.domain import LedgerError
from execution_ledger.infrastructure import (
    EventStore,
    ExecutionHistory,
    ExecutionRepository,
    GroupWriter,
    create_engine,
)
from support import audit

_T = TypeVar("_T")
_CONTEXT = ("actor", "reason", "correlation_id", "causation_id", "trace_id", "occurred_at")
_machines, _words = itertools.count(), itertools.count()


class LedgerMachine(RuleBasedStateMachine):
    """One example: two ledgers of their own in a shared database, and three sessions on it."""

    url: ClassVar[str]
    auditor: ClassVar[Engine]
    """For checks on a connection of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        number = next(_machines)
        self.names = [f"m{number}", f"M{number} ä"]
        self.committed: World = {}
        self.sent: list[Call] = []
        """Calls that carried a command id, to be sent again."""
        self.job_ids: dict[str, str] = {}
        """The model's word for a job id that the code made up → that job id."""
        jumps = itertools.cycle([0, 1, -3_600, 0, 7, -1, 0, 3_600])
        self.store = EventStore(clock=lambda: datetime.now(UTC) + timedelta(seconds=next(jumps)))
        """A writer's clock may go back; `recorded_at` may not."""
        self.open()

    def open(self) -> None:
        self.engine: AsyncEngine = create_engine(self.url)
        self.group_writer = GroupWriter(self.url, store=self.store)
        make = async_sessionmaker(self.engine, expire_on_commit=False)
        self.sessions: list[AsyncSession] = [make() for _ in range(SESSIONS)]
        self.units = [Unit() for _ in range(SESSIONS)]
        self.nested: list[list[Any]] = [[] for _ in range(SESSIONS)]
        """The open savepoints of each session."""
        self.holder: int | None = None
        """The session that holds the head (on SQLite: the database), so that no other one could write."""

    def close(self) -> None:
        async def close() -> None:
            for session in self.sessions:
                await session.close()
            await self.engine.dispose()
            await self.group_writer.close()

        self.run(close())

    def teardown(self) -> None:
        try:
            self.close()
            if sys.exc_info()[0] is None:  # after a failure there is nothing left to agree on
                self.check_committed()
        finally:
            self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(coroutine)

    def executions(self, at: int, way: str, ledger: str) -> ExecutionRepository:
        writer = self.group_writer if way == "writer" else None
        return ExecutionRepository(
            self.sessions[at], commit=way != "gather", ledger=ledger, store=self.store, writer=writer
        )

    # Where a write goes.

    def writer(self, drawn: int) -> int:
        """The session that may write now."""
        return drawn if self.holder is None else self.holder

    def world(self, at: int) -> World:
        """What the session's transaction sees."""
        seen = self.units[at].seen
        return self.committed if seen is None else seen

    def aim(self, place: Place, at: int) -> int | str:
        """The execution that a place means, in words of the model."""
        name = self.names[place.ledger]
        known = [run for run in self.world(at).get(name, Ledger()).runs if place.of == 13 or not run.deleted]
        known += [waits.run for (ledger, _), waits in self.units[at].waiting.items() if ledger == name]
        if not known or place.of > 13:
            return JOBS[place.of % len(JOBS)] if place.of % 2 else 1_000
        run = known[place.of % len(known)]
        return run.job_id if run.id is None or place.of % 3 == 2 else run.id

    def sent_as(self, target: int | str) -> int | str:
        """The same in words of the code."""
        return self.job_ids.get(target, target) if isinstance(target, str) else target

    def made_up(self) -> str:
        """A word for a job id that the code will make up."""
        return f"made up {next(_words)}"

    def write(
        self,
        kind: str,
        place: Place,
        data: dict[str, Any],
        options: Options = NOTHING,
        *,
        raw: dict[str, Any] | None = None,
    ) -> None:
        """Send a call; `raw` is what the method for it is called with, where that differs."""
        at = self.writer(place.session)
        target = data.get("job_id", self.made_up()) if kind == "create" else self.aim(place, at)
        context = plain(options.context)
        call = Call(kind, self.names[place.ledger], target, plain(data), context, command_id=options.command_id)
        if options.version is not None:
            found = self.units[at].resolve(self.world(at), call)
            call = replace(call, expected_version=max(0, (found.version if found else 0) + options.version))
        self.send(at, call, place.way, raw)

    # What comes of it.

    def send(self, at: int, call: Call, way: str, raw: dict[str, Any] | None = None) -> None:
        """Send a call to the code and to the model, and compare what comes back."""
        note(f"session {at}, {way}: {call}")
        if call.command_id is not None:
            self.sent.append(call)
        self.born = []
        refused, expected, waits = self.expect(at, call, way)
        try:
            target = self.sent_as(call.target)
            executions = self.executions(at, way, call.ledger)
            answer = self.run(write(executions, replace(call, target=target), raw))
        except LedgerError as error:
            check_error(error, refused)
            if self.unit_refused:
                self.give_up(at)
            return
        assert refused is None, f"{refused} was not raised"
        self.check_born()
        if call.kind == "delete":
            assert answer == (expected is not None)
        elif expected is None or expected.deleted:
            assert answer is None
        else:
            self.learn(call, expected, waits, answer)
            self.check_row(answer, expected)

    def expect(self, at: int, call: Call, way: str) -> tuple[str | None, Run | None, Waiting | None]:
        """The error that must come, or the execution that must be answered."""
        unit = self.units[at]
        self.unit_refused = False
        try:
            if way == "writer":  # what the session has under way is committed first
                if refused := self.flush(at):
                    return refused, None, None
                self.commit(at, unit.seen)
            if way != "gather" and not unit.waiting:
                return None, self.execute(at, call), None
            decided = unit.submit(self.world(at), call)
        except Refused as error:
            return str(error), None, None
        run, waits = decided or (None, None)
        if way != "gather":  # together with what waits there
            if refused := self.flush(at):
                return refused, None, None
            self.commit(at, unit.seen)
            if waits and run is not None and run.id is None:  # the first answer again, which has learned its id by now
                run = copy.copy(run)
                run.id = waits.run.id
        return None, run, waits

    def execute(self, at: int, call: Call) -> Run | None:
        world = self.units[at].seen or copy.deepcopy(self.committed)
        run = execute(world, call)
        self.commit(at, world)
        return run

    def learn(self, call: Call, expected: Run, waits: Waiting | None, answer: ExecutionHistory) -> None:
        """What only the code can say: a job id that it made up; later the id of what is appended later."""
        if expected.job_id == call.target:
            self.job_ids.setdefault(expected.job_id, answer.job_id)
        if waits and waits.base == 0:
            waits.handed_out.append(answer)

    def flush(self, at: int) -> str | None:
        """Flush the model; the error that refuses it, if one does."""
        unit = self.units[at]
        self.born = [waits for waits in unit.waiting.values() if waits.handed_out]
        if unit.waiting:
            self.holder = at
        try:
            unit.flush(self.committed)
        except Refused as error:
            self.unit_refused = True
            return str(error)
        return None

    def flushing(self, at: int, action: Coroutine[Any, Any, Any]) -> bool:
        """Do what flushes first. Where the model refuses, the code must, and everything is rolled back."""
        refused = self.flush(at)
        try:
            self.run(action)
        except LedgerError as error:
            check_error(error, refused)
            self.give_up(at)
            return False
        assert refused is None, f"{refused} was not raised"
        self.check_born()
        return True

    def check_born(self) -> None:
        """What was handed out for executions that were appended just now has learned its id."""
        for waits in self.born:
            assert {entity.id for entity in waits.handed_out} == {waits.run.id}

    def give_up(self, at: int) -> None:
        """After a refused flush: a commit must not succeed without what was refused."""
        try:
            self.run(self.sessions[at].commit())
        except LedgerError as error:
            check_error(error, "UnitRefused")
        else:
            raise AssertionError("the rest was committed")
        self.rollback(at)

    def commit(self, at: int, world: World | None) -> None:
        if world is not None:
            self.committed = world
        self.end_transaction(at)

    def rollback(self, at: int) -> None:
        self.run(self.sessions[at].rollback())
        self.end_transaction(at)

    def end_transaction(self, at: int) -> None:
        self.units[at].forget()
        self.nested[at] = []
        if self.holder == at:
            self.holder = None

    # Rules: writes.

    @initialize(statuses=st.lists(statuses, min_size=1, max_size=3))
    def begin(self, statuses: list[str]) -> None:
        for at, status in enumerate(statuses):
            self.write("create", Place(0, "commit", ledger=0, of=0), {"job_id": JOBS[at], "status": status})

    @rule(
        place=places,
        options=options,
        job=st.none() | st.sampled_from(JOBS),
        status=st.none() | statuses,
        data=fields(4),
    )
    def create(self, place: Place, options: Options, job: str | None, status: str | None, data: dict[str, Any]) -> None:
        self.write("create", place, data | given(job_id=job, status=status), options)

    @rule(place=places, options=options, status=st.none() | statuses, data=fields())
    def update(self, place: Place, options: Options, status: str | None, data: dict[str, Any]) -> None:
        self.write("update", place, data | given(status=status), options)

    @rule(place=places, options=options, event=st.sampled_from(sorted(LEADS_TO)))
    def transition(self, place: Place, options: Options, event: str) -> None:
        self.write("update", place, {"event": event, "status": LEADS_TO[event]}, options)

    @rule(place=places, how=st.sampled_from(["completed", "failed", "deleted"]), result=json_values, error=texts)
    def finish(self, place: Place, how: str, result: Any, error: str) -> None:
        if how == "completed":
            kept = {"result": result} if result else {}
            self.write("update", place, {"status": "completed"} | kept, raw={"completed": result})
        elif how == "failed":
            self.write("update", place, {"status": "failed", "error": error}, raw={"failed": error})
        else:
            self.write("delete", place, {}, Options({"reason": "over"}, None, None))

    @rule(place=places, options=options)
    def delete(self, place: Place, options: Options) -> None:
        self.write("delete", place._replace(of=place.of % 4), {}, options)

    @rule(place=places, options=options, status=st.none() | statuses, data=fields())
    def correct(self, place: Place, options: Options, status: str | None, data: dict[str, Any]) -> None:
        self.write("correct", place, data | given(status=status), options)

    @rule(
        place=places,
        options=options,
        status=st.sampled_from(sorted(ENDED)),
        result=json_values,
        error=st.none() | texts,
    )
    def late_outcome(self, place: Place, options: Options, status: str, result: Any, error: str | None) -> None:
        self.write("late_outcome", place, {"status": status, "result": result, "error": error}, options)

    @rule(place=places, options=options, step=steps, parent=st.none() | steps)
    def start_step(self, place: Place, options: Options, step: str, parent: str | None) -> None:
        self.write("start_step", place, {"step_id": step, "parent_step_id": parent}, options)

    @rule(
        place=places,
        options=options,
        step=steps,
        outcome=outcomes,
        result=st.none() | json_values,
        error=st.none() | texts,
    )
    def finish_step(
        self, place: Place, options: Options, step: str, outcome: str, result: Any, error: str | None
    ) -> None:
        told = {"step_id": step, "outcome": outcome, "result": result, "error": error}
        self.write("finish_step", place, told, options)

    @rule(place=places, options=options, text=keys, step=st.none() | st.none() | steps)
    def remark(self, place: Place, options: Options, text: str, step: str | None) -> None:
        self.write("note", place, {"text": text, "step_id": step}, options)

    @precondition(lambda self: self.sent)
    @rule(place=places, which=st.integers(0, 3))
    def send_again(self, place: Place, which: int) -> None:
        call = self.sent[-1 - which % len(self.sent)]
        if call.kind == "create" and "job_id" not in call.data:
            call = replace(call, target=self.made_up())
        self.send(self.writer(place.session), call, place.way)

    @rule(place=places, nonsense=st.sampled_from(NONSENSE), creating=st.booleans())
    def send_nonsense(self, place: Place, nonsense: dict[str, Any], creating: bool) -> None:
        executions = self.executions(place.session, place.way, self.names[0])
        target = self.sent_as(self.aim(place, place.session))
        sent = executions.create_execution(nonsense) if creating else executions.update_execution(target, nonsense)
        try:
            self.run(sent)
        except LedgerError as error:
            check_error(error, "InvalidInput")
        else:
            raise AssertionError(f"{nonsense} was taken")

    # Rules: transactions.

    @rule(session=sessions, how=st.sampled_from(["commit", "commit", "commit", "flush", "rollback"]))
    def end(self, session: int, how: str) -> None:
        at = self.writer(session)
        note(f"session {at}: {how}")
        if how == "rollback":
            self.rollback(at)
        elif how == "flush":
            self.flushing(at, self.executions(at, "gather", self.names[0]).flush())
        elif self.flushing(at, self.sessions[at].commit()):
            self.commit(at, self.units[at].seen)

    @rule(session=sessions, how=st.sampled_from(["begin", "release", "roll back"]))
    def savepoint(self, session: int, how: str) -> None:
        at = self.writer(session)
        unit, session_ = self.units[at], self.sessions[at]
        note(f"session {at}: {how} the savepoint")

        async def begin() -> None:
            self.nested[at].append(await session_.begin_nested())

        if how == "begin":
            if self.flushing(at, begin()):
                self.holder = at  # another session's write would make this one's fail, on SQLite
                unit.savepoints.append(copy.deepcopy(self.world(at)))
        elif unit.savepoints:
            before, nested = unit.savepoints.pop(), self.nested[at].pop()
            if how == "release":
                self.flushing(at, nested.commit())
            else:
                self.run(nested.rollback())
                unit.waiting, unit.seen = {}, before

    # Rules: reads.

    @rule(
        place=places,
        how=st.sampled_from(["get", "get", "get", "list", "check", "reopen"]),
        status=st.none() | st.lists(statuses, min_size=1, max_size=3),
    )
    def look(self, place: Place, how: str, status: list[str] | None) -> None:
        note(how)
        match how:
            case "get":
                self.get(place)
            case "list":
                self.get_history(place, status)
            case "check":
                self.check_committed()
            case _ if self.holder is None:
                self.close()
                self.open()

    def get(self, place: Place) -> None:
        at, name, target = place.session, self.names[place.ledger], self.aim(place, place.session)
        executions = self.executions(at, "gather", name)
        sent = self.sent_as(target)
        answer = self.run(executions.get_execution_by_job_id(sent) if isinstance(sent, str) else executions.get(sent))
        expected = self.units[at].resolve(self.world(at), Call("get", name, target, {}, {}))
        if expected is None or expected.deleted:
            assert answer is None
        else:
            assert answer is not None
            self.check_row(answer, expected)

    def get_history(self, place: Place, status: list[str] | None) -> None:
        at, name = self.writer(place.session), self.names[place.ledger]  # it flushes first
        found: list[Any] = []

        async def read() -> None:
            found.extend(await self.executions(at, "gather", name).get_execution_history(status=status))

        if not self.flushing(at, read()):
            return
        rows, total = found
        shown = self.world(at).get(name, Ledger()).shown()
        expected = {run.id: run for run in shown if status is None or run.row["status"] in status}
        assert total == len(expected)
        assert {row.id for row in rows} == expected.keys()
        order = [(row.created_at, row.id) for row in rows]
        assert order == sorted(order, reverse=True)
        for row in rows:
            self.check_row(row, expected[row.id])

    def check_row(self, row: ExecutionHistory, run: Run) -> None:
        """The entity that the code gave is the one that the model expects."""
        expected = run.row | {"id": run.id, "job_id": self.job_ids.get(run.job_id, run.job_id), "version": run.version}
        check_same(expected, {name: getattr(row, name) for name in expected})
        assert isinstance(row.updated_at, datetime)

    def check_committed(self) -> None:
        """The whole of what is committed, read on another connection."""
        with self.auditor.begin() as connection:
            for name, expected in self.committed.items():
                check_ledger(audit.audit_ledger(connection, name), expected, self.job_ids)


async def write(executions: ExecutionRepository, call: Call, raw: dict[str, Any] | None) -> Any:
    """Send a call by the repository's method for it."""
    options: Any = call.context | given(expected_version=call.expected_version, command_id=call.command_id)
    data, target = dict(call.data), call.target
    if call.kind == "create":
        return await executions.create_execution(data, **options)
    assert target is not None
    match call.kind:
        case "update" if raw and "completed" in raw:
            return await executions.mark_execution_completed(target, raw["completed"])
        case "update" if raw and "failed" in raw:
            return await executions.mark_execution_failed(target, raw["failed"])
        case "update" if "event" in data:
            return await executions.transition(target, data["event"], **options)
        case "update":
            written = {name: value.upper() for name, value in data.items() if name == "status"}  # any case will do
            return await executions.update_execution(target, data | written, **options)
        case "correct":
            return await executions.correct_execution(target, data, **{"reason": None} | options)
        case "late_outcome":
            return await executions.report_late_outcome(target, data.pop("status"), **data, **options)
        case "start_step":
            return await executions.start_step(target, data.pop("step_id"), **data, **options)
        case "finish_step":
            return await executions.finish_step(target, data.pop("step_id"), data.pop("outcome"), **data, **options)
        case "note":
            return await executions.add_note(target, data.pop("text"), **data, **options)
        case "delete":
            return await executions.delete(target, **options)
        case other:
            raise AssertionError(other)


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they will read back: times in UTC."""
    return {
        name: value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def check_error(error: LedgerError, expected: str | None) -> None:
    assert type(error).__name__ == expected, f"{type(error).__name__} ({error}) instead of {expected}"


def check_same(expected: dict[str, Any], actual: dict[str, Any]) -> None:
    wrong = {name: (value, actual[name]) for name, value in expected.items() if value != actual[name]}
    assert not wrong, f"expected, and found: {wrong}"


def check_ledger(stored: audit.Ledger, expected: Ledger, made_up: dict[str, str]) -> None:
    """What is in the tables is what the model expects."""
    words = {job_id: word for word, job_id in made_up.items()}
    found = {execution_id: stream["job_id"] for execution_id, stream in stored.streams.items()}
    job_ids = {execution_id: words.get(job_id, job_id) for execution_id, job_id in found.items()}
    types = [(job_ids[each["execution_id"]], each["version"], each["type"]) for each in stored.events]
    assert types == [(event.job_id, event.version, event.type) for event in expected.events]
    for each, event in zip(stored.events, expected.events, strict=True):
        assert given(**{name: each[name] for name in _CONTEXT}) == event.context
        assert each["command_id"] == event.command_id
    shown = {run.id: run for run in expected.shown()}
    assert stored.rows.keys() == shown.keys()
    for id, run in shown.items():
        assert id is not None
        check_same(run.row, stored.rows[id])
    counters = expected.counters()
    check_same({status: counters[status] for status in STATUSES}, stored.head)
    found_steps = {(words.get(job_id, job_id), step): how for (job_id, step), how in stored.steps.items()}
    assert found_steps == {(run.job_id, step): how for run in expected.runs for step, how in run.steps.items()}
