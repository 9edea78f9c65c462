"""The `eventsourcing` library reads a ledger: recorder, mapper, applications and projections, on both databases."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent, Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.sqlite import SQLiteTrackingRecorder
from eventsourcing.utils import Environment
from sqlalchemy import Engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import (
    TERMINAL,
    Catalog,
    Execution,
    InvalidInput,
    ReadOnly,
    SchemaNotReady,
    UnknownEventType,
)
from execution_ledger.domain.payloads import Erased
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, create_sync_engine
from execution_ledger.infrastructure.mapper import Envelope
from execution_ledger.infrastructure.recorder import (
    Factory,
    LedgerApplication,
    LedgerMapper,
    LedgerRecorder,
    LedgerSubscription,
)
from execution_ledger.infrastructure.tables import execution_events, ledgers
from support import Database

Sessions = async_sessionmaker[AsyncSession]

MODULE = "execution_ledger.infrastructure.recorder"
PATIENCE = 60.0
"""Seconds that a test waits for what it expects before it fails."""
FAST = 0.005
"""A polling interval that makes reads and writes overlap."""


@pytest.fixture
def sync_engine(database: Database) -> Iterator[Engine]:
    engine = create_sync_engine(database.url)
    yield engine
    engine.dispose()


@pytest.fixture
def recorder(sync_engine: Engine) -> LedgerRecorder:
    return LedgerRecorder(sync_engine, poll_interval=FAST)


@pytest.fixture
def env(database: Database) -> dict[str, str]:
    return {"LEDGER_URL": database.url, "LEDGER_POLL_INTERVAL": str(FAST)}


@pytest.fixture
def no_events(database: Database, sync_engine: Engine) -> Iterator[None]:
    """After the test, the ledger is as empty as before."""
    yield
    with sync_engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(execution_events)) == 0
        assert connection.scalar(select(func.count()).select_from(ledgers)) == 0


async def record_one_of_each(sessions: Sessions, **options: Any) -> UUID:
    """One execution with events of many types, and a few of a second one between them."""
    async with sessions() as session:
        repository = ExecutionRepository(session, **options)
        await repository.create_execution({"job_id": "a", "inputs": {"n": 1.0, "text": 'é "\\ \u2028'}}, actor="ann")
        await repository.create_execution({"job_id": "b"})
        await repository.update_execution("a", {"status": "running"}, reason="why not", trace_id="0a" * 16)
        await repository.start_step("a", "s1", kind="shell")
        await repository.add_note("b", "a note", data={"deep": [1, None, {"x": []}]})
        await repository.finish_step("a", "s1", result={"rows": 3})
        await repository.update_execution("a", {"progress": 0.5}, occurred_at="2026-01-31T08:00:00.123456+01:00")
        await repository.mark_execution_completed("a", {"ok": True}, correlation_id="c-1", causation_id="m-1")
        await repository.correct_execution("a", {"status": "failed", "error": "seen later"}, reason="audit")
        await repository.delete(2)
        row = await repository.get_execution_by_job_id("a")
        assert row is not None
        return row.execution_id


# What is read


async def test_a_stored_event_comes_back_from_the_mapper_with_the_same_bytes(
    recorder: LedgerRecorder, sync_engine: Engine, sessions: Sessions
) -> None:
    await record_one_of_each(sessions)
    mapper = LedgerMapper()
    notifications = recorder.select_notifications(1, 100)
    assert [notification.id for notification in notifications] == list(range(1, 11))
    with sync_engine.connect() as connection:
        stored = connection.execute(select(execution_events).order_by(execution_events.c.position)).all()
    for row, notification in zip(stored, notifications, strict=True):
        event = mapper.to_domain_event(notification)
        again = mapper.to_stored_event(event)
        assert again == StoredEvent(row.execution_id, row.version, row.type, notification.state)
        assert mapper.to_domain_event(again) == event
        assert bytes(msgspec.json.decode(notification.state, type=Envelope).data) == row.data.encode()
        assert (event.timestamp, event.context.actor, event.context.trace_id) == (
            row.recorded_at,
            row.actor,
            row.trace_id,
        )
        assert (event.context.occurred_at, event.context.reason) == (row.occurred_at, row.reason)


def test_the_mapper_takes_an_originator_id_as_text_too() -> None:
    mapper, stored = LedgerMapper(), _created()
    as_text = StoredEvent(str(_ID), stored.originator_version, stored.topic, stored.state)
    assert mapper.to_domain_event(as_text) == mapper.to_domain_event(stored)
    assert mapper.to_domain_event(as_text).originator_id == _ID


def test_an_event_that_the_catalog_does_not_know_is_refused() -> None:
    with pytest.raises(UnknownEventType):
        LedgerMapper().to_domain_event(_created(topic="os:system"))
    with pytest.raises(UnknownEventType):
        LedgerMapper().to_domain_event(_created(schema_version=99))


@pytest.mark.parametrize("state", [b"", b"{}", b"not json", b'{"recorded_at":"2026-01-31T08:00:00Z"}'])
def test_a_state_that_is_no_envelope_says_which_event_it_is(state: bytes) -> None:
    with pytest.raises(MapperDeserialisationError, match=rf"execution\.created, version 1 of {_ID}"):
        LedgerMapper().to_domain_event(StoredEvent(_ID, 1, "execution.created", state))


_ID = uuid4()


def _created(topic: str = "execution.created", schema_version: int = 1) -> StoredEvent:
    state = (
        b'{"recorded_at":"2026-01-31T08:00:00.000001Z","schema_version":%d,'
        b'"data":{"job_id":"a","status":"pending","created_at":"2026-01-31T08:00:00Z","attempt":1},'
        b'"context":{"actor":"ann"}}' % schema_version
    )
    return StoredEvent(_ID, 1, topic, state)


@pytest.mark.parametrize("desc", [False, True])
@pytest.mark.parametrize("limit", [None, 0, 2, 100])
async def test_a_window_of_an_execution_holds_its_events_by_version(
    recorder: LedgerRecorder, sessions: Sessions, desc: bool, limit: int | None
) -> None:
    execution_id = await record_one_of_each(sessions)
    for gt in (None, 0, 3, 99):
        for lte in (None, 0, 5, 99):
            expected = [v for v in range(1, 8) if (gt is None or v > gt) and (lte is None or v <= lte)]
            expected = (expected[::-1] if desc else expected)[:limit]
            for originator_id in (execution_id, str(execution_id)):
                found = recorder.select_events(originator_id, gt=gt, lte=lte, desc=desc, limit=limit)
                assert [event.originator_version for event in found] == expected
                assert {event.originator_id for event in found} <= {execution_id}
    assert recorder.select_events(uuid4()) == []


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("limit", [0, 2, 100])
@pytest.mark.parametrize("topics", [(), ("execution.created", "execution.noted"), ("execution.created' OR 1=1", "x")])
async def test_a_window_of_a_ledger_holds_its_events_by_position_and_type(
    recorder: LedgerRecorder, sessions: Sessions, inclusive: bool, limit: int, topics: tuple[str, ...]
) -> None:
    await record_one_of_each(sessions)
    every = [(n.id, n.topic) for n in recorder.select_notifications(None, 100)]
    assert [position for position, _ in every] == list(range(1, 11))
    for start in (None, 0, 1, 4, 10, 99):
        for stop in (None, 0, 5, 99):
            expected = [
                (position, topic)
                for position, topic in every
                if (start is None or position > start or (inclusive and position == start))
                and (stop is None or position <= stop)
                and (not topics or topic in topics)
            ]
            found = recorder.select_notifications(start, limit, stop, topics, inclusive_of_start=inclusive)
            assert [(n.id, n.topic) for n in found] == expected[:limit]


async def test_a_recorder_sees_its_own_ledger_only(sync_engine: Engine, sessions: Sessions) -> None:
    execution_id = await record_one_of_each(sessions)
    async with sessions() as session:
        await ExecutionRepository(session, ledger="other").create_execution({"job_id": "a"})
    other = LedgerRecorder(sync_engine, "other")
    assert other.max_notification_id() == 1
    assert [n.id for n in other.select_notifications(None, 100)] == [1]
    assert other.select_events(execution_id) == []
    nobody = LedgerRecorder(sync_engine, "nobody")
    assert nobody.max_notification_id() is None
    assert nobody.select_notifications(1, 100) == []


async def test_the_library_rebuilds_an_execution_at_any_version(env: dict[str, str], sessions: Sessions) -> None:
    execution_id = await record_one_of_each(sessions)
    with LedgerApplication(env) as app:
        execution: Execution = app.repository.get(execution_id)
        assert (execution.key, execution.status, execution.version) == ("a", "failed", 7)
        assert execution.steps["s1"].outcome == "completed"
        earlier: Execution = app.repository.get(execution_id, version=2)
        assert (earlier.status, earlier.steps) == ("running", {})
        assert [n.id for n in app.notification_log["1,5"].items] == [1, 2, 3, 4, 5]
        with pytest.raises(AggregateNotFoundError):
            app.repository.get(uuid4())


class NoFactory(Factory):
    catalog: ClassVar = Catalog()


class NoApplication(LedgerApplication):
    factory_class = NoFactory


async def test_a_ledger_of_another_entity_is_read_with_its_own_catalog(env: dict[str, str], sessions: Sessions) -> None:
    execution_id = await record_one_of_each(sessions)
    with NoApplication(env) as app, pytest.raises(UnknownEventType):
        app.repository.get(execution_id)


async def test_an_erased_payload_is_an_event_that_changes_nothing(
    database: Database, sync_engine: Engine, env: dict[str, str], sessions: Sessions
) -> None:
    execution_id = await record_one_of_each(sessions)
    await asyncio.to_thread(_erase, sync_engine, 7)
    with LedgerApplication(env) as app:
        recorded = app.recorder.select_notifications(7, 1)[0]
        event = app.mapper.to_domain_event(recorded)
        assert event.data == Erased()  # type: ignore[attr-defined]
        assert app.mapper.to_stored_event(event).state == recorded.state
        execution: Execution = app.repository.get(execution_id)
        assert execution.version == 7


def _erase(engine: Engine, position: int) -> None:
    drop = "DROP TRIGGER execution_events_" + (
        "no_update" if engine.dialect.name == "sqlite" else "append_only ON execution_events"
    )
    with engine.begin() as connection:
        connection.execute(text(drop))
        connection.execute(
            execution_events.update().where(execution_events.c.position == position).values(data=None, salt=None)
        )


# What is followed


class Outcomes(SQLiteTrackingRecorder):
    """A view: every ended execution by the position at which it ended, and every position that was handled."""

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            "CREATE TABLE IF NOT EXISTS seen (application TEXT, position INTEGER, ended TEXT)",
        ]

    def keep(self, tracking: Tracking, ended: str | None) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO seen VALUES (?, ?, ?)", (tracking.application_name, tracking.notification_id, ended)
            )

    def positions(self, application: str) -> list[int]:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT position FROM seen WHERE application = ? ORDER BY rowid", (application,))
            return [row["position"] for row in cursor.fetchall()]

    def counts(self) -> Counter[str]:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT ended, COUNT(*) AS n FROM seen WHERE ended IS NOT NULL GROUP BY ended")
            return Counter({row["ended"]: row["n"] for row in cursor.fetchall()})


class CountOutcomes(Projection[Outcomes]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        status = domain_event.data.changes().get("status")
        self.view.keep(tracking, status if status in TERMINAL else None)


Runner = ProjectionRunner[LedgerApplication, Outcomes]


@pytest.fixture
def view_env(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return env | {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(tmp_path / "view.db")}


def follow(env: dict[str, str]) -> Runner:
    return ProjectionRunner(
        application_class=LedgerApplication, projection_class=CountOutcomes, view_class=Outcomes, env=env
    )


async def write(sessions: Sessions, name: str, *, rounds: int = 4) -> None:
    """Executions of one's own that end in every way, notes on one that all writers share, and some regrets."""
    async with sessions() as session:
        repository = ExecutionRepository(session, actor=name)
        for number in range(rounds):
            job, end = f"{name}-{number}", ("completed", "failed", "cancelled")[number % 3]
            await repository.create_execution({"job_id": job})
            await repository.update_execution(job, {"status": "running"})
            await repository.add_note("shared", f"{job} runs")
            async with sessions() as other:
                undecided = ExecutionRepository(other, commit=False)
                await undecided.add_note("shared", f"{job} is undecided")
                await undecided.create_execution({"job_id": f"{job}-regretted"})
                await undecided.flush()
                await (other.commit if number % 2 else other.rollback)()
            await repository.update_execution(job, {"status": end})


