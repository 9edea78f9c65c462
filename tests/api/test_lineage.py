"""OpenLineage over HTTP: events as they may come, in any order, again, broken, and those of a real dbt."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.http_service import make_client

from .conftest import Service

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
SOME = "018d5f3c-0000-7000-8000-000000000001"
TIMES = {"START": "2026-01-31T08:00:00Z", "RUNNING": "2026-01-31T08:00:01Z", "COMPLETE": "2026-01-31T08:00:09Z"}
TIMES |= {"FAIL": "2026-01-31T08:00:10Z", "ABORT": "2026-01-31T08:00:11Z", "OTHER": "2026-01-31T08:00:05Z"}


def event(kind: str | None, run_id: str, **more: Any) -> dict[str, Any]:
    """As any client sends it."""
    run = {"runId": run_id, "facets": more.pop("facets", {})}
    job = {"namespace": "warehouse", "name": "load", "facets": {}}
    time = {"eventTime": TIMES[kind or "OTHER"]}
    return {"eventType": kind, "run": run, "job": job, "producer": "urn:test", **time, **more}


def facet(**facets: Any) -> dict[str, Any]:
    """What makes an event one with these facets of its run."""
    return {"run": {"runId": str(uuid4()), "facets": facets}}


def send(client: httpx.Client, kind: str | None, run_id: str, **more: Any) -> dict[str, Any]:
    answer = client.post("lineage", json=event(kind, run_id, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def history(client: httpx.Client, run_id: str) -> list[str]:
    events = client.get(f"executions/{run_id}/events").json()["events"]
    return [each["type"].removeprefix("execution.") for each in events]


def send_all(client: httpx.Client, how: str, events: list[dict[str, Any]]) -> None:
    """One by one, or as a batch."""
    if how == "batch":
        answer = client.post("lineage/batch", json=events)
        assert answer.json()["status"] == "success", answer.text
    for each in events if how == "alone" else ():
        answer = client.post("lineage", json=each)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("kinds", "status", "events"),
    [
        (["START"], "running", ["created", "started", "noted"]),
        (["RUNNING"], "running", ["created", "started", "noted"]),
        (["OTHER"], "pending", ["created", "noted"]),
        ([None], "pending", ["created", "noted"]),
        (["COMPLETE"], "completed", ["created", "started", "noted", "completed"]),
        (["ABORT"], "cancelled", ["created", "started", "noted", "cancelled"]),
        (
            ["COMPLETE", "RUNNING", "START"],
            "completed",
            ["created", "started", "noted", "completed", "noted", "corrected", "noted", "corrected"],
        ),
        (["COMPLETE", "OTHER"], "completed", ["created", "started", "noted", "completed", "noted", "corrected"]),
        (["COMPLETE", "FAIL"], "completed", ["created", "started", "noted", "completed", "noted", "late_outcome"]),
        (["FAIL", "ABORT"], "failed", ["created", "started", "noted", "failed", "noted", "late_outcome"]),
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
    assert (run["created_at"], run["started_at"], run["completed_at"]) == tuple(
        TIMES[kind] for kind in ("START", "START", "COMPLETE")
    )
    corrected = client.get(f"executions/{run_id}/events").json()["events"][-1]
    assert (corrected["type"], corrected["reason"]) == ("execution.corrected", "OpenLineage told of it later")
    assert corrected["occurred_at"] == TIMES["START"] < corrected["recorded_at"]


def test_the_same_end_told_with_other_words_is_no_other_outcome(client: httpx.Client) -> None:
    run_id = str(uuid4())
    for second in (7, 9, 8):
        send(client, "COMPLETE", run_id, eventTime=f"2026-01-31T08:00:0{second}Z")
    run = client.get(f"executions/{run_id}").json()
    assert (run["late_outcome"], run["completed_at"]) == (None, "2026-01-31T08:00:07Z")
    assert history(client, run_id) == ["created", "started", "noted", "completed", "noted", "noted"]


def test_the_same_event_by_somebody_else_is_recorded_once(client: httpx.Client) -> None:
    run_id = str(uuid4())
    sent = [event(kind, run_id) for kind in ("COMPLETE", "FAIL", "START")]
    first = client.post("lineage/batch", json=sent, headers={"X-Actor": "ada"}).json()
    root = client.get("ledger/root").json()
    again = client.post("lineage/batch", json=sent, headers={"X-Actor": "bob", "X-Reason": "a backup"}).json()
    assert again == first
    alone = client.post("lineage", json=sent[0], headers={"X-Actor": "cid"}).json()
    assert (alone["status"], alone["version"]) == ("completed", root["size"])
    assert client.get("ledger/root").json() == root


def test_what_any_event_tells_first_is_taken_over(client: httpx.Client) -> None:
    run_id, outer = str(uuid4()), str(uuid4())
    send(client, "START", run_id)
    parent = {"parent": {"run": {"runId": outer.upper()}, "job": {"namespace": "n", "name": "outer"}}}
    job = {"namespace": "warehouse", "name": "load", "facets": {"jobType": {"integration": "FLINK"}}}
    send(client, "RUNNING", run_id, facets=parent, job=job, inputs=[{"namespace": "n", "name": "first"}])
    send(client, "COMPLETE", run_id, inputs=[{"namespace": "n", "name": "second"}])
    run = client.get(f"executions/{run_id}").json()
    assert (run["parent_job_id"], run["execution_type"]) == (outer, "flink")
    assert run["inputs"] == {"datasets": [{"namespace": "n", "name": "first"}]}


SOME_EVENTS = [
    event("COMPLETE", SOME, eventTime="2026-01-31T08:00:09Z"),
    event("START", SOME, eventTime="2026-01-31T08:00:03Z", inputs=[{"namespace": "n", "name": "first"}]),
    event("RUNNING", SOME, eventTime="2026-01-31T08:00:05Z", inputs=[{"namespace": "n", "name": "second"}]),
    event("OTHER", SOME, eventTime="2026-01-31T08:00:01Z"),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_a_batch_is_what_its_events_are_one_by_one(client: httpx.Client, order: tuple[int, ...]) -> None:
    other = str(uuid4())
    sent = [SOME_EVENTS[at] for at in order]
    twin = [{**each, "run": {"runId": other, "facets": {}}} for each in sent]
    send_all(client, "alone", sent)
    send_all(client, "batch", twin)
    one, same = (client.get(f"executions/{run_id}").json() for run_id in (SOME, other))
    names = ("status", "created_at", "started_at", "completed_at", "inputs", "late_outcome")
    assert {name: one[name] for name in names} == {name: same[name] for name in names}
    first = next(each for each in sent if each.get("inputs"))
    assert one["inputs"] == {"datasets": first["inputs"]}
    assert (one["created_at"], one["completed_at"]) == ("2026-01-31T08:00:01Z", "2026-01-31T08:00:09Z")
    assert one["started_at"] == "2026-01-31T08:00:03Z"
    root = client.get("ledger/root").json()
    send_all(client, "batch", twin[::-1])
    send_all(client, "alone", sent)
    assert client.get("ledger/root").json() == root


def test_what_many_tell_at_once_of_one_run_is_the_earliest(service: Service, client: httpx.Client) -> None:
    """Each corrects what it has read, which another one may have corrected meanwhile."""
    run_id, senders = str(uuid4()), 8
    send(client, "COMPLETE", run_id, eventTime="2026-01-31T08:59:59Z")
    begin = threading.Barrier(senders)

    def tell(sender: int) -> None:
        with make_client(service.address, headers={"X-Ledger": service.ledger}) as own:
            begin.wait(timeout=60)
            for number in range(10):
                time = f"2026-01-31T08:{50 - number * 5:02}:{(sender * 7) % senders:02}Z"
                send(own, "RUNNING", run_id, eventTime=time, inputs=[{"namespace": "n", "name": f"of {sender}"}])

    with ThreadPoolExecutor(senders) as pool:
        list(pool.map(tell, range(senders)))
    run = client.get(f"executions/{run_id}").json()
    assert (run["created_at"], run["started_at"]) == ("2026-01-31T08:05:00Z", "2026-01-31T08:05:00Z")
    events = client.get(f"executions/{run_id}/events", params={"limit": 1000}).json()["events"]
    corrections = [each["data"] for each in events if each["type"] == "execution.corrected"]
    assert [each["inputs"] for each in corrections if "inputs" in each] == [run["inputs"]]
    times = [each["started_at"] for each in corrections if "started_at" in each]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("how", ["alone", "batch"])
def test_an_end_is_refused_while_the_run_waits_for_an_approval_and_taken_after_it(
    client: httpx.Client, how: str
) -> None:
    run_id = str(uuid4())
    end = event("COMPLETE", run_id)
    send(client, "START", run_id)
    assert client.post(f"executions/{run_id}/request-approval", json={}).status_code == 200
    for _ in range(2):
        if how == "alone":
            refused = client.post("lineage", json=end)
            assert (refused.status_code, refused.json()["source"]) == (409, "waiting_for_approval")
        else:
            answer = client.post("lineage/batch", json=[end, event("RUNNING", run_id)]).json()
            (failed,) = answer["failed_events"]
            assert (failed["index"], failed["retriable"]) == (0, False)
            assert "is waiting_for_approval" in failed["reason"]
    assert client.get(f"executions/{run_id}").json()["status"] == "waiting_for_approval"
    client.post(f"executions/{run_id}/approve", json={})
    send_all(client, how, [end])
    run = client.get(f"executions/{run_id}").json()
    assert (run["status"], run["completed_at"], run["late_outcome"]) == ("completed", TIMES["COMPLETE"], None)
    assert history(client, run_id).count("noted") == (2 if how == "alone" else 3)


@pytest.mark.parametrize(("kind", "status"), [("FAIL", "failed"), ("ABORT", "cancelled")])
def test_what_waits_for_an_approval_may_fail_meanwhile(client: httpx.Client, kind: str, status: str) -> None:
    run_id = str(uuid4())
    send(client, "START", run_id)
    client.post(f"executions/{run_id}/request-approval", json={})
    send(client, kind, run_id)
    assert client.get(f"executions/{run_id}").json()["status"] == status


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2026-01-31T13:30:00.25+05:30", "2026-01-31T08:00:00.250000Z"),
        ("2026-01-30T22:00:00-10:00", "2026-01-31T08:00:00Z"),
        ("2026-01-31T08:00:00", "2026-01-31T08:00:00Z"),  # dbt tells of an ABORT so
        ("2026-01-31T08:00:00.472698302Z", "2026-01-31T08:00:00.472698Z"),  # as Java does
        ("2026-01-31 08:00:00Z", "2026-01-31T08:00:00Z"),
    ],
)
def test_times_of_any_zone_are_kept_in_utc_beside_what_was_told(client: httpx.Client, told: str, kept: str) -> None:
    run_id = str(uuid4())
    send(client, "START", run_id, eventTime=told)
    run = client.get(f"executions/{run_id}").json()
    assert (run["created_at"], run["started_at"]) == (kept, kept)
    events = client.get(f"executions/{run_id}/events").json()["events"]
    assert {each["occurred_at"] for each in events} == {kept}
    assert events[-1]["data"]["data"]["eventTime"] == told
    assert all(each["recorded_at"] > kept for each in events)


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"run": {"runId": "7"}}, "run.runId"),
        ({"run": {"runId": 7}}, "run.runId"),
        ({"run": {"runId": "nightly-2026-01-31"}}, "run.runId"),
        ({"run": {"runId": f"urn:uuid:{SOME}"}}, "run.runId"),
        ({"run": {"runId": SOME.replace("-", "")}}, "run.runId"),
        ({"run": {"runId": f"{SOME}\n"}}, "run.runId"),
        ({"run": {}}, "run.runId"),
        ({"run": None}, "run"),
        ({"run": None, "eventType": None, "job": None}, "run"),
        (facet(parent={"run": {"runId": "airflow/dag/7"}}), "run.facets.parent.run.runId"),
        (facet(parent={"job": {}}), "run.facets.parent.run"),
        (facet(parent={"run": {"runId": SOME}, "root": {"run": {"runId": "x"}}}), "run.facets.parent.root.run.runId"),
        (facet(errorMessage={"programmingLanguage": "sql"}), "run.facets.errorMessage.message"),
        (facet(sql={"query": "a\0b"}), "run.facets.sql.query"),
        (facet(counts={"rows": [1, 2**64]}), "run.facets.counts.rows[1]"),
        (facet(deep=json.loads('{"a":' * 120 + "1" + "}" * 120)), "event"),
        ({"job": {"namespace": "n", "name": "a\0b"}}, "job.name"),
        ({"eventType": "STARTED"}, "eventType"),
        ({"eventTime": "yesterday"}, "eventTime"),
        ({"eventTime": None}, "eventTime"),
        ({"job": {"namespace": "n"}}, "job.name"),
        ({"job": None}, "job"),
        ({"inputs": [{"name": "n"}]}, "inputs.0.namespace"),
        ({"outputs": [{"namespace": "n", "name": "n"}, {"namespace": 7, "name": "n"}]}, "outputs.1.namespace"),
    ],
)  # fmt: skip
def test_an_event_that_is_none_is_refused_with_the_path_of_the_fault(
    client: httpx.Client, broken: dict[str, Any], field: str
) -> None:
    sent = {**event("START", str(uuid4())), **broken}
    answer = client.post("lineage", json=sent)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    batch = client.post("lineage/batch", json=[sent]).json()
    assert (batch["status"], batch["summary"]["non_retriable"]) == ("partial_success", 1)
    assert batch["failed_events"][0]["reason"].startswith(f"{field}: ")
    assert client.get("ledger").json()["size"] == 0


def test_what_is_too_large_is_refused_with_the_part_that_is_and_leaves_nothing(client: httpx.Client) -> None:
    for sent, field in (
        (
            event("START", str(uuid4()), facets={"small": {}, "plan": {"nodes": ["x" * 150_000]}}),
            "run.facets.plan.nodes",
        ),
        (event("START", str(uuid4()), inputs=[{"namespace": "n", "name": "x" * 100}] * 1_000), "inputs"),
        ({**event("START", str(uuid4())), **{f"key {at}": "x" * 1_000 for at in range(110)}}, "event"),
    ):
        answer = client.post("lineage", json=sent)
        assert (answer.status_code, answer.json()["field"]) == (413, field), answer.text
    assert client.get("ledger").json()["size"] == 0


@pytest.mark.parametrize("where", ["facets", "name"])
def test_what_is_nearly_too_large_is_kept_whole_or_not_at_all(client: httpx.Client, where: str) -> None:
    """Up to the limit byte by byte, so to say: one of them is the first to be refused."""
    statuses = []
    for size in range(98_000, 100_001, 50):
        run_id, large = str(uuid4()), "x" * size
        more: dict[str, Any] = {"facets": {"sql": {"query": large}}} if where == "facets" else {}
        sent = event("COMPLETE", run_id, **more)
        if where == "name":
            sent["job"]["name"] = large
        answer = client.post("lineage", json=sent)
        statuses.append(answer.status_code)
        if answer.status_code == 200:
            assert history(client, run_id) == ["created", "started", "noted", "completed"]
            assert client.get(f"executions/{run_id}/lineage").json()["events"] == [sent]
        else:
            assert client.get(f"executions/{run_id}").status_code == 404
    assert statuses == sorted(statuses)
    assert set(statuses) == {200, 413}


def test_what_is_of_no_run_is_taken_and_leaves_nothing(client: httpx.Client) -> None:
    job = {"namespace": "n", "name": "j"}
    for told in (
        {"job": job, "schemaURL": f"{SPEC}JobEvent"},
        {"job": job, "eventType": "OTHER"},
        {"dataset": {"namespace": "n", "name": "orders", "facets": {}}, "schemaURL": f"{SPEC}DatasetEvent"},
    ):
        sent = {"eventTime": TIMES["OTHER"], "producer": "urn:test", **told}
        nothing = {"job_id": None, "status": None, "version": None, "position": None}
        assert client.post("lineage", json=sent).json() == nothing
        assert client.post("lineage/batch", json=[sent]).json()["status"] == "success"
        assert client.post("lineage", json={**sent, "eventTime": "2024-01-01T12:99:00Z"}).status_code == 422
    assert client.get("ledger").json()["size"] == 0


def test_a_facet_that_is_deleted_tells_nothing(client: httpx.Client) -> None:
    run_id = str(uuid4())
    job = {"namespace": "n", "name": "j", "facets": {"jobType": {"_deleted": True}}}
    send(client, "START", run_id, job=job)
    assert client.get(f"executions/{run_id}").json()["execution_type"] is None


def test_a_batch_tells_which_events_failed(client: httpx.Client) -> None:
    good, other = event("START", str(uuid4())), event("COMPLETE", str(uuid4()))
    answer = client.post("lineage/batch", json=[good, {"eventTime": 7}, other]).json()
    counts = {"received": 3, "successful": 2, "failed": 1, "retriable": 0, "non_retriable": 1}
    assert (answer["status"], answer["summary"]) == ("partial_success", counts)
    assert [(each["index"], each["retriable"]) for each in answer["failed_events"]] == [(1, False)]
    assert client.post("lineage/batch", json=[good]).json()["status"] == "success"
    assert client.get("executions").json()["total"] == 2
    counts = {"received": 0, "successful": 0, "failed": 0, "retriable": 0, "non_retriable": 0}
    empty = client.post("lineage/batch", json=[]).json()
    assert empty == {"status": "success", "summary": counts, "failed_events": []}
    for none in ({}, "x", [good] * 1_001):
        answer = client.post("lineage/batch", json=none)
        assert (answer.status_code, answer.json()["field"]) == (422, "body")


DBT = [json.loads(line) for line in (Path(__file__).parent / "lineage" / "dbt_build.ndjson").read_text().splitlines()]
"""Of `make example-dbt`, the build that fails: some of its runs, their facets cut short."""
TREE = {
    "dbt-run-shop": (None, "JOB", "failed"),
    "seed.shop.raw_orders": ("dbt-run-shop", "SEED", "completed"),
    "seed.shop.raw_orders.sql.1": ("seed.shop.raw_orders", "SQL", "completed"),
    "model.shop.orders": ("dbt-run-shop", "MODEL", "completed"),
    "model.shop.orders.sql.6": ("model.shop.orders", "SQL", "completed"),
    "model.shop.revenue": ("dbt-run-shop", "MODEL", "failed"),
    "model.shop.revenue.sql.2": ("model.shop.revenue", "SQL", "failed"),
    "test.shop.not_null_revenue_revenue.ae135ff215": ("dbt-run-shop", "TEST", "cancelled"),
}


@pytest.mark.parametrize("how", ["alone", "batch"])
@pytest.mark.parametrize("order", ["as it was", "backwards", "each twice"])
def test_the_runs_of_dbt_are_nested_and_end_as_they_did_in_whatever_order_they_are_told(
    client: httpx.Client, order: str, how: str
) -> None:
    sent = {"as it was": DBT, "backwards": DBT[::-1], "each twice": [each for one in DBT for each in (one, one)]}[order]
    send_all(client, how, sent)
    runs = client.get("executions").json()["executions"]
    names = {run["job_id"]: run["run_name"] for run in runs}
    told = {
        run["run_name"]: (
            names.get(run["parent_job_id"]),
            run["attributes"]["openlineage_job_type"],
            run["status"],
            run["execution_type"],
        )
        for run in runs
    }
    assert told == {name: (*of, "dbt") for name, of in TREE.items()}
    by_name = {run["run_name"]: run for run in runs}
    for each in DBT:
        time = {"START": "started_at"}.get(each["eventType"], "completed_at")
        assert by_name[each["job"]["name"]][time] == each["eventTime"], each["job"]["name"]
    revenue, orders = by_name["model.shop.revenue"], by_name["model.shop.orders"]
    assert revenue["error"].startswith("Runtime Error in model revenue (models/revenue.sql)\n  Binder Error:")
    assert by_name["dbt-run-shop"]["error"].startswith("Command `dbt build`")
    assert revenue["inputs"] == orders["result"]
    assert orders["result"]["datasets"] == [{"namespace": "duckdb://shop.duckdb", "name": "shop.main.orders"}]
    assert revenue["result"] is None, "it wrote nothing"

    events = client.get("events", params={"limit": 1000}).json()["events"]
    assert {each["actor"] for each in events} == {DBT[0]["producer"]}
    assert {each["correlation_id"] for each in events} == {by_name["dbt-run-shop"]["job_id"]}
    notes = [each for each in events if each["type"] == "execution.noted"]
    assert len(notes) == len(DBT)
    assert {each["data"]["level"] for each in notes if "FAIL" in each["data"]["text"]} == {"error"}
