"""The Python clients against a real service: what they give is what the repository and the queries give."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from inspect import signature
from itertools import islice
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.api.client import AsyncLedgerClient, LedgerClient, ServiceError
from execution_ledger.api.client.clients import Operation, _Operations
from execution_ledger.api.http.commands import COMMANDS
from execution_ledger.domain import (
    CommandIdReused,
    DuplicateJobId,
    IllegalTransition,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    StoreUnavailable,
    UnknownStep,
    VersionConflict,
)
from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, Lease, Settings, create_engine
from execution_ledger.projections import AuditQueries, LedgerQueries, ReplayQueries, StatisticsQueries
from support import Database
from support.http_service import find_operation, operations, running
from support.other_server import answering

from .conftest import Service

WITHOUT_CLIENT = {
    "progress_execution", "get_timeline",  # `update_execution`; `execution_events` and `spans`
    "get_health", "get_readiness", "get_metrics",  # for other programs
    "export_audit",  # a file
    "post_lineage", "list_lineage",  # for clients of OpenLineage
    "stream_events",  # `follow`
    "list_cloudevents", "get_cloudevent", "stream_cloudevents",  # for what reads CloudEvents
    "get_session", "begin_session", "end_session", "begin_sign_in", "finish_sign_in",  # for the page
    "get_ledger_health",  # likewise
}  # fmt: skip


class Waiting:
    """The asynchronous client with the face of the other one, so that both pass the same tests."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._make(*arguments, **options))

    async def _make(self, *arguments: Any, **options: Any) -> AsyncLedgerClient:
        return AsyncLedgerClient(*arguments, **options)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            async def wait() -> Any:
                return await found(*arguments, **options)

            return self._runner.run(wait())

        return call

    def follow(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        events = self._client.follow(*arguments, **options)

        async def following() -> Any:
            return await anext(events)

        try:
            while True:
                yield self._runner.run(following())
        finally:
            self._runner.run(events.aclose())


@pytest.fixture(params=[LedgerClient, Waiting], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(make: Any, service: Service) -> Iterator[Any]:
    with make(service.address, ledger=service.ledger, actor="ada") as client:
        yield client


@contextmanager
def asked(service: Service) -> Iterator[Callable[[Callable[[AsyncSession], Any]], Any]]:
    """Asks the service's own database."""

    async def ask(question: Callable[[AsyncSession], Any]) -> Any:
        engine = create_engine(service.database_url)
        try:
            async with AsyncSession(engine) as session:
                return await question(session)
        finally:
            await engine.dispose()

    yield lambda question: asyncio.run(ask(question))


def fields(execution: ExecutionHistory | None) -> dict[str, Any]:
    assert execution is not None
    return {column.name: getattr(execution, column.name) for column in ExecutionHistory.__table__.columns}


def test_there_is_a_method_for_every_route() -> None:
    """Each call that the module can make is sent to a documented route, and no route is left out."""
    samples: dict[str, Any] = {
        "id": 1,
        "data": {},
        "items": [],
        "commands": [],
        "events": [],
        "holder": "w",
        "event": "started",
        "changes": {},
    }
    samples |= {"lease": Lease("l", 1, "j", uuid4(), 1, "w", datetime.now(UTC), datetime.now(UTC))}
    reached = set()
    for name in (name for name, value in vars(_Operations).items() if isinstance(value, Operation)):
        make_call = vars(_Operations)[name]._make
        needed = [each for each in signature(make_call).parameters.values() if each.default is each.empty]
        given = {each.name: samples.get(each.name, "x") for each in needed if each.kind is not each.VAR_KEYWORD}
        events = [command.event for command in COMMANDS if command.event] if name == "transition" else [None]
        for event in events:
            call = make_call(**(given | ({"event": event} if event else {})))
            found = find_operation(httpx.Request(call.method, f"http://x/api/v1/{call.path}"))
            assert found is not None, (name, call.path)
            reached.add(found["operationId"])
    assert reached == operations().keys() - WITHOUT_CLIENT


def test_what_it_writes_and_reads_is_what_the_repository_has(client: Any, service: Service) -> None:
    at = datetime(2026, 1, 31, 8, tzinfo=UTC)
    created = client.create_execution(
        {"job_id": "a/b ü", "run_name": "nightly", "inputs": {"n": [1, None]}, "created_at": at}, reason="two\nlines"
    )
    assert created.status == "pending"
    client.transition("a/b ü", "started", occurred_at=at + timedelta(seconds=1))
    client.start_step("a/b ü", "extract", kind="task")
    client.start_step("a/b ü", "inner/1", parent_step_id="extract")
    client.finish_step("a/b ü", "inner/1", "failed", error="e")
    client.add_note("a/b ü", "seen", level="warning", data={"k": 1}, step_id="extract")
    client.finish_step("a/b ü", "extract", result=7)
    client.update_execution("a/b ü", {"progress": 0.5}, expected_version=created.version + 6)
    client.mark_execution_completed("a/b ü", {"rows": 7}, correlation_id="work-1", trace_id="a" * 32)
    client.report_late_outcome("a/b ü", "failed", error="late")
    done = client.correct_execution("a/b ü", {"message": "well"}, reason="said wrongly")
    other = client.create_execution({"job_id": "c"})
    client.mark_execution_failed("c", "no space left")
    assert client.delete("c") is True
    assert client.delete("c") is False
    with asked(service) as ask:

        async def row(session: AsyncSession) -> ExecutionHistory | None:
            return await ExecutionRepository(session, ledger=service.ledger).get_execution_by_job_id("a/b ü")

        assert fields(done) == fields(ask(row))
        assert fields(client.get(done.id)) == fields(done) == fields(client.get("a/b ü"))
        assert client.get(other.id) is None
        queries = {
            "spans": lambda session: ReplayQueries(session, ledger=service.ledger).spans("a/b ü"),
            "a page of spans": lambda session: ReplayQueries(session, ledger=service.ledger).spans(
                "a/b ü", limit=2, from_version=4
            ),
            "diff": lambda session: ReplayQueries(session, ledger=service.ledger).diff("a/b ü", 1, 4),
            "explain": lambda session: ReplayQueries(session, ledger=service.ledger).explain("a/b ü", "status"),
            "compare": lambda session: ReplayQueries(session, ledger=service.ledger).compare("a/b ü", "a/b ü"),
            "audit": lambda session: AuditQueries(session, ledger=service.ledger).events(3, changed_field="status"),
            "count_events": lambda session: AuditQueries(session, ledger=service.ledger).count(type="corrected"),
            "last_change": lambda session: AuditQueries(session, ledger=service.ledger).last_change("a/b ü", "message"),
            "touched_runs": lambda session: AuditQueries(session, ledger=service.ledger).touched_runs("work-1"),
            "events": lambda session: LedgerQueries(session, ledger=service.ledger).events(5, newest_first=False),
            "summary": lambda session: LedgerQueries(session, ledger=service.ledger).summary(),
            "root": lambda session: LedgerQueries(session, ledger=service.ledger).root(),
        }
        calls = {
            "spans": client.spans("a/b ü"),
            "a page of spans": client.spans("a/b ü", limit=2, from_version=4),
            "diff": client.diff("a/b ü", 1, 4),
            "explain": client.explain("a/b ü", "status"),
            "compare": client.compare("a/b ü", "a/b ü"),
            "audit": client.audit(3, changed_field="status"),
            "count_events": client.count_events(type="corrected"),
            "last_change": client.last_change("a/b ü", "message"),
            "touched_runs": client.touched_runs("work-1"),
            "events": client.events(5, newest_first=False),
            "summary": client.summary(),
            "root": client.root(),
        }
        for name, question in queries.items():
            # Values of fields are what JSON makes of them: a time within a change is text.
            told, stored = calls[name], ask(question)
            assert type(told) is type(stored), name
            assert msgspec.json.encode(told) == msgspec.json.encode(stored), name
    frames = client.frames("a/b ü", 2, 4)
    assert [(event.version, row.version) for event, row in frames] == [(2, 2), (3, 3), (4, 4)]
    assert client.frames("c")[-1][1] is None, "it is deleted then"
    assert client.execution_events("a/b ü", 2).next_version == 3
    first = client.execution_events("c").events[0]
    assert (first.actor, first.job_id, first.ledger_id) == ("ada", "c", service.ledger)
    assert client.execution_events("a/b ü").events[0].reason == "two\nlines"


def test_pages_and_states_of_the_past(client: Any) -> None:
    for number in range(5):
        client.create_execution({"job_id": f"j{number}", "attributes": {"team": "blue" if number % 2 else "red"}})
    rows, total = client.get_execution_history(2, 1)
    assert ([row.job_id for row in rows], total) == (["j3", "j2"], 5)
    page = client.get_execution_page(3)
    rest = client.get_execution_page(3, page.next_cursor)
    assert [row.job_id for row in page.executions + rest.executions] == ["j4", "j3", "j2", "j1", "j0"]
    assert rest.next_cursor is None
    blue, count = client.get_execution_history(attributes={"team": "blue"}, status=["pending", "failed"])
    assert ([row.job_id for row in blue], count) == (["j3", "j1"], 2)
    before = client.get_execution_by_job_id("j0")
    now = datetime.now(UTC)
    client.create_execution({"job_id": "done", "status": "failed", "completed_at": now})
    ended, count = client.get_execution_history(ended_from=now, ended_before="2100-01-01")
    assert ([row.job_id for row in ended], count) == (["done"], 1)
    assert client.get_execution_page(ended_before=now).executions == []
    client.transition("j0", "started")
    assert client.get_execution_at("j0", version=1).status == "pending"
    assert client.get_execution_at("j0", as_of=before.updated_at).status == "pending"
    assert client.get_execution_at("nobody", version=1) is None
    assert client.get_execution_by_job_id("nobody") is None
    assert client.spans("nobody") is client.diff("nobody", 1) is client.explain("nobody") is None


def test_statistics_know_what_the_client_wrote(client: Any, service: Service) -> None:
    client.create_execution({"job_id": "s", "run_name": "nightly", "status": "running"})
    client.mark_execution_failed("s", "disk full")
    now = datetime.now(UTC)
    window = (now - timedelta(hours=1), now + timedelta(hours=1))
    with asked(service) as ask:
        stored = ask(
            lambda session: StatisticsQueries(session, ledger=service.ledger).statistics(*window, by="run_name")
        )
    told = client.statistics(*window, by="run_name")
    assert [group.outcomes["failed"] for group in told] == [1]
    assert told == stored or stored == []  # as the projection had not read it yet
    assert client.failure_reasons(*window)[0].runs == 1
    assert client.most_failing(*window, run_name=["nightly"]) == told
    assert [run.job_id for run in client.longest_runs(*window)] == ["s"]
    assert list(client.longest_runs(*window, reason="none like this")) == []
    assert client.most_retried(*window) == []
    projections = client.projections()
    assert "run_statistics" in {each.projection for each in projections}
    assert {each.projection for each in client.retry_projection("run_statistics")} == {
        each.projection for each in projections
    }


def test_a_refusal_is_the_error_of_the_repository(client: Any) -> None:
    client.create_execution({"job_id": "a"}, command_id="k")
    with pytest.raises(DuplicateJobId) as taken:
        client.create_execution({"job_id": "a"})
    assert taken.value.deleted is False
    with pytest.raises(CommandIdReused):
        client.create_execution({"job_id": "b"}, command_id="k")
    with pytest.raises(IllegalTransition, match="pending"):
        client.transition("a", "approved")
    with pytest.raises(VersionConflict) as conflict:
        client.update_execution("a", {"message": "m"}, expected_version=7)
    assert (conflict.value.expected, conflict.value.actual) == (7, 1)
    with pytest.raises(InvalidInput) as invalid:
        client.update_execution("a", {"progress": 2})
    assert invalid.value.field == "progress"
    client.transition("a", "started")
    with pytest.raises(UnknownStep):
        client.finish_step("a", "nothing")
    with pytest.raises(ServiceError, match="nothing here") as unknown:
        client.transition("a", "no_such_event")
    assert unknown.value.status == 404
    with pytest.raises(InvalidInput, match="X-Reason"):
        client.delete("a", reason="two\nlines")
    assert client.update_execution("nobody", {"message": "m"}) is None


def test_leases(client: Any) -> None:
    client.create_execution({"job_id": "a", "status": "running"})
    lease = client.take_lease("a", holder="w1", ttl=60)
    assert (lease.key, lease.holder) == ("a", "w1")
    with pytest.raises(LeaseHeld) as held:
        client.take_lease("a", holder="w2")
    assert held.value.holder == "w1"
    assert client.renew_lease(lease, ttl=120).expires_at > lease.expires_at
    assert client.update_execution("a", {"message": "mine"}, lease=lease).message == "mine"
    client.release_lease(lease)
    with pytest.raises(LeaseLost):
        client.renew_lease(lease)


def test_batches_tell_of_each(client: Any) -> None:
    client.create_execution({"job_id": "x"})
    one, taken = client.create_executions([{"job_id": "y"}, {"job_id": "x"}], reason="moved in")
    assert one.job_id == "y"
    assert isinstance(taken, DuplicateJobId)
    assert client.execution_events("y").events[0].reason == "moved in"
    started, gone, refused = client.send_commands(
        [
            {"execution_id": "y", "command": "start"},
            {"execution_id": "x", "command": "delete"},
            {"execution_id": "y", "command": "reject"},
        ]
    )
    assert (started.status, gone) == ("running", None)
    assert isinstance(refused, IllegalTransition)


class Lossy:
    """Passes requests on, and loses the answers to the first few."""

    def __init__(self, address: str, lose: int) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._target, self._lose, self.connections = (host, int(port)), lose, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near, self.connections <= self._lose), daemon=True).start()

    def _serve(self, near: socket.socket, lose: bool) -> None:
        with near, socket.create_connection(self._target) as far:
            threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
            if lose:
                far.recv(1)
            else:
                self._pump(far, near)
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._server.close()