async def write_concurrently(sessions: Sessions, tag: str, *, writers: int = 8) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session)
        if await repository.get_execution_by_job_id("shared") is None:
            await repository.create_execution({"job_id": "shared"})
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(sessions, f"{tag}{number}"))


def committed(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(execution_events)) or 0


async def test_a_projection_runner_keeps_up_with_concurrent_writers(
    sync_engine: Engine, view_env: dict[str, str], sessions: Sessions
) -> None:
    with follow(view_env) as runner:
        await write_concurrently(sessions, "w")
        size = await asyncio.to_thread(committed, sync_engine)
        await asyncio.to_thread(runner.wait, size, PATIENCE)
        assert runner.view.positions("LedgerApplication:default") == list(range(1, size + 1))
        counts = runner.view.counts()
        runner.view.datastore.close()
    with sync_engine.connect() as connection:
        column = ExecutionHistory.__table__.c.status
        rows = connection.execute(select(column, func.count()).where(column.in_(TERMINAL)).group_by(column)).all()
    assert counts == {row[0]: row[1] for row in rows} == {"completed": 16, "failed": 8, "cancelled": 8}


async def test_a_stopped_runner_resumes_where_it_was(
    sync_engine: Engine, view_env: dict[str, str], sessions: Sessions
) -> None:
    name = "LedgerApplication:default"
    async with asyncio.TaskGroup() as group:
        group.create_task(write_concurrently(sessions, "w"))
        for turn in range(1, 6):  # stopped in the midst of the writers' work, wherever that is
            with follow(view_env) as runner:
                await asyncio.to_thread(runner.wait, turn * 20, PATIENCE)
            handled = runner.view.positions(name)
            runner.view.datastore.close()
            assert len(handled) >= turn * 20
            assert handled == list(range(1, len(handled) + 1))
    size = await asyncio.to_thread(committed, sync_engine)
    with follow(view_env) as runner:
        await asyncio.to_thread(runner.wait, size, PATIENCE)
        handled = runner.view.positions(name)
        runner.view.datastore.close()
    assert handled == list(range(1, size + 1))


