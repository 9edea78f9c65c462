"""Executions over HTTP, on both stores."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("executions", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_created_execution_is_found_where_location_says(client: httpx.Client) -> None:
    answer = client.post("executions", json={"job_id": "nightly", "inputs": {"day": 1, "share": 1.0}})
    assert answer.status_code == 201
    created = answer.json()
    assert (created["execution_id"], created["job_id"], created["status"]) == ("nightly", "nightly", "pending")
    assert (created["id"], created["version"], created["attempt"]) == (1, 1, 1)
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == "/api/v1/executions/nightly"
    found = client.get(client.base_url.join(answer.headers["location"]))
    assert found.status_code == 200
    assert found.json() == created
    assert found.headers["etag"] == '"1"'
    assert '"share":1.0' in found.text


def test_a_job_id_is_made_where_none_is_given(client: httpx.Client) -> None:
    first, second = create(client), create(client, run_name="second")
    assert first["job_id"] != second["job_id"]
    assert client.get(f"executions/{second['job_id']}").json()["run_name"] == "second"


IDS = ["a/b", "a%2Fb", "50% off?", "日本 語", "a+b#c;d", "/timeline", "x/start", "'\"\\"]
DOTS = [".", "..", "...", "=.", "=..", "%2E", "../.."]


@pytest.mark.parametrize("job_id", [*IDS, *DOTS])
def test_any_job_id_can_be_in_a_path(client: httpx.Client, job_id: str) -> None:
    answer = client.post("executions", json={"job_id": job_id})
    assert answer.status_code == 201
    location = str(client.base_url.join(answer.headers["location"]))
    assert client.get(location).json()["job_id"] == job_id
    assert client.post(f"{location}/start").json()["status"] == "running"
    assert client.post(f"{location}/steps", json={"step_id": job_id}).is_success
    assert client.post(f"{location}/steps/{location.rpartition('/')[2]}/finish").is_success
    assert client.get(f"{location}/timeline").json()["job_id"] == job_id
    assert client.delete(location).status_code == 204


@pytest.mark.parametrize("prefer", ["return=minimal", 'respond-async, Return="minimal"; x=1'])
def test_a_write_is_answered_with_headers_alone_where_that_is_preferred(client: httpx.Client, prefer: str) -> None:
    headers = {"Prefer": prefer}
    created = client.post("executions", json={"job_id": "j"}, headers=headers)
    assert (created.status_code, created.content) == (201, b"")
    assert (created.headers["etag"], created.headers["location"]) == ('"1"', "/api/v1/executions/j")
    assert created.headers["preference-applied"] == "return=minimal"
    started = client.post("executions/j/start", headers=headers)
    assert (started.status_code, started.content, started.headers["x-position"]) == (204, b"", "2")
    assert client.get("executions/j", headers=headers).json()["status"] == "running"
    assert client.post("executions/j/start", headers={"Prefer": "return=representation"}).json()["version"] == 2
    assert client.post("executions/nobody/start", headers=headers).json()["status"] == 404


def test_a_command_sent_again_is_answered_as_the_first_time(client: httpx.Client) -> None:
    keyed = {"headers": {"Idempotency-Key": "k"}}
    first = client.post("executions", json={"job_id": "j"}, **keyed)
    client.post("executions/j/start")
    again = client.post("executions", json={"job_id": "j"}, **keyed)
    told = ("etag", "location", "x-position")
    assert (again.status_code, again.json()) == (201, first.json())
    assert [again.headers[name] for name in told] == [first.headers[name] for name in told]
    assert client.post("executions", json={"job_id": "k"}, **keyed).status_code == 422
    assert client.get("ledger").json()["size"] == 2


def test_what_is_not_there_is_told_in_the_words_of_the_seed(client: httpx.Client) -> None:
    for answer in (
        client.get("executions/nobody"),
        client.patch("executions/nobody", json={"message": "x"}),
        client.delete("executions/nobody"),
        client.post("executions/nobody/start"),
        client.post("executions/nobody/notes", json={"text": "x"}),
        client.get("executions/nobody/timeline"),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "Execution not found"
        assert answer.json()["type"] == "urn:execution-ledger:problem:execution-not-found"
    assert client.get("ledger").json()["size"] == 0


def test_a_change_is_seen_and_nothing_else_changes(client: httpx.Client) -> None:
    create(client, job_id="j", inputs={"a": 1}, message="old")
    answer = client.patch("executions/j", json={"message": "new", "attributes": {"team": "x"}})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    changed = answer.json()
    assert (changed["message"], changed["attributes"], changed["inputs"]) == ("new", {"team": "x"}, {"a": 1})
    assert client.patch("executions/j", json={"message": None}).json()["message"] is None
    assert client.patch("executions/j", json={}).headers["etag"] == '"3"'
    assert client.patch("executions/j", json={"status": "RUNNING"}).json()["status"] == "running"


def test_a_deleted_execution_leaves_its_timeline_and_its_job_id_is_never_free(client: httpx.Client) -> None:
    create(client, job_id="j")
    answer = client.delete("executions/j", headers={"X-Reason": "a mistake"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("executions/j").status_code == 404
    assert client.delete("executions/j").status_code == 404
    events = client.get("executions/j/timeline").json()["events"]
    assert [event["type"] for event in events] == ["execution.created", "execution.deleted"]
    assert events[-1]["reason"] == "a mistake"
    again = client.post("executions", json={"job_id": "j"})
    assert (again.status_code, again.json()["deleted"]) == (409, True)
    assert again.json()["type"].endswith(":duplicate-job-id")


def test_pages_by_offset_tell_the_total_and_lead_on_by_cursor(client: httpx.Client) -> None:
    for at in range(5):
        create(client, job_id=f"j{at}", created_at=f"2026-01-0{at + 1}T00:00:00Z")
    first = client.get("executions", params={"limit": 2}).json()
    assert ([each["job_id"] for each in first["executions"]], first["total"]) == (["j4", "j3"], 5)
    third = client.get("executions", params={"limit": 2, "offset": 4}).json()
    assert ([each["job_id"] for each in third["executions"]], third["next_cursor"]) == (["j0"], None)
    beyond = client.get("executions", params={"offset": 9}).json()
    assert (beyond["executions"], beyond["total"], beyond["next_cursor"]) == ([], 5, None)
    seen, cursor = ["j4", "j3"], first["next_cursor"]
    while cursor is not None:
        page = client.get("executions", params={"limit": 2, "cursor": cursor}).json()
        assert page["total"] is None
        seen += [each["job_id"] for each in page["executions"]]
        cursor = page["next_cursor"]
    assert seen == ["j4", "j3", "j2", "j1", "j0"]


def test_every_filter_narrows_the_page_and_its_total(client: httpx.Client) -> None:
    create(client, job_id="a1", run_name="alpha one", created_at="2026-01-01T00:00:00Z", attributes={"n": 1, "t": "x"})
    create(client, job_id="a2", run_name="alpha two", created_at="2026-01-02T00:00:00Z", status="running")
    ended = {"status": "failed", "completed_at": "2026-01-04T00:00:00Z"}
    create(client, job_id="b1", run_name="beta", created_at="2026-01-03T00:00:00Z", parent_job_id="a1", **ended)

    def found(**filters: Any) -> list[str]:
        page = client.get("executions", params=filters).json()
        assert page["total"] == len(page["executions"])
        return sorted(each["job_id"] for each in page["executions"])

    assert found(status="RUNNING") == ["a2"]
    assert found(status=["running", "failed"]) == ["a2", "b1"]
    assert found(created_from="2026-01-02T00:00:00Z") == ["a2", "b1"]
    assert found(created_before="2026-01-02T00:00:00Z") == ["a1"]
    assert found(ended_from="2026-01-04T00:00:00Z") == ["b1"]
    assert found(ended_before="2026-01-04T00:00:00Z") == []
    assert found(ended_from="2026-01-03T12:00:00+02:00", ended_before="2026-01-05", status="failed") == ["b1"]
    assert found(job_id_prefix="a") == ["a1", "a2"]
    assert found(run_name_prefix="alpha t") == ["a2"]
    assert found(prefix="alpha t") == ["a2"]
    assert found(prefix="b") == ["b1"]
    assert found(prefix="a", status="pending") == ["a1"], "a name's or a job id's"
    assert found(parent_job_id="a1") == ["b1"]
    assert found(attributes=json.dumps({"n": 1, "t": "x"})) == ["a1"]
    assert found(attributes=json.dumps({"n": "1"})) == []
    assert found(job_id_prefix="a", status="pending") == ["a1"]


def test_a_page_tells_who_created_each_and_counts_only_if_asked_to(client: httpx.Client) -> None:
    for job_id, actor in (("a", "ada"), ("b", None)):
        headers = {} if actor is None else {"X-Actor": actor}
        assert client.post("executions", json={"job_id": job_id}, headers=headers).status_code == 201
    client.post("executions/a/start", headers={"X-Actor": "somebody else"})
    assert client.get("executions").json()["creators"] is None
    page = client.get("executions", params={"creators": True, "total": False, "limit": 1}).json()
    assert (page["creators"], page["total"]) == ({"b": None}, None)
    page = client.get("executions", params={"creators": True, "cursor": page["next_cursor"]}).json()
    assert page["creators"] == {"a": "ada"}
    assert client.get("executions", params={"id": 1, "creators": True}).json()["creators"] == {"a": "ada"}
    assert client.get("executions", params={"prefix": "c", "creators": True}).json()["creators"] == {}


def test_ledgers_do_not_see_each_other(client: httpx.Client) -> None:
    create(client, job_id="j", message="mine")
    other = {"X-Ledger": "other"}
    assert client.get("executions/j", headers=other).status_code == 404
    assert client.post("executions", json={"job_id": "j", "message": "theirs"}, headers=other).status_code == 201
    assert client.get("executions/j", headers=other).json()["ledger"] == "other"
    assert client.get("executions/j").json()["message"] == "mine"
    assert client.get("executions", headers=other).json()["total"] == 1
    assert [event["data"]["message"] for event in client.get("events", headers=other).json()["events"]] == ["theirs"]
