"""OpenLineage by its real clients: that which waits, that which does not, compressed, with a key, again, at once."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    StaticDataset,
)
from openlineage.client.facet_v2 import JobFacet, RunFacet, error_message_run, job_type_job, parent_run
from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport
from openlineage.client.transport.http import HttpConfig, HttpTransport
from sqlalchemy import make_url

from execution_ledger.infrastructure import Settings, create_key, create_sync_engine
from execution_ledger.infrastructure.short_transactions import short_transaction
from support import Database
from support.http_service import make_client, running

from .conftest import Service

KINDS = (RunState.START, RunState.RUNNING, RunState.COMPLETE)


@pytest.fixture
def lineage(service: Service) -> Iterator[OpenLineageClient]:
    """The real client, in the ledger of this test."""
    config = HttpConfig.from_dict(
        {"url": service.address, "custom_headers": {"X-Ledger": service.ledger, "X-Actor": "airflow"}}
    )
    client = OpenLineageClient(transport=HttpTransport(config))
    yield client
    client.close()


def test_the_real_client_tells_of_a_run_and_of_the_run_inside_it(
    lineage: OpenLineageClient, client: httpx.Client
) -> None:
    outer, inner = str(uuid4()), str(uuid4())

    def emit(state: RunState, run: str, name: str, at: str, facets: dict[str, RunFacet] | None = None) -> None:
        job_facets: dict[str, JobFacet] = {
            "jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DBT", jobType="MODEL")
        }
        lineage.emit(
            RunEvent(
                eventType=state,
                eventTime=f"2026-01-31T08:00:{at}+00:00",
                run=Run(runId=run, facets=facets or {}),
                job=Job(namespace="warehouse", name=name, facets=job_facets),
                inputs=[InputDataset(namespace="postgres://db", name="raw.orders")],
                outputs=[OutputDataset(namespace="postgres://db", name="orders")],
                producer="https://example.com/dbt",
            )
        )

    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=outer), job=parent_run.Job(namespace="warehouse", name="nightly")
    )
    error = error_message_run.ErrorMessageRunFacet(message="disk full", programmingLanguage="sql", stackTrace="at 1")
    emit(RunState.START, outer, "nightly", "00")
    emit(RunState.START, inner, "orders", "01", {"parent": parent})
    emit(RunState.RUNNING, inner, "orders", "02", {"parent": parent})
    emit(RunState.FAIL, inner, "orders", "03.5", {"parent": parent, "errorMessage": error})
    emit(RunState.COMPLETE, outer, "nightly", "04")

    failed, completed = client.get(f"executions/{inner}").json(), client.get(f"executions/{outer}").json()
    assert (failed["status"], failed["error"], failed["parent_job_id"]) == ("failed", "disk full", outer)
    assert (failed["run_name"], failed["execution_type"]) == ("orders", "dbt")
    assert failed["inputs"] == {"datasets": [{"namespace": "postgres://db", "name": "raw.orders"}]}
    assert (failed["started_at"], failed["completed_at"]) == ("2026-01-31T08:00:01Z", "2026-01-31T08:00:03.500000Z")
    assert completed["status"] == "completed"
    assert completed["result"] == {"datasets": [{"namespace": "postgres://db", "name": "orders"}]}
    found = client.get("executions", params={"parent_job_id": outer}).json()["executions"]
    assert [each["job_id"] for each in found] == [inner]
    notes = [
        each for each in client.get(f"executions/{inner}/events").json()["events"] if each["type"].endswith("noted")
    ]
    assert notes[-1]["data"]["data"]["run"]["facets"]["errorMessage"]["stackTrace"] == "at 1"
    assert (notes[-1]["actor"], notes[-1]["correlation_id"]) == ("airflow", outer)
    assert notes[-1]["occurred_at"] == "2026-01-31T08:00:03.500000Z"


def run_event(run_id: str, state: RunState, second: int, **facets: RunFacet) -> RunEvent:
    return RunEvent(
        eventType=state,
        eventTime=f"2026-01-31T08:00:{second:02}Z",
        run=Run(runId=run_id, facets=facets),
        job=Job(namespace="warehouse", name=f"job {run_id}"),
        producer="https://example.com/dbt",
    )


def settings_of(service: Service, **more: Any) -> dict[str, Any]:
    """Of a client, in the ledger of this test."""
    return {"url": service.address, "custom_headers": {"X-Ledger": service.ledger}, **more}


def histories(client: httpx.Client) -> Counter[tuple[str, ...]]:
    """How often there is an execution with these events, the notes by what they are of."""
    told: dict[str, list[str]] = {}
    for event in client.get("events", params={"limit": 1000, "order": "oldest"}).json()["events"]:
        name = event["type"].removeprefix("execution.")
        told.setdefault(event["job_id"], []).append(event["data"]["text"] if name == "noted" else name)
    return Counter(map(tuple, told.values()))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_events_of_any_size_arrive_whole_compressed_or_not(
    service: Service, client: httpx.Client, compression: str | None
) -> None:
    config = HttpConfig.from_dict(settings_of(service, compression=compression))
    transport, run_id = HttpTransport(config), str(uuid4())
    query = "select 'ß€𝄞\\\\', \"a\" -- \u2028\n" * 500
    sent = run_event(run_id, RunState.FAIL, 1, errorMessage=error_message_run.ErrorMessageRunFacet(query, "sql"))
    assert transport.emit(sent).status_code == 200
    assert client.get(f"executions/{run_id}").json()["error"] == query
    (kept,) = client.get(f"executions/{run_id}/lineage").json()["events"]
    assert kept["run"]["facets"]["errorMessage"]["message"] == query
    transport.close()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_client_that_does_not_wait_tells_of_many_runs_at_once(
    service: Service, client: httpx.Client, compression: str | None
) -> None:
    config = AsyncHttpConfig.from_dict(settings_of(service, compression=compression, timeout=60))
    transport = AsyncHttpTransport(config)
    runs = [str(uuid4()) for _ in range(40)]
    for second, kind in enumerate(KINDS):
        for run_id in runs:
            transport.emit(run_event(run_id, kind, second))
    assert transport.close(timeout=120)
    assert transport.get_stats() == {"pending": 0, "success": 120, "failed": 0}
    found = client.get("executions", params={"limit": 100}).json()["executions"]
    assert {(run["job_id"], run["status"], run["started_at"], run["completed_at"]) for run in found} == {
        (run_id, "completed", "2026-01-31T08:00:00Z", "2026-01-31T08:00:02Z") for run_id in runs
    }
    # It holds back what follows on a START until that has arrived; the rest may overtake one another.
    last = ("OpenLineage COMPLETE", "completed")
    orders = {("created", "started", "OpenLineage START", "OpenLineage RUNNING", *last)}
    orders |= {("created", "started", "OpenLineage START", *last, "OpenLineage RUNNING")}
    assert histories(client).keys() <= orders


def test_the_same_events_sent_by_many_at_once_are_recorded_once(service: Service, client: httpx.Client) -> None:
    """As by a client that did not wait long enough, by another that reads the same log, and in batches."""
    runs = [str(UUID(int=number)) for number in range(10)]
    sent = [
        {**event_of(run_id), "eventType": kind.value, "eventTime": f"2026-01-31T08:00:0{second}Z"}
        for run_id in runs
        for second, kind in enumerate(KINDS)
    ]
    begin = threading.Barrier(6)

    def send(sender: int) -> None:
        with make_client(service.address, headers={"X-Ledger": service.ledger, "X-Actor": f"sender {sender}"}) as own:
            begin.wait(timeout=60)
            if sender % 2:
                assert own.post("lineage/batch", json=sent).json()["status"] == "success"
                return
            for each in sent:
                answer = own.post("lineage", json=each)
                assert (answer.status_code, answer.json()["job_id"]) == (200, each["run"]["runId"]), answer.text

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))
    notes = tuple(f"OpenLineage {kind.value}" for kind in KINDS)
    assert histories(client) == {("created", "started", *notes, "completed"): 10}


def event_of(run_id: str) -> dict[str, Any]:
    return {"run": {"runId": run_id}, "job": {"namespace": "n", "name": "j"}, "producer": "urn:test"}


@contextmanager
def losing_answers(address: str) -> Iterator[tuple[str, Counter[int]]]:
    """A gateway that passes every request on, and tells of the first two answers to each that there were none."""
    seen: Counter[bytes] = Counter()
    statuses: Counter[int] = Counter()

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target, headers = f"{address}{self.path}", dict(self.headers)
            answer = httpx.post(target, content=body, headers=headers, trust_env=False, verify=False)
            seen[body] += 1
            status = answer.status_code if seen[body] > 2 else (502, 504)[seen[body] - 1]
            statuses[status] += 1
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", statuses
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", ["http", "async_http"])
def test_what_the_client_sends_again_is_recorded_once(service: Service, client: httpx.Client, kind: str) -> None:
    runs = [str(uuid4()) for _ in range(3)]
    with losing_answers(service.address) as (gateway, statuses):
        config = settings_of(service, url=gateway, retry={"backoff_factor": 0.01}, timeout=60)
        transport: Any = (
            HttpTransport(HttpConfig.from_dict(config))
            if kind == "http"
            else AsyncHttpTransport(AsyncHttpConfig.from_dict(config))
        )
        for run_id in runs:
            for second, state in enumerate(KINDS):
                transport.emit(run_event(run_id, state, second))
        assert transport.close(timeout=120)
    assert statuses == {502: 9, 504: 9, 200: 9}
    kept = histories(client)
    assert sum(kept.values()) == 3
    assert all(Counter(each) == Counter(next(iter(kept))) for each in kept)
    assert all(len(each) == len(set(each)) == 6 for each in kept)


def test_a_key_of_the_environment_is_the_clients_ledger_and_name(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_sync_engine(database.url)
    with short_transaction(engine) as connection:
        key = create_key(connection, "lineage", "airflow", ["write"], now=datetime.now(UTC))
    engine.dispose()
    with running(settings.model_copy(update={"auth": True})) as address:
        monkeypatch.setenv("OPENLINEAGE_URL", address)
        run_id = str(uuid4())
        for secret, status in ((key.secret, None), ("elk_nobodys", 401)):
            monkeypatch.setenv("OPENLINEAGE_API_KEY", secret)
            real = OpenLineageClient()
            if status is None:
                real.emit(run_event(run_id, RunState.START, 0))
            else:
                with pytest.raises(OSError, match=str(status)):
                    real.emit(run_event(str(uuid4()), RunState.START, 0))
            real.close()
    engine = create_sync_engine(database.url)
    with engine.connect() as connection:
        events = connection.exec_driver_sql("SELECT DISTINCT ledger_id, actor FROM execution_events").all()
    engine.dispose()
    assert [tuple(each) for each in events] == [("lineage", "airflow")]


def test_the_client_waits_where_it_is_told_to(settings: Settings) -> None:
    with running(settings.model_copy(update={"rate_limit": 5.0})) as address:  # 50 at once, then 5 a second
        transport = HttpTransport(HttpConfig.from_dict({"url": address}))
        statuses = {
            transport.emit(run_event(str(uuid4()), RunState.START, number % 60)).status_code for number in range(53)
        }
        transport.close()
    assert statuses == {200}


def test_events_of_no_run_are_taken(lineage: OpenLineageClient, client: httpx.Client) -> None:
    job = Job(namespace="warehouse", name="load")
    lineage.emit(JobEvent(eventTime="2026-01-31T08:00:00Z", job=job, producer="https://example.com/dbt"))
    dataset = StaticDataset(namespace="postgres://db", name="orders")
    lineage.emit(DatasetEvent(eventTime="2026-01-31T08:00:00Z", dataset=dataset, producer="https://example.com/dbt"))
    assert client.get("ledger").json()["size"] == 0


@pytest.mark.store("sqlite")
def test_a_batch_tells_what_to_send_again_when_the_database_is_busy(settings: Settings, database: Database) -> None:
    events = [{**event_of(str(uuid4())), "eventTime": "2026-01-31T08:00:00Z", "eventType": "START"} for _ in range(2)]
    with running(settings.model_copy(update={"write_patience": 0.01})) as address, make_client(address) as client:
        other = sqlite3.connect(make_url(database.url).database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("lineage/batch", json=[*events, {}]).json()
        counts = {"received": 3, "successful": 0, "failed": 3, "retriable": 2, "non_retriable": 1}
        assert (answer["status"], answer["summary"]) == ("partial_success", counts)
        assert [each["retriable"] for each in answer["failed_events"]] == [True, True, False]
        other.execute("ROLLBACK")
        other.close()
        answer = client.post("lineage/batch", json=[*events, {}]).json()
        assert [each["index"] for each in answer["failed_events"]] == [2]
        assert client.get("executions").json()["total"] == 2