async def test_one_view_tracks_two_ledgers_apart(view_env: dict[str, str], sessions: Sessions) -> None:
    for ledger, jobs in (("default", 3), ("other", 5)):
        async with sessions() as session:
            for job in range(jobs):
                await ExecutionRepository(session, ledger=ledger).create_execution({"job_id": str(job)})
        with follow(view_env | {"LEDGER_ID": ledger}) as runner:
            await asyncio.to_thread(runner.wait, jobs, PATIENCE)
            assert runner.app_name == f"LedgerApplication:{ledger}"
            assert runner.view.positions(runner.app_name) == list(range(1, jobs + 1))
            runner.view.datastore.close()


class Started(POPOTrackingRecorder):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []


class WhatStarted(Projection[Started]):
    topics = (Execution.Started.TOPIC,)

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.events.append(domain_event)
        self.view.insert_tracking(tracking)


class Reader(Application[UUID]):
    """A user's own application class: the persistence module makes it read a ledger."""


async def test_an_application_of_the_library_follows_with_prefixed_settings(
    database: Database, sessions: Sessions
) -> None:
    await record_one_of_each(sessions)
    env = {
        "READER_PERSISTENCE_MODULE": MODULE,
        "READER_LEDGER_URL": database.url,
        "WHATSTARTED_PERSISTENCE_MODULE": "eventsourcing.popo",
    }
    runner = ProjectionRunner(application_class=Reader, projection_class=WhatStarted, view_class=Started, env=env)
    with runner:
        await asyncio.to_thread(runner.wait, 3, PATIENCE)
        assert [event.TOPIC for event in runner.view.events] == ["execution.started"]
        execution: Execution = runner.app.repository.get(runner.view.events[0].originator_id)
        assert execution.key == "a"


