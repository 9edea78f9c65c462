"""What is refused, and how: bad input never is a 5xx, and always names the field."""

from __future__ import annotations

import gzip
import inspect
import json
from typing import Any

import httpx
import pytest

from execution_ledger.api.http import problem_kinds
from execution_ledger.api.http.problem_kinds import ERRORS, Kind, find_kind
from execution_ledger.api.http.schemas import DESCRIPTIONS
from execution_ledger.domain import FIELDS, LedgerError, errors
from support.http_service import operations

JSON = {"Content-Type": "application/json"}


def kind(answer: httpx.Response) -> str:
    return answer.json()["type"].rpartition(":")[2]


def test_every_error_of_the_domain_has_a_problem_of_its_own_or_of_its_base() -> None:
    known = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, LedgerError)]
    assert len(known) > 10
    for error in known:
        found = find_kind(error)
        assert error is LedgerError or found is not ERRORS[LedgerError], error
        assert set(found.members) <= set(inspect.get_annotations(error)) | {
            name for base in error.__mro__ for name in inspect.get_annotations(base)
        }


def test_types_are_stable_and_one_type_has_one_status() -> None:
    kinds = [*ERRORS.values(), *(each for each in vars(problem_kinds).values() if isinstance(each, Kind))]
    by_name = {each.name: each.status for each in kinds}
    assert all(by_name[each.name] == each.status for each in kinds)
    assert by_name == {
        "duplicate-job-id": 409,
        "event-missing": 500,
        "execution-not-found": 404,
        "foreign-origin": 403,
        "idempotency-key-reused": 422,
        "illegal-transition": 409,
        "internal-error": 500,
        "invalid-input": 422,
        "lease-held": 409,
        "lease-lost": 412,
        "ledger-busy": 503,
        "not-projected": 503,
        "rebuild-refused": 409,
        "unknown-projection": 404,
        "malformed-json": 400,
        "misdirected-request": 421,
        "not-found": 404,
        "outcome-unknown": 503,
        "payload-too-large": 413,
        "read-only": 405,
        "schema-not-ready": 503,
        "schema-too-new": 503,
        "shutting-down": 503,
        "step-conflict": 409,
        "store-error": 500,
        "store-full": 507,
        "store-unavailable": 503,
        "unknown-event-type": 500,
        "unknown-step": 404,
        "unsupported-encoding": 415,
        "unsupported-media-type": 415,
        "version-conflict": 412,
        "actor-known": 403,
        "foreign-ledger": 403,
        "headers-too-large": 431,
        "issuer-unavailable": 503,
        "not-ready": 503,
        "scope-missing": 403,
        "too-many-requests": 429,
        "unauthenticated": 401,
        "unknown-key": 404,
        "unknown-webhook": 404,
        "unknown-dead-letter": 404,
    }


def test_every_field_is_described() -> None:
    assert DESCRIPTIONS.keys() == FIELDS.keys()


def test_operation_ids_are_stable() -> None:
    assert sorted(operations()) == [
        "add_note",
        "approve_execution",
        "begin_session",
        "begin_sign_in",
        "cancel_execution",
        "compare_executions",
        "complete_execution",
        "confirm_stop_execution",
        "correct_execution",
        "count_audit",
        "create_execution",
        "create_executions",
        "create_webhook",
        "delete_execution",
        "delete_webhook",
        "diff_execution",
        "drop_dead_letter",
        "end_session",
        "explain_execution",
        "export_audit",
        "fail_execution",
        "finish_sign_in",
        "finish_step",
        "get_cloudevent",
        "get_execution",
        "get_health",
        "get_last_change",
        "get_ledger",
        "get_ledger_health",
        "get_metrics",
        "get_readiness",
        "get_root",
        "get_session",
        "get_spans",
        "get_statistics",
        "get_timeline",
        "get_webhook",
        "list_audit",
        "list_cloudevents",
        "list_dead_letters",
        "list_events",
        "list_execution_events",
        "list_executions",
        "list_failure_reasons",
        "list_lineage",
        "list_longest_runs",
        "list_most_failing",
        "list_most_retried",
        "list_projections",
        "list_touched_runs",
        "list_webhooks",
        "post_lineage",
        "post_lineage_batch",
        "prepare_execution",
        "progress_execution",
        "reject_execution",
        "release_lease",
        "renew_lease",
        "replay_dead_letter",
        "replay_execution",
        "report_late_outcome",
        "request_approval_execution",
        "retry_projection",
        "rotate_webhook_secret",
        "send_commands",
        "start_execution",
        "start_step",
        "stop_execution",
        "stream_cloudevents",
        "stream_events",
        "take_lease",
        "test_webhook",
        "update_execution",
        "update_webhook",
    ]