def test_a_write_whose_answer_was_lost_is_sent_again_and_recorded_once(make: Any, service: Service) -> None:
    lossy = Lossy(service.address, lose=2)
    with make(lossy.address, ledger=service.ledger) as client:
        created = client.create_execution({"run_name": "once"})
        assert lossy.connections == 3
        assert [row.job_id for row in client.get_execution_page().executions] == [created.job_id]
        assert client.summary().size == 1
    lossy.close()


def test_a_write_that_cannot_be_told_apart_is_not_sent_again(make: Any, service: Service) -> None:
    lossy = Lossy(service.address, lose=1)
    with make(lossy.address, ledger=service.ledger) as client, pytest.raises(StoreUnavailable):
        client.send_commands([{"execution_id": "x", "command": "start"}])
    assert lossy.connections == 1
    lossy.close()


def test_what_is_no_text_is_refused_by_name(client: Any) -> None:
    for call, field in (
        (lambda: client.create_execution({"job_id": "a", "run_name": "\udcff"}), "run_name"),
        (lambda: client.get_execution_by_job_id("\udcff"), "job_id"),
        (lambda: client.finish_step("a", "\udcff"), "step_id"),
        (lambda: client.audit(actor="\udcff"), "actor"),
        (lambda: client.add_note("a", "text", actor="\udcff"), "X-Actor"),
    ):
        with pytest.raises(InvalidInput, match="lone surrogate") as refused:
            call()
        assert refused.value.details["field"] == field