async def test_a_tailing_reader_misses_nothing_that_concurrent_writers_commit(
    recorder: LedgerRecorder, sync_engine: Engine, sessions: Sessions
) -> None:
    """It polls as fast as it can while transactions of many sizes commit, wait for each other or roll back."""
    seen: list[tuple[int, UUID | str, int]] = []
    recorder.poll_interval = 1e-6
    with recorder.subscribe() as subscription:

        def tail() -> None:
            for notification in subscription:
                seen.append((notification.id, notification.originator_id, notification.originator_version))
                if "last" in notification.state.decode():
                    return

        tailing = asyncio.create_task(asyncio.to_thread(tail))
        await write_concurrently(sessions, "w", writers=12)
        async with sessions() as session:
            await ExecutionRepository(session).add_note("shared", "last")
        async with asyncio.timeout(PATIENCE):
            await tailing
    with sync_engine.connect() as connection:
        column = execution_events.c
        query = select(column.position, column.execution_id, column.version).order_by(column.position)
        assert seen == [tuple(row) for row in connection.execute(query)]
    assert [position for position, _, _ in seen] == list(range(1, len(seen) + 1))


async def test_an_event_is_seen_once_it_is_committed_and_never_before_an_earlier_one(
    recorder: LedgerRecorder, sync_engine: Engine, sessions: Sessions
) -> None:
    async with sessions() as first, sessions() as second:
        early = ExecutionRepository(first, commit=False)
        await early.create_execution({"job_id": "early"})
        await early.flush()
        late = asyncio.create_task(ExecutionRepository(second).create_execution({"job_id": "late"}))
        async with asyncio.timeout(PATIENCE):
            for looks in count():
                assert await asyncio.to_thread(recorder.max_notification_id) is None
                assert await asyncio.to_thread(recorder.select_notifications, None, 10) == []
                if await asyncio.to_thread(_somebody_waits, sync_engine, looks):
                    break
        await first.commit()
        await late
    events = [LedgerMapper().to_domain_event(n) for n in recorder.select_notifications(None, 10)]
    assert [event.data.job_id for event in events] == ["early", "late"]


