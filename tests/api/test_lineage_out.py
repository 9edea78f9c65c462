"""What is recorded, given out as OpenLineage: readable by its client, and taken by another ledger as the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, parent_run
from openlineage.client.serde import Serde

from execution_ledger.domain import stream_id

from .conftest import Service

DBT = [json.loads(line) for line in (Path(__file__).parent / "lineage" / "dbt_build.ndjson").read_text().splitlines()]


def lineage(client: httpx.Client, job_id: str, **parameters: int) -> list[dict[str, Any]]:
    return client.get(f"executions/{job_id}/lineage", params=parameters).json()["events"]


def types(client: httpx.Client, job_id: str) -> list[str]:
    return [each["eventType"] for each in lineage(client, job_id)]


def test_executions_are_told_as_openlineage(client: httpx.Client, service: Service) -> None:
    client.post("executions", json={"job_id": "mine", "run_name": "nightly", "reason": "the usual"})
    client.post("executions/mine/start")
    client.post("executions/mine/notes", json={"text": "half of it"})
    client.post("executions/mine/fail", json={"error": "disk full"})
    events = lineage(client, "mine")
    assert [each["eventType"] for each in events] == ["START", "RUNNING", "OTHER", "FAIL"]
    assert {each["run"]["runId"] for each in events} == {str(stream_id(service.ledger, "mine"))}
    about = events[0]["run"]["facets"]["executionLedger_event"]
    assert (about["job_id"], about["reason"], about["version"]) == ("mine", "the usual", 1)
    assert events[3]["run"]["facets"]["errorMessage"]["message"] == "disk full"
    assert {(each["job"]["namespace"], each["job"]["name"]) for each in events} == {(service.ledger, "nightly")}
    assert client.get("executions/nobody/lineage").status_code == 404


def test_how_a_run_ended_is_told_however_it_came_about(client: httpx.Client) -> None:
    for status, told in (("running", "START"), ("completed", "COMPLETE"), ("stopped", "ABORT"), ("failed", "FAIL")):
        client.post("executions", json={"job_id": status, "status": status})
        assert types(client, status) == [told]
    client.post("executions/failed/correct", json={"status": "completed", "reason": "it was there"})
    assert types(client, "failed") == ["FAIL", "COMPLETE"]
    client.post("executions", json={"job_id": "asked"})
    client.post("executions/asked/start")
    client.post("executions/asked/stop")
    client.post("executions/asked/confirm-stop")
    client.delete("executions/asked")
    assert types(client, "asked") == ["START", "RUNNING", "OTHER", "ABORT", "OTHER"]


def test_a_run_inside_another_names_it_whatever_its_id_looks_like(client: httpx.Client, service: Service) -> None:
    outer = str(uuid4())
    for job_id, parent, run_id in (
        (outer, None, outer),
        ("inner", outer, None),
        ("innermost", "inner", None),
        (outer.upper(), "nobody", None),  # another job id, so another run
    ):
        client.post("executions", json={"job_id": job_id, "parent_job_id": parent, "run_name": f"the {job_id}"})
        (event,) = lineage(client, job_id)
        assert event["run"]["runId"] == (run_id or str(stream_id(service.ledger, job_id)))
        facet = event["run"]["facets"].get("parent")
        if parent is None:
            assert facet is None
            continue
        known = {outer: outer}.get(parent, str(stream_id(service.ledger, parent)))
        name = parent if parent == "nobody" else f"the {parent}"
        assert (facet["run"]["runId"], facet["job"]["name"]) == (known, name)


def test_what_came_as_openlineage_is_given_as_it_came_once_beside_what_others_did(client: httpx.Client) -> None:
    for each in DBT:
        client.post("lineage", json=each)
    for run_id in {each["run"]["runId"] for each in DBT}:
        assert lineage(client, run_id) == [each for each in DBT if each["run"]["runId"] == run_id]
    root = DBT[0]["run"]["runId"]
    client.post(f"executions/{root}/notes", json={"text": "looked at it"}, headers={"X-Actor": "ada"})
    *_, note = lineage(client, root)
    assert (note["eventType"], note["run"]["runId"]) == ("OTHER", root)
    assert (note["job"]["namespace"], note["job"]["name"]) == ("dbt", "dbt-run-shop"), "the run has one job"
    assert note["run"]["facets"]["executionLedger_event"]["actor"] == "ada"

    pages, version = [], 1
    while version is not None:
        answer = client.get(f"executions/{root}/lineage", params={"limit": 2, "from_version": version}).json()
        pages += answer["events"]
        version = answer["next_version"]
    assert pages == lineage(client, root)


def test_a_note_that_only_says_it_is_of_openlineage_is_none(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "n"})
    client.post("executions/n/notes", json={"text": "x", "source": "openlineage", "data": {"no": "event"}})
    *_, note = lineage(client, "n")
    assert note["eventType"] == "OTHER"
    assert note["run"]["facets"]["executionLedger_event"]["data"]["data"] == {"no": "event"}


def test_its_client_can_read_what_is_given(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "outer"})
    client.post("executions", json={"job_id": "inner", "parent_job_id": "outer", "status": "running"})
    client.post("executions/inner/fail", json={"error": "disk full"})
    for event in lineage(client, "inner"):
        facets = event["run"]["facets"]
        read = RunEvent(  # which checks times, run ids, kinds and addresses
            eventType=RunState[event["eventType"]],
            eventTime=event["eventTime"],
            run=Run(runId=event["run"]["runId"], facets=facets),
            job=Job(**event["job"]),
            producer=event["producer"],
            inputs=event["inputs"],
            outputs=event["outputs"],
        )
        assert event["schemaURL"] == read.schemaURL
        parent = facets["parent"]
        again = parent_run.ParentRunFacet(
            run=parent_run.Run(**parent["run"]), job=parent_run.Job(**parent["job"]), producer=parent["_producer"]
        )
        assert parent["_schemaURL"] == Serde.to_dict(again)["_schemaURL"]
    error = facets["errorMessage"]
    again = error_message_run.ErrorMessageRunFacet(error["message"], "unknown", producer=error["_producer"])
    assert error == Serde.to_dict(again)


def test_another_ledger_takes_what_is_given_as_the_same_runs(client: httpx.Client) -> None:
    for each in DBT[::-1]:
        client.post("lineage", json=each)
    mine = {"job_id": "mine", "run_name": "nightly", "status": "running", "parent_job_id": DBT[0]["run"]["runId"]}
    client.post("executions", json=mine)
    client.post("executions/mine/fail", json={"error": "disk full"})
    runs = client.get("executions").json()["executions"]
    other = {"X-Ledger": f"other-{uuid4().hex[:8]}"}
    for run in runs:
        given = client.get(f"executions/{run['job_id']}/lineage").json()["events"]
        assert client.post("lineage/batch", json=given, headers=other).json()["status"] == "success"
    taken = client.get("executions", headers=other).json()["executions"]
    same = ("run_name", "status", "error", "parent_job_id", "started_at", "completed_at", "inputs", "result")
    assert sorted([run[name] for name in same] for run in runs) == sorted([run[name] for name in same] for run in taken)
    assert all(str(UUID(run["job_id"])) == run["job_id"] for run in taken)