def test_a_service_that_is_away_is_waited_for_as_long_as_patience_says(make: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    told = f"^{address.removeprefix('http://')} does not answer"
    with make(address, patience=0.3) as client, pytest.raises(StoreUnavailable, match=told):
        client.summary()


def test_an_answer_that_is_not_the_services_own_is_told(make: Any) -> None:
    with answering(b"<html>", "text/html") as address, make(address) as client:
        told = f"^{address.removeprefix('http://')} answered 200 OK, but not as an execution-ledger service does"
        for ask in (client.summary, lambda: client.get("j"), lambda: client.create_execution({"job_id": "j"})):
            with pytest.raises(StoreUnavailable, match=told):
                ask()
        if isinstance(client, LedgerClient):
            with pytest.raises(StoreUnavailable, match=told):
                next(client.follow(0))


def test_it_follows_the_ledger_through_restarts_of_the_service(make: Any, database: Database) -> None:
    ledger, port = uuid4().hex, 0
    settings = Settings(database_url=database.url, actor=None)
    seen: list[int] = []

    def follow(address: str) -> None:
        with make(address, ledger=ledger) as client:
            for event in islice(client.follow(0), 6):
                assert event.data["run_name"] == "line\u2028by\x85line"
                seen.append(event.position)
                received.release()

    received = threading.Semaphore(0)
    follower: threading.Thread | None = None
    for start in (0, 3):
        with running(settings, port=port) as address, LedgerClient(address, ledger=ledger) as writer:
            port = int(address.rpartition(":")[2])
            if follower is None:
                follower = threading.Thread(target=follow, args=(address,), daemon=True)
                follower.start()
            for number in range(start, start + 3):
                writer.create_execution({"job_id": str(number), "run_name": "line\u2028by\x85line"})
            for _ in range(3):
                assert received.acquire(timeout=30)
    assert follower is not None
    follower.join(30)
    assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("url", ["127.0.0.1:8470", "ftp://x", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        LedgerClient(url)