def _somebody_waits(engine: Engine, looks: int) -> bool:
    if engine.dialect.name == "sqlite":
        return looks == 50  # SQLite does not tell who waits
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return connection.scalar(text(waiting)) is not None


class WatchedRecorder(LedgerRecorder):
    """Counts its reads."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, poll_interval=FAST)
        self.changed = threading.Condition()
        self.looks = 0
        self.starts: list[int | None] = []

    def max_notification_id(self) -> int | None:
        with self.changed:
            self.looks += 1
            self.changed.notify_all()
        return super().max_notification_id()

    def select_notifications(self, start: int | None, *args: Any, **kwargs: Any) -> Any:
        with self.changed:
            self.starts.append(start)
            self.changed.notify_all()
        return super().select_notifications(start, *args, **kwargs)

    def wait(self, *, looks: int = 0, reads: int = 0) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.looks >= looks and len(self.starts) >= reads, PATIENCE)


async def test_a_subscription_does_not_scan_again_what_its_topics_leave_out(
    sync_engine: Engine, sessions: Sessions
) -> None:
    await record_one_of_each(sessions)
    recorder = WatchedRecorder(sync_engine)
    with recorder.subscribe(topics=["execution.rejected"]):
        await asyncio.to_thread(recorder.wait, looks=5)
        assert recorder.starts == [1]
        async with sessions() as session:
            await ExecutionRepository(session).create_execution({"job_id": "c"})
        await asyncio.to_thread(recorder.wait, reads=2)
        await asyncio.to_thread(recorder.wait, looks=recorder.looks + 3)
    assert recorder.starts == [1, 11]


async def test_a_subscription_delivers_more_than_its_queue_holds(recorder: LedgerRecorder, sessions: Sessions) -> None:
    async with sessions() as session:
        repository = ExecutionRepository(session, commit=False)
        await repository.create_execution({"job_id": "a"})
        for number in range(1_500):
            await repository.add_note("a", str(number))
        await session.commit()
    with recorder.subscribe(gt=100) as subscription:
        assert take(subscription, 1_401) == list(range(101, 1_502))


def take(subscription: LedgerSubscription, number: int) -> list[int]:
    """The next positions; fewer where the test has lost its patience."""
    timer = threading.Timer(PATIENCE, subscription.stop)
    timer.start()
    try:
        return [notification.id for notification in islice(subscription, number)]
    finally:
        timer.cancel()


def test_a_subscription_stops_at_once_whatever_its_interval(sync_engine: Engine) -> None:
    recorder = LedgerRecorder(sync_engine, poll_interval=3600)
    with recorder.subscribe() as subscription:
        waiting = threading.Thread(target=lambda: list(subscription))
        waiting.start()
        subscription.stop()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()
    assert not _thread_of(subscription).is_alive()


def test_a_subscription_that_is_full_stops_at_once(recorder: LedgerRecorder) -> None:
    class Endless(LedgerRecorder):
        def max_notification_id(self) -> int:
            return 10**9

        def select_notifications(self, start: int | None, limit: int, *args: Any, **kwargs: Any) -> Any:
            return [type("Stub", (), {"id": (start or 0) + number}) for number in range(limit)]

    subscription = Endless(recorder._engine).subscribe()
    with subscription:
        assert take(subscription, 1) == [1]
    assert not _thread_of(subscription).is_alive()


def test_a_subscription_tells_its_reader_why_it_ended(tmp_path: Path) -> None:
    engine = create_sync_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with LedgerRecorder(engine).subscribe() as subscription, pytest.raises(SchemaNotReady):
        take(subscription, 1)
    assert not _thread_of(subscription).is_alive()
    engine.dispose()


def _thread_of(subscription: LedgerSubscription) -> threading.Thread:
    return subscription._pull_thread


# What is refused


class Diary(Aggregate):
    """Somebody else's aggregate."""


