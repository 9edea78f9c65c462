"""OpenLineage over HTTP: by the real client, by events as they may come, and out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import JobFacet, RunFacet, error_message_run, job_type_job, parent_run
from openlineage.client.transport.http import HttpConfig, HttpTransport

from .conftest import Service

TIMES = {"START": "2026-01-31T08:00:00Z", "RUNNING": "2026-01-31T08:00:01Z", "COMPLETE": "2026-01-31T08:00:09Z"}
TIMES |= {"FAIL": "2026-01-31T08:00:10Z", "ABORT": "2026-01-31T08:00:11Z", "OTHER": "2026-01-31T08:00:05Z"}


@pytest.fixture
def lineage(service: Service) -> Iterator[OpenLineageClient]:
    """The real client, in the ledger of this test."""
    config = HttpConfig.from_dict(
        {"url": service.address, "custom_headers": {"X-Ledger": service.ledger, "X-Actor": "airflow"}}
    )
    client = OpenLineageClient(transport=HttpTransport(config))
    yield client
    client.close()


def event(kind: str | None, run_id: str, **more: Any) -> dict[str, Any]:
    """As any client sends it."""
    run = {"runId": run_id, "facets": more.pop("facets", {})}
    job = {"namespace": "warehouse", "name": "load", "facets": {}}
    time = {"eventTime": TIMES[kind or "OTHER"]}
    return {"eventType": kind, "run": run, "job": job, "producer": "urn:test", **time, **more}


def send(client: httpx.Client, kind: str | None, run_id: str, **more: Any) -> dict[str, Any]:
    answer = client.post("lineage", json=event(kind, run_id, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def history(client: httpx.Client, run_id: str) -> list[str]:
    events = client.get(f"executions/{run_id}/events").json()["events"]
    return [each["type"].removeprefix("execution.") for each in events]


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


@pytest.mark.parametrize(
    ("kinds", "status", "events"),
    [
        (["START"], "running", ["created", "started", "noted"]),
        (["RUNNING"], "running", ["created", "started", "noted"]),
        (["OTHER"], "pending", ["created", "noted"]),
        ([None], "pending", ["created", "noted"]),
        (["COMPLETE"], "completed", ["created", "started", "noted", "completed"]),
        (["ABORT"], "cancelled", ["created", "started", "noted", "cancelled"]),
        (["COMPLETE", "START", "RUNNING"], "completed", ["created", "started", "noted", "completed", "noted", "noted"]),
        (["FAIL", "COMPLETE"], "failed", ["created", "started", "noted", "failed", "noted", "late_outcome"]),
        (["START", "START", "ABORT", "ABORT"], "cancelled", ["created", "started", "noted", "noted", "cancelled"]),
    ],
)  # fmt: skip
def test_events_in_any_order_lead_to_a_status_that_stays(
    client: httpx.Client, kinds: list[str | None], status: str, events: list[str]
) -> None:
    run_id = str(uuid4())
    for kind in kinds:
        send(client, kind, run_id)
    assert client.get(f"executions/{run_id}").json()["status"] == status
    assert history(client, run_id) == events


def test_the_same_event_again_is_recorded_once_and_a_late_parent_is_taken_over(client: httpx.Client) -> None:
    run_id, outer = str(uuid4()), str(uuid4())
    first = send(client, "COMPLETE", run_id)
    size = client.get("ledger").json()["size"]
    assert send(client, "COMPLETE", run_id) == first
    assert client.get("ledger").json()["size"] == size
    send(client, "START", run_id.upper(), facets={"parent": {"run": {"runId": outer}}})
    run = client.get(f"executions/{run_id}").json()
    assert (run["parent_job_id"], run["status"]) == (outer, "completed")


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"run": {"runId": "7"}}, "run.runId"),
        ({"run": {}}, "run.runId"),
        ({"eventType": "STARTED"}, "eventType"),
        ({"eventTime": "yesterday"}, "eventTime"),
        ({"eventTime": None}, "eventTime"),
        ({"job": {"namespace": "n"}}, "job.name"),
        ({"job": None}, "job"),
        ({"inputs": [{"name": "n"}]}, "inputs.0.namespace"),
    ],
)
def test_an_event_that_is_none_is_refused_with_the_path_of_the_fault(
    client: httpx.Client, broken: dict[str, Any], field: str
) -> None:
    sent = {**event("START", str(uuid4())), **broken}
    answer = client.post("lineage", json=sent)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    batch = client.post("lineage/batch", json=[sent]).json()
    assert batch["status"] == "failure"
    assert batch["failed_events"][0]["reason"].startswith(f"{field}: ")
    assert client.get("ledger").json()["size"] == 0


def test_what_is_too_large_or_of_no_run_leaves_nothing(client: httpx.Client) -> None:
    large = event("START", str(uuid4()), facets={"sql": {"query": "x" * 150_000}})
    assert client.post("lineage", json=large).status_code == 413
    job_event = {"eventTime": TIMES["OTHER"], "job": {"namespace": "n", "name": "j"}, "producer": "urn:test"}
    assert client.post("lineage", json=job_event).json()["job_id"] is None
    assert client.post("lineage", json={**job_event, "eventTime": "2024-01-01T12:99:00Z"}).status_code == 422
    assert client.get("ledger").json()["size"] == 0


def test_a_batch_tells_which_events_failed(client: httpx.Client) -> None:
    good, other = event("START", str(uuid4())), event("COMPLETE", str(uuid4()))
    answer = client.post("lineage/batch", json=[good, {"eventTime": 7}, other]).json()
    counts = {"received": 3, "successful": 2, "failed": 1, "retriable": 0, "non_retriable": 1}
    assert (answer["status"], answer["summary"]) == ("partial_success", counts)
    assert [(each["index"], each["retriable"]) for each in answer["failed_events"]] == [(1, False)]
    assert client.post("lineage/batch", json=[good]).json()["status"] == "success"
    assert client.get("executions").json()["total"] == 2
    for empty in ([], {}, "x"):
        assert client.post("lineage/batch", json=empty).status_code == 422


def test_executions_are_told_as_openlineage(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "mine", "run_name": "nightly", "reason": "the usual"})
    client.post("executions/mine/start")
    client.post("executions/mine/fail", json={"error": "disk full"})
    events = client.get("executions/mine/lineage").json()["events"]
    assert [each["eventType"] for each in events] == ["START", "RUNNING", "FAIL"]
    run_ids = {each["run"]["runId"] for each in events}
    assert len(run_ids) == 1
    assert re.fullmatch(r"[0-9a-f-]{36}", run_ids.pop())
    assert events[0]["run"]["facets"]["executionLedger"]["reason"] == "the usual"
    assert events[2]["run"]["facets"]["errorMessage"]["message"] == "disk full"
    assert events[2]["job"]["name"] == "nightly"

    run_id = str(uuid4())
    sent = event("START", run_id)
    client.post("lineage", json=sent)
    again = client.get(f"executions/{run_id}/lineage").json()["events"]
    assert sent in again
    assert {each["run"]["runId"] for each in again} == {run_id}
    assert client.get("executions/nobody/lineage").status_code == 404
