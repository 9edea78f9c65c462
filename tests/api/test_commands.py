"""Commands over HTTP: the whole path of every route that changes an execution, on both stores."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from execution_ledger.api.http.commands import COMMANDS
from execution_ledger.domain import TRANSITIONS, ExecutionStatus
from support.http_service import operations

PATHS = {command.event: command.path for command in COMMANDS}


def act(client: httpx.Client, job_id: str, command: str, **body: Any) -> dict[str, Any]:
    answer = client.post(f"executions/{job_id}/{command}", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    return answer.json()


def types(client: httpx.Client, job_id: str) -> list[str]:
    events = client.get(f"executions/{job_id}/timeline").json()["events"]
    return [event["type"].removeprefix("execution.") for event in events]


def test_every_event_of_the_transition_table_has_a_route() -> None:
    assert {row.event for row in TRANSITIONS} == PATHS.keys() - {None}
    documented = {path for method, path in operations().values() if method == "POST"}
    assert {f"/api/v1/executions/{{execution_id}}/{path}" for path in PATHS.values()} <= documented


def path_to(source: ExecutionStatus) -> list[str]:
    """Commands that lead from pending to a status."""
    ways: dict[ExecutionStatus, list[str]] = {ExecutionStatus.PENDING: []}
    while source not in ways:
        for row in TRANSITIONS:
            if row.source in ways:
                ways.setdefault(row.target, [*ways[row.source], row.event])
    return ways[source]


def test_every_transition_of_the_table_can_be_made_over_http(client: httpx.Client) -> None:
    for at, row in enumerate(TRANSITIONS):
        job_id = f"j{at}"
        client.post("executions", json={"job_id": job_id})
        for event in [*path_to(row.source), row.event]:
            body = {"error": "broken"} if event == "failed" else {}
            changed = act(client, job_id, PATHS[event], **body)
        assert changed["status"] == row.target
        assert (changed["completed_at"] is not None) == row.target.is_terminal
        assert types(client, job_id)[-1] == row.event


def test_a_command_needs_no_body_and_the_same_again_is_no_event(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    assert client.post("executions/j/start").json()["version"] == 2
    assert client.post("executions/j/start", content=b"null", headers={"Content-Type": "application/json"}).is_success
    assert types(client, "j") == ["created", "started"]


def test_an_illegal_transition_is_refused_with_what_is_legal(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    act(client, "j", "start")
    answer = client.post("executions/j/reject")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:execution-ledger:problem:illegal-transition")
    assert answer.json()["source"] == "running"
    assert "completed" in answer.json()["remedy"]
    act(client, "j", "complete", result={"rows": 7})
    for late in ("cancel", "stop"):
        assert client.post(f"executions/j/{late}").status_code == 409
    assert client.patch("executions/j", json={"result": {}}).status_code == 409
    assert client.get("executions/j").json()["result"] == {"rows": 7}


def test_fields_travel_with_their_command(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    assert act(client, "j", "start", started_at="2026-01-01T01:00:00+01:00")["started_at"] == "2026-01-01T00:00:00Z"
    progressed = act(client, "j", "progress", progress=0.5, message="half")
    assert (progressed["progress"], progressed["message"]) == (0.5, "half")
    stopping = act(client, "j", "stop", stop_reason="late", stop_requested_by="ada")
    assert (stopping["stop_reason"], stopping["stop_requested_by"]) == ("late", "ada")
    stopped = act(client, "j", "confirm-stop", partial_results=[1, 2], occurred_at="2026-01-02T00:00:00Z")
    assert (stopped["partial_results"], stopped["completed_at"]) == ([1, 2], "2026-01-02T00:00:00Z")
    assert types(client, "j") == ["created", "started", "progressed", "stop_requested", "stopped"]


def test_a_correction_needs_a_reason_from_the_body_or_the_header(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    act(client, "j", "complete")
    refused = client.post("executions/j/correct", json={"status": "failed", "error": "empty"})
    assert (refused.status_code, refused.json()["field"]) == (422, "reason")
    corrected = act(client, "j", "correct", status="failed", error="empty", reason="it wrote nothing")
    assert (corrected["status"], corrected["error"]) == ("failed", "empty")
    answer = client.post("executions/j/correct", json={"status": "completed"}, headers={"X-Reason": "it did"})
    assert answer.json()["status"] == "completed"
    reasons = [event["reason"] for event in client.get("events", params={"type": "corrected"}).json()["events"]]
    assert reasons == ["it did", "it wrote nothing"]


def test_a_late_outcome_is_kept_and_the_status_stays(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    assert client.post("executions/j/late-outcome", json={"status": "completed"}).status_code == 409
    act(client, "j", "fail", error="lease expired")
    reported = act(client, "j", "late-outcome", status="completed", result={"rows": 7})
    assert (reported["status"], reported["late_outcome"]["result"]) == ("failed", {"rows": 7})


def test_steps_and_notes_make_the_timeline(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    act(client, "j", "start")
    act(client, "j", "steps", step_id="outer", name="Outer", kind="task")
    act(client, "j", "steps", step_id="in/ner", parent_step_id="outer")
    act(client, "j", "notes", text="3 of 10", source="stdout", step_id="outer", level="WARNING", data={"a": [1]})
    assert client.post("executions/j/steps/in%2Fner/finish").status_code == 200
    act(client, "j", "steps/outer/finish", outcome="failed", error="no file")
    timeline = client.get("executions/j/timeline").json()
    assert [(step["step_id"], step["parent_step_id"], step["outcome"]) for step in timeline["steps"]] == [
        ("outer", None, "failed"),
        ("in/ner", "outer", "completed"),
    ]
    assert timeline["steps"][0]["seconds"] >= timeline["steps"][1]["seconds"] >= 0
    assert [span["status"] for span in timeline["statuses"]] == ["pending", "running"]
    note = next(event for event in timeline["events"] if event["type"] == "execution.noted")
    assert note["data"] == {
        "text": "3 of 10",
        "level": "warning",
        "source": "stdout",
        "step_id": "outer",
        "data": {"a": [1]},
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("steps/nope/finish", {}, 404, "unknown-step"),
        ("notes", {"text": "x", "step_id": "nope"}, 404, "unknown-step"),
        ("steps", {"step_id": "s"}, 409, "step-conflict"),
        ("steps/s/finish", {"outcome": "failed"}, 409, "step-conflict"),
    ],
)
def test_rules_of_steps_are_told(client: httpx.Client, path: str, body: Any, status: int, kind: str) -> None:
    client.post("executions", json={"job_id": "j"})
    act(client, "j", "steps", step_id="s")
    act(client, "j", "steps/s/finish")
    answer = client.post(f"executions/j/{path}", json=body)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    assert client.get("ledger").json()["size"] == 3


def test_a_timeline_is_paged_and_deep_nesting_does_not_break_it(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j"})
    for at in range(30):
        act(client, "j", "steps", step_id=f"s{at}", **({"parent_step_id": f"s{at - 1}"} if at else {}))
    seen, version, pages = [], 1, 0
    while version is not None:
        page = client.get("executions/j/timeline", params={"limit": 10, "from_version": version}).json()
        seen += [event["version"] for event in page["events"]]
        version, pages = page["next_version"], pages + 1
    assert (seen, pages) == (list(range(1, 32)), 4)
    whole = client.get("executions/j/timeline").json()
    assert [step["parent_step_id"] for step in whole["steps"]] == [None, *(f"s{at}" for at in range(29))]
