"""How executions were, who did what, how runs ended: over HTTP as in the library."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

WINDOW = {"ended_from": "2020-01-01", "ended_before": "2100-01-01"}


@pytest.fixture
def story(client: httpx.Client) -> httpx.Client:
    """One run that completes, one that fails, of one piece of work."""
    client.headers.update({"X-Actor": "ada", "X-Correlation-Id": "work-1"})
    assert client.post("executions", json={"job_id": "a", "run_name": "report", "inputs": {"n": 1}}).status_code == 201
    client.post("executions/a/start")
    client.post("executions/a/steps", json={"step_id": "s"})
    client.post("executions/a/steps/s/finish")
    client.post("executions/a/complete", json={"result": {"rows": 7}})
    client.post("executions", json={"job_id": "b", "run_name": "report", "inputs": {"n": 2}})
    client.post("executions/b/start")
    client.headers["X-Actor"] = "bob"
    client.post("executions/b/fail", json={"error": "no space left on /dev/sda1", "reason": "it broke"})
    del client.headers["X-Actor"], client.headers["X-Correlation-Id"]
    return client


def get(client: httpx.Client, path: str, **params: Any) -> Any:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_execution_is_shown_as_it_was(story: httpx.Client) -> None:
    assert get(story, "executions/a", version=1)["status"] == "pending"
    answer = story.get("executions/a", params={"version": 2})
    assert (answer.json()["status"], answer.headers["etag"]) == ("running", '"2"')
    assert get(story, "executions/a", as_of=datetime.now(UTC).isoformat())["status"] == "completed"
    for wrong in ({"version": 0}, {"as_of": "2020-01-01"}):
        assert story.get("executions/a", params=wrong).status_code == 404
    assert story.get("executions/a", params={"version": 1, "as_of": "2020-01-01"}).status_code == 422
    assert story.get("executions/a", params={"as_of": "soon"}).json()["field"] == "as_of"


def test_the_list_is_shown_as_it_was(story: httpx.Client) -> None:
    at = get(story, "executions/b", version=2)["updated_at"]
    listed = get(story, "executions", as_of=at)["executions"]
    assert {each["execution_id"]: each["status"] for each in listed} == {"b": "running", "a": "completed"}
    running = get(story, "executions", as_of=at, status="running")["executions"]
    assert [each["execution_id"] for each in running] == ["b"]
    by_end = story.get("executions", params={"as_of": at, "ended_from": at})
    assert (by_end.status_code, by_end.json()["field"]) == (422, "ended_from")
    refused = story.get("executions", params={"as_of": at, "run_name_prefix": "r"})
    assert (refused.status_code, refused.json()["field"]) == (422, "run_name_prefix")


def test_pages_are_linked(story: httpx.Client) -> None:
    first = story.get("executions", params={"limit": 1, "run_name_prefix": "rep"})
    second = story.get(first.url.join(first.links["next"]["url"]))
    assert [each["execution_id"] for each in second.json()["executions"]] == ["a"]
    assert "next" not in second.links
    page = story.get("audit", params={"limit": 3, "order": "oldest", "actor": "ada"})
    following = story.get(page.url.join(page.links["next"]["url"]))
    assert [each["event"]["position"] for each in following.json()["events"]] == [4, 5, 6]
    assert story.get(page.url.join(following.links["prev"]["url"])).json()["events"] == page.json()["events"]


def test_events_differences_and_reasons_of_an_execution(story: httpx.Client) -> None:
    first = get(story, "executions/a/events", limit=3)
    assert [each["version"] for each in first["events"]] == [1, 2, 3]
    rest = get(story, "executions/a/events", from_version=first["next_version"])
    assert [each["version"] for each in rest["events"]] == [4, 5]
    diff = get(story, "executions/a/diff", before="2", after="5")
    changes = {tuple(each["path"]): (each["before"], each["after"]) for each in diff["changes"]}
    assert changes[("status",)] == ("running", "completed")
    assert [(each["kind"], each["step_id"]) for each in diff["steps"]] == [("began", "s"), ("ended", "s")]
    why = get(story, "executions/b/explain", field="error")["fields"]
    assert (why["error"]["actor"], why["error"]["reason"], why["error"]["version"]) == ("bob", "it broke", 3)
    compared = get(story, "executions/a/compare", other="b")
    assert compared["first_divergence"]["where"] == "inputs"
    for path in ("events", "spans", "diff?before=1", "explain", "compare?other=a"):
        assert story.get(f"executions/nobody/{path}").status_code == 404
    assert story.get("executions/a/diff", params={"before": "5", "after": "2"}).json()["field"] == "before"
    assert story.get("executions/a/explain", params={"field": "color"}).json()["field"] == "field"


def test_spans_are_read_by_pages(story: httpx.Client) -> None:
    first = get(story, "executions/a/spans", limit=2)
    assert [each["status"] for each in first["statuses"]] == ["pending", "running"]
    assert (first["version"], first["next_version"], first["steps"]) == (2, 3, [])
    begun = get(story, "executions/a/spans", limit=1, from_version=3)
    ended = get(story, "executions/a/spans", limit=1, from_version=4)
    (step,), (end,) = begun["steps"], ended["ended"]
    assert (step["step_id"], step["outcome"]) == (end["step_id"], end["outcome"]) == ("s", "completed")
    assert step["finished_at"] == end["finished_at"]
    assert (step["version"], step["finished_version"], end["version"]) == (3, None, 4)
    (whole,) = get(story, "executions/a/spans")["steps"]
    assert (whole["version"], whole["finished_version"]) == (3, 4)
    statuses = get(story, "executions/a/spans", steps=False)
    begins = [(each["status"], each["version"]) for each in statuses["statuses"]]
    assert begins == [("pending", 1), ("running", 2), ("completed", 5)]
    assert (statuses["steps"], statuses["ended"], statuses["next_version"]) == ([], [], None)
    for wrong in ({"limit": 0}, {"limit": 10_001}, {"from_version": 0}, {"steps": "some"}):
        assert story.get("executions/a/spans", params=wrong).status_code == 422


def messages(answer: httpx.Response) -> list[dict[str, str]]:
    """The events of a finished stream."""
    blocks = answer.text.split("\n\n")
    parsed = [dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")) for block in blocks]
    return [each for each in parsed if "data" in each]


def test_a_run_is_played_again(story: httpx.Client) -> None:
    answer = story.get("executions/a/replay", params={"speed": 0})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *frames, end = messages(answer)
    assert [each["id"] for each in frames] == ["1", "2", "3", "4", "5"]
    states = [json.loads(each["data"])["execution"]["status"] for each in frames]
    assert states == ["pending", "running", "running", "running", "completed"]
    assert end["event"] == "end"
    assert story.get("executions/nobody/replay").status_code == 404


def test_the_audit_answers_who_did_what(story: httpx.Client) -> None:
    (failed,) = get(story, "audit", actor="bob")["events"]
    assert failed["changes"]["status"] == {"before": "running", "after": "failed"}
    assert get(story, "audit/count", type="completed") == {"number": 1, "exact": True}
    last = get(story, "audit/last-change", job_id="b", field="status")
    assert (last["event"]["actor"], last["event"]["version"]) == ("bob", 3)
    assert story.get("audit/last-change", params={"job_id": "b", "field": "result"}).status_code == 404
    runs = get(story, "audit/runs", correlation_id="work-1")["runs"]
    assert [(each["job_id"], each["events"]) for each in runs] == [("a", 5), ("b", 3)]
    assert story.get("audit", params={"cursor": "x"}).json()["field"] == "cursor"


def test_events_are_downloaded(story: httpx.Client) -> None:
    answer = story.get("audit/export")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["position"] for each in rows] == list(range(1, 9))
    assert answer.headers["x-ledger-size"] == "8"
    assert answer.headers["content-disposition"] == 'attachment; filename="events.jsonl"'
    assert get(story, "ledger/root", size=8)["size"] == 8
    table = story.get("audit/export", params={"format": "csv", "actor": "bob"})
    assert [row["actor"] for row in csv.DictReader(io.StringIO(table.text))] == ["bob"]
    assert story.get("audit/export", params={"text": "\x1f"}).status_code == 422


def test_statistics_know_of_a_position(story: httpx.Client) -> None:
    story.headers["X-Min-Position"] = "8"
    (group,) = get(story, "statistics", **WINDOW)["groups"]
    assert (group["runs"], group["outcomes"]["completed"], group["outcomes"]["failed"]) == (2, 1, 1)
    (named,) = get(story, "statistics", **WINDOW, by="run_name")["groups"]
    assert named["run_name"] == "report"
    assert get(story, "statistics/most-failing", **WINDOW)["groups"][0]["run_name"] == "report"
    (reason,) = get(story, "statistics/failure-reasons", **WINDOW)["reasons"]
    assert (reason["job_id"], reason["runs"]) == ("b", 1)
    assert {each["job_id"] for each in get(story, "statistics/longest", **WINDOW)["runs"]} == {"a", "b"}
    (failed,) = get(story, "statistics/longest", **WINDOW, reason=reason["reason"])["runs"]
    assert failed["job_id"] == "b"
    assert get(story, "statistics/most-retried", **WINDOW)["runs"] == []
    assert story.get("statistics", params={"ended_from": "2026", "ended_before": "2020-01-01"}).status_code == 422


def test_writes_tell_their_position(client: httpx.Client) -> None:
    assert client.post("executions", json={"job_id": "a"}).headers["x-position"] == "1"
    assert client.post("executions/a/start").headers["x-position"] == "2"
    assert "x-position" not in client.post("executions/a/start").headers, "nothing was written"
    assert client.get("executions/a", headers={"X-Min-Position": "2"}).json()["version"] == 2
    assert client.delete("executions/a").headers["x-position"] == "3"


def test_a_position_that_is_not_there_yet_is_waited_for_and_then_told(story: httpx.Client) -> None:
    late = story.get("executions/a", headers={"X-Min-Position": "1000"})
    assert (late.status_code, late.headers["retry-after"], late.json()["position"]) == (503, "1", 8)


def test_the_ledger_tells_how_far_projections_are_behind(story: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    lags = get(story, "ledger")["projections"]
    while any(each["lag"] for each in lags):
        assert time.monotonic() < deadline
        lags = get(story, "ledger")["projections"]
    assert {each["projection"] for each in lags} == {"run_statistics", "execution_time_marks", "execution_snapshots"}
    told = get(story, "projections")["projections"]
    assert {each["position"] for each in told} == {8}
    assert story.post("projections/run_statistics/retry").status_code == 200
    assert story.post("projections/nobody/retry").status_code == 404


def test_the_feed_goes_on_from_the_last_id_and_shows_what_comes(story: httpx.Client) -> None:
    seen: list[str] = []
    with story.stream("GET", "events/stream", headers={"Last-Event-ID": "6"}) as stream:
        lines = stream.iter_lines()
        for line in lines:
            if line.startswith("id: "):
                seen.append(line[4:])
            if len(seen) == 2:
                break
        story.post("executions/b/notes", json={"text": "late"})
        for line in lines:
            if line.startswith("id: "):
                seen.append(line[4:])
                break
    assert seen == ["7", "8", "9"]
    assert story.get("events/stream", headers={"Last-Event-ID": "x"}).json()["field"] == "Last-Event-ID"


def test_leases_are_taken_renewed_and_given_back(story: httpx.Client) -> None:
    story.post("executions", json={"job_id": "c", "status": "running"})
    taken = story.post("executions/c/lease", json={"holder": "w1", "ttl": 60}).json()
    assert (taken["job_id"], taken["holder"]) == ("c", "w1")
    held = story.post("executions/c/lease", json={"holder": "w2"})
    assert (held.status_code, held.json()["holder"]) == (409, "w1")
    mine = {"X-Lease-Token": str(taken["token"])}
    renewed = story.put("executions/c/lease", headers=mine, json={"ttl": 3600}).json()
    ends = [datetime.fromisoformat(each["expires_at"]) for each in (taken, renewed)]
    assert ends[1] - ends[0] > timedelta(minutes=30)
    assert renewed["holder"] == "w1"
    assert story.post("executions/c/notes", json={"text": "n"}, headers=mine).status_code == 200
    assert story.delete("executions/c/lease", headers=mine).status_code == 204
    for method in ("PUT", "DELETE"):
        lost = story.request(method, "executions/c/lease", headers=mine)
        assert (lost.status_code, lost.json()["type"].rpartition(":")[2]) == (412, "lease-lost")
    again = story.post("executions/c/lease", json={"holder": "w2"}).json()
    assert again["token"] > taken["token"]
    fenced = story.post("executions/c/complete", headers=mine)
    assert (fenced.status_code, fenced.json()["type"].rpartition(":")[2]) == (412, "lease-lost")
    assert story.post("executions/nobody/lease", json={"holder": "w"}).status_code == 404
    assert story.put("executions/c/lease").status_code == 422


def test_batches_answer_for_each_item(story: httpx.Client) -> None:
    items = [{"job_id": "x"}, {"job_id": "a"}, {"run_name": "no id"}, {"job_id": "y", "status": "nonsense"}]
    sent = {"json": {"executions": items}, "headers": {"Idempotency-Key": "batch-1"}}
    answer = story.post("/executions:batch", **sent).json()["results"]
    assert [each["status"] for each in answer] == [201, 409, 201, 422]
    assert answer[0]["execution"]["execution_id"] == "x"
    assert answer[1]["problem"]["type"].endswith(":duplicate-job-id")
    again = story.post("/executions:batch", **sent).json()["results"]
    assert again[0]["execution"] == answer[0]["execution"]
    assert again[2]["execution"]["execution_id"] == answer[2]["execution"]["execution_id"], "not made twice"
    long = {"json": {"executions": [{}, {}]}, "headers": {"Idempotency-Key": "k" * 255}}
    one, same = (story.post("/executions:batch", **long).json()["results"] for _ in range(2))
    assert [each["status"] for each in one] == [201, 201]
    assert one == same

    commands = [
        {"execution_id": "x", "command": "start"},
        {"execution_id": "x", "command": "start-step", "body": {"step_id": "s"}},
        {"execution_id": "x", "command": "finish-step", "body": {"step_id": "s", "outcome": "failed"}},
        {"execution_id": "x", "command": "note", "body": {"text": "n", "reason": "r"}},
        {"execution_id": "x", "command": "fail", "body": {}},
        {"execution_id": "x", "command": "complete", "body": {"result": 7}, "expected_version": 5},
        {"execution_id": "x", "command": "late-outcome", "body": {"status": "failed"}},
        {"execution_id": "x", "command": "update", "body": {"color": "red"}},
        {"execution_id": "x", "command": "correct", "body": {"message": "m"}},
        {"execution_id": "x", "command": "correct", "body": {"message": "m", "reason": "typo"}},
        {"execution_id": "nobody", "command": "start"},
        {"execution_id": "x", "command": "dance"},
        {"execution_id": "y", "command": "delete"},
        {"execution_id": "x", "command": "delete"},
    ]
    results = story.post("/commands:batch", json={"commands": commands}).json()["results"]
    statuses = [200, 200, 200, 200, 422, 200, 200, 422, 422, 200, 404, 422, 404, 200]
    assert [each["status"] for each in results] == statuses
    assert results[5]["execution"]["result"] == 7
    assert results[4]["problem"]["field"] == "error"
    assert results[7]["problem"]["field"] == "color"
    assert "dance" in results[11]["problem"]["detail"]
    assert results[13]["execution"] is None
    assert story.get("executions/x").status_code == 404
    traces = [f"{number:032x}" for number in (1, 2)]
    one, other = ({"job_id": f"t-{trace[-1]}", "trace_id": trace} for trace in traces)
    assert [
        each["status"] for each in story.post("/executions:batch", json={"executions": [one, other]}).json()["results"]
    ] == [201, 201]
    told = [
        {"execution_id": "t-1", "command": "start", "body": {"trace_id": traces[1]}},
        {"execution_id": "t-2", "command": "start"},
        {"execution_id": "t-2", "command": "fail", "body": {"error": "e", "trace_id": "0" * 32}},
    ]
    header = {"traceparent": f"00-{traces[0]}-00f067aa0ba902b7-01"}
    results = story.post("/commands:batch", json={"commands": told}, headers=header).json()["results"]
    assert [each["status"] for each in results] == [200, 200, 422]
    assert results[2]["problem"]["field"] == "trace_id"
    last = story.get("events", params={"limit": 4}).json()["events"]
    assert [event["trace_id"] for event in last] == [traces[0], traces[1], traces[1], traces[0]]
    empty = story.post("/commands:batch", json={"commands": []})
    assert (empty.status_code, empty.json()["field"]) == (422, "commands")