DEEP = '{"a":' * 150 + "1" + "}" * 150
VERY_DEEP = '{"inputs":' + "[" * 100_000

BODIES = {
    "no body": ("", 422, "body"),
    "not an object": ("[1]", 422, "body"),
    "null": ("null", 422, "body"),
    "cut off": ('{"job_id":', 400, "body"),
    "two values": ("{} {}", 400, "body"),
    "single quotes": ("{'a':1}", 400, "body"),
    "NaN": ('{"inputs":{"a":NaN}}', 400, "body"),
    "infinity": ('{"inputs":-Infinity}', 400, "body"),
    "float overflow": ('{"inputs":1e999}', 400, "body"),
    "lone surrogate": (r'{"inputs":"\ud800"}', 400, "body"),
    "lone surrogate in a key": (r'{"inputs":{"a\udc00":1}}', 400, "body"),
    "not UTF-8": (b'{"inputs":"\xff"}', 400, "body"),
    "surrogate bytes": (b'{"inputs":"\xed\xa0\x80"}', 400, "body"),
    "very deep": (VERY_DEEP, 400, "body"),
    "deep": (f'{{"inputs":{DEEP}}}', 422, "inputs"),
    "NUL": (r'{"inputs":{"a":["\u0000"]}}', 422, "inputs.a[0]"),
    "NUL in a name": (r'{"job_id":"a\u0000"}', 422, "job_id"),
    "huge integer": (f'{{"inputs":{{"n":{"9" * 40}}}}}', 422, "inputs.n"),
    "very huge integer": (f'{{"inputs":{"9" * 5000}}}', 400, "body"),
    "huge attempt": (f'{{"attempt":{2**63}}}', 422, "attempt"),
    "unknown field": ('{"jobid":"a"}', 422, "jobid"),
    "given by the ledger": ('{"id":7}', 422, "id"),
    "number for text": ('{"job_id":7}', 422, "job_id"),
    "text for a number": ('{"attempt":"1"}', 422, "attempt"),
    "boolean for a number": ('{"attempt":true}', 422, "attempt"),
    "empty job id": ('{"job_id":""}', 422, "job_id"),
    "over-long job id": (json.dumps({"job_id": "x" * 256}), 422, "job_id"),
    "over-long name": (json.dumps({"run_name": "x" * 256}), 422, "run_name"),
    "over-long reason": (json.dumps({"reason": "x" * 2001}), 422, "reason"),
    "unknown status": ('{"status":"asleep"}', 422, "status"),
    "no time": ('{"created_at":"yesterday"}', 422, "created_at"),
    "number for a time": ('{"created_at":1}', 422, "created_at"),
    "time beyond the calendar": ('{"created_at":"0001-01-01T00:00:00+10:00"}', 422, "created_at"),
    "end of a run that has not ended": ('{"completed_at":"2026-01-01T00:00:00Z"}', 422, "completed_at"),
    "progress beyond all": ('{"progress":1.5}', 422, "progress"),
    "list for an object": ('{"attributes":[]}', 422, "attributes"),
    "too much for an event": (json.dumps({"inputs": "x" * 100_001}), 413, "execution.created"),
    "too much for a body": (json.dumps({"inputs": "x" * 400_000}), 413, "body"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_body_is_refused_by_field_and_nothing_is_written(client: httpx.Client, case: str) -> None:
    content, status, field = BODIES[case]
    answer = client.post("executions", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert answer.json()["remedy"]
    assert client.get("ledger").json()["size"] == 0
    assert client.post("executions", json={}).status_code == 201  # the service goes on, on this connection too


COMMAND_BODIES: list[tuple[str, Any, str]] = [
    ("progress", {}, "progress"),
    ("fail", {}, "error"),
    ("complete", {"error": "x"}, "error"),
    ("complete", {"status": "failed"}, "status"),
    ("start", {"occurred_at": "now"}, "occurred_at"),
    ("late-outcome", {"status": "running"}, "status"),
    ("steps", {}, "step_id"),
    ("steps", {"step_id": ""}, "step_id"),
    ("steps", {"step_id": "s", "attributes": {"a": "\x00"}}, "attributes.a"),
    ("steps/s/finish", {"outcome": "so-so"}, "outcome"),
    ("notes", {"text": ""}, "text"),
    ("notes", {"text": "x", "level": "loud"}, "level"),
    ("correct", {"status": "failed", "reason": ""}, "reason"),
]


@pytest.mark.parametrize(("command", "body", "field"), COMMAND_BODIES)
def test_a_bad_command_is_refused_by_field(client: httpx.Client, command: str, body: Any, field: str) -> None:
    client.post("executions", json={"job_id": "j"})
    answer = client.post(f"executions/j/{command}", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert client.get("ledger").json()["size"] == 1


QUERIES = {
    "executions?limit=0": "limit",
    "executions?limit=1001": "limit",
    "executions?offset=-1": "offset",
    f"executions?offset={2**63}": "offset",
    "executions?limit=ten": "limit",
    "executions?cursor=nonsense": "cursor",
    "executions?cursor=AAAA%00": "cursor",
    "executions?status=asleep": "status",
    "executions?stauts=failed": "stauts",
    "executions?created_from=then": "created_from",
    "executions?job_id_prefix=%00": "job_id_prefix",
    "executions?attributes=x": "attributes",
    "executions?attributes=[1]": "attributes",
    'executions?attributes={"a":{"b":1}}': "attributes.a",
    "events?type=born": "type",
    "events?actor=%00": "actor",
    "events?trace_id=xyz": "trace_id",
    "events?after=-1": "after",
    "events?recorded_from=then": "recorded_from",
    "events?order=random": "order",
    f"events?job_id={'x' * 300}": "job_id",
    "cloudevents?type=born": "type",
    "cloudevents/0": "position",
    "cloudevents/x": "position",
    "executions/x/timeline?from_version=0": "from_version",
    "ledger/root?size=-1": "size",
    "ledger/root?size=1e3": "size",
    f"executions/{'x' * 300}": "job_id",
    "executions/a%00b": "job_id",
}


@pytest.mark.parametrize("url", QUERIES)
def test_a_bad_query_is_refused_by_field(client: httpx.Client, url: str) -> None:
    answer = client.get(url)
    assert (answer.status_code, answer.json()["field"]) == (422, QUERIES[url]), answer.text


@pytest.mark.parametrize(
    ("header", "value", "field"),
    [
        ("X-Actor", "x" * 256, "X-Actor"),
        ("X-Actor", b"\xff", "X-Actor"),
        ("X-Reason", "x" * 2001, "X-Reason"),
        ("X-Ledger", "x" * 64, "X-Ledger"),
        ("X-Correlation-Id", "x" * 256, "X-Correlation-Id"),
        ("Idempotency-Key", "x" * 256, "Idempotency-Key"),
        ("Idempotency-Key", "", "Idempotency-Key"),
        ("If-Match", "7", "If-Match"),
        ("If-Match", '"one"', "If-Match"),
        ("If-Match", '"1", "2"', "If-Match"),
    ],
)
def test_a_bad_header_is_refused_by_field(client: httpx.Client, header: str, value: Any, field: str) -> None:
    client.post("executions", json={"job_id": "j"})
    answer = client.post("executions/j/start", headers={header: value})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert client.get("ledger").json()["size"] == 1


def test_a_body_must_say_that_it_is_json(client: httpx.Client) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = client.post("executions", content=b"{}", headers={"Content-Type": content_type})
        assert (answer.status_code, kind(answer)) == (415, "unsupported-media-type")
    merge_patch = {"Content-Type": "application/merge-patch+json; charset=utf-8"}
    client.post("executions", json={"job_id": "j"})
    assert client.patch("executions/j", content=b'{"message":"x"}', headers=merge_patch).status_code == 200


def test_a_body_of_unknown_length_is_bounded_too(client: httpx.Client) -> None:
    answer = client.post("executions", content=(b" " * 10_000 for _ in range(100)), headers=JSON)
    assert (answer.status_code, kind(answer)) == (413, "payload-too-large")


def test_a_body_may_be_compressed(client: httpx.Client) -> None:
    def send(content: bytes, encoding: str = "gzip") -> httpx.Response:
        return client.post("executions", content=content, headers={**JSON, "Content-Encoding": encoding})

    packed = gzip.compress(b'{"run_name":"packed"}')
    assert send(packed).json()["run_name"] == "packed"
    assert send(b'{"run_name":"plain"}', "identity").json()["run_name"] == "plain"
    assert send(packed, "X-GZIP").status_code == 201
    assert client.post("executions/nobody/start", headers={"Content-Encoding": "gzip"}).status_code == 404
    for broken in (b"{}", packed[:-4], packed + b"more", packed[:-8] + b"\0" * 8):
        answer = send(broken)
        assert (answer.status_code, kind(answer)) == (400, "malformed-json"), answer.text
    for encoding in ("br", "gzip, gzip", "zstd"):
        answer = send(packed, encoding)
        assert (answer.status_code, kind(answer)) == (415, "unsupported-encoding")
    assert client.get("ledger").json()["size"] == 3


def test_a_compressed_body_is_bounded_by_what_it_holds(client: httpx.Client) -> None:
    bomb = gzip.compress(b'{"inputs":"' + b"x" * 50_000_000 + b'"}')
    assert len(bomb) < 60_000
    nothing = gzip.compress(b"{}")
    for content in (bomb, (nothing[:-1] if at else nothing for at in range(100_000))):
        answer = client.post("executions", content=content, headers={**JSON, "Content-Encoding": "gzip"})
        assert (answer.status_code, kind(answer)) == (413, "payload-too-large")


def test_a_payload_in_escapes_is_measured_as_it_is_kept(client: httpx.Client) -> None:
    text = "é" * 49_000  # 98,000 bytes of UTF-8, 294,000 as escapes
    answer = client.post("executions", content=json.dumps({"inputs": text}), headers=JSON)
    assert answer.status_code == 201
    assert answer.json()["inputs"] == text


def test_what_is_not_served_is_told_as_a_problem(client: httpx.Client) -> None:
    assert kind(client.get("nothing")) == "not-found"
    assert kind(client.get("executions/")) == "not-found"
    answer = client.put("executions", json={})
    assert (answer.status_code, kind(answer)) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, POST"


def test_a_stale_version_is_refused_with_the_present_one(client: httpx.Client) -> None:
    first = client.post("executions", json={"job_id": "j"}).headers["etag"]
    second = client.post("executions/j/start", headers={"If-Match": first}).headers["etag"]
    for send in (
        lambda: client.patch("executions/j", json={"message": "x"}, headers={"If-Match": first}),
        lambda: client.post("executions/j/complete", headers={"If-Match": first}),
        lambda: client.post("executions/j/notes", json={"text": "x"}, headers={"If-Match": first}),
        lambda: client.delete("executions/j", headers={"If-Match": first}),
    ):
        answer = send()
        assert (answer.status_code, kind(answer)) == (412, "version-conflict")
        assert (answer.json()["expected"], answer.json()["actual"]) == (1, 2)
    assert client.patch("executions/j", json={"message": "x"}, headers={"If-Match": "*"}).status_code == 200
    weak = f"W/{client.get('executions/j').headers['etag']}"
    assert client.delete("executions/j", headers={"If-Match": weak}).status_code == 204
    assert second == '"2"'


def test_the_same_key_with_the_same_command_records_nothing_again(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "create-1"}
    first = client.post("executions", json={"message": "x"}, headers=key)
    again = client.post("executions", json={"message": "x"}, headers={"Idempotency-Key": '"create-1"'})
    assert (again.status_code, again.json()) == (201, first.json())
    other = client.post("executions", json={"message": "y"}, headers=key)
    assert (other.status_code, kind(other)) == (422, "idempotency-key-reused")
    job = first.json()["job_id"]
    note = {"Idempotency-Key": "note-1", "If-Match": '"1"'}
    for _ in range(2):
        answer = client.post(f"executions/{job}/notes", json={"text": "once"}, headers=note)
        assert (answer.status_code, answer.json()["version"]) == (200, 2)
    for _ in range(2):
        assert client.delete(f"executions/{job}", headers={"Idempotency-Key": "delete-1"}).status_code == 204
    assert client.get("ledger").json()["size"] == 3
    late = client.post("executions", json={"message": "x"}, headers=key)
    assert (late.status_code, late.json()) == (201, first.json()), "the first answer, whatever happened since"


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": ""}])
def test_another_host_name_is_refused_since_that_is_how_rebinding_comes_in(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.get("ledger", headers=headers)
    assert (answer.status_code, kind(answer)) == (421, "misdirected-request")


def test_a_page_of_another_origin_is_refused(client: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        answer = client.post("executions", json={}, headers={"Origin": origin})
        assert (answer.status_code, kind(answer)) == (403, "foreign-origin")
    own = str(client.base_url.copy_with(path="/")).rstrip("/")
    assert client.post("executions", json={}, headers={"Origin": own}).status_code == 201
    assert client.get("ledger", headers={"Host": "localhost:8470"}).status_code == 200