@pytest.mark.usefixtures("no_events")
def test_nothing_is_written_through_the_library(recorder: LedgerRecorder, env: dict[str, str]) -> None:
    with pytest.raises(ReadOnly, match="ExecutionRepository"):
        recorder.insert_events([_created()])
    with LedgerApplication(env) as app, Reader(env | {"PERSISTENCE_MODULE": MODULE}) as reader:
        created = LedgerMapper().to_domain_event(_created())
        execution = created.mutate(None)
        for application in (app, reader):
            for written in (created, execution, Diary()):
                with pytest.raises(ReadOnly, match="ExecutionRepository"):
                    application.save(written)


@pytest.mark.parametrize("option", ["compressor", "cipher"])
def test_the_mapper_takes_no_cipher_and_no_compressor(option: str) -> None:
    arguments: Any = {option: object()}
    with pytest.raises(InvalidInput, match=f"^{option}: .*Leave it out") as caught:
        LedgerMapper(**arguments)
    assert caught.value.field == option


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("CIPHER_TOPIC", "eventsourcing.cipher:AESCipher"),
        ("CIPHER_KEY", "c2VjcmV0"),
        ("COMPRESSOR_TOPIC", "eventsourcing.compressor:ZlibCompressor"),
        ("MAPPER_TOPIC", "eventsourcing.persistence:Mapper"),
        ("TRANSCODER_TOPIC", "eventsourcing.persistence:JSONTranscoder"),
        ("IS_SNAPSHOTTING_ENABLED", "yes"),
    ],
)
def test_an_option_that_a_ledger_cannot_honour_is_refused_by_name(option: str, value: str) -> None:
    env = {"LEDGER_URL": "sqlite:///ledger.db", option: value}
    with pytest.raises(InvalidInput, match=f"^{option}: ") as caught:
        LedgerApplication(env)
    assert caught.value.field == option
    with pytest.raises(InvalidInput):
        Reader(env | {"PERSISTENCE_MODULE": MODULE})


@pytest.mark.parametrize(
    ("env", "field"),
    [
        ({}, "LEDGER_URL"),
        ({"LEDGER_URL": "mysql://host/name"}, "database_url"),
        ({"LEDGER_URL": "sqlite:///ledger.db", "LEDGER_ID": "x" * 64}, "ledger"),
        ({"LEDGER_URL": "sqlite:///ledger.db", "LEDGER_POLL_INTERVAL": "soon"}, "LEDGER_POLL_INTERVAL"),
        ({"LEDGER_URL": "sqlite:///ledger.db", "LEDGER_POLL_INTERVAL": "0"}, "poll_interval"),
        ({"LEDGER_URL": "sqlite:///ledger.db", "LEDGER_POLL_INTERVAL": "nan"}, "poll_interval"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(env: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        LedgerApplication(env)
    assert caught.value.field == field


def test_a_view_is_not_kept_in_a_ledger(env: dict[str, str]) -> None:
    factory = Factory.construct(Environment("CountOutcomes", env | {"PERSISTENCE_MODULE": MODULE}))
    for refused in (factory.tracking_recorder, factory.process_recorder):
        with pytest.raises(ReadOnly, match="COUNTOUTCOMES_PERSISTENCE_MODULE=eventsourcing"):
            refused()


def test_the_example_of_the_documentation_runs_as_printed(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "eventsourcing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert re.findall(r"# → (.*)", example) == ran.stdout.splitlines()
