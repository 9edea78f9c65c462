"""Two tenants on one service: on every route, each finds its own and nothing of the other's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from execution_ledger.api.http.authentication import OPEN
from execution_ledger.infrastructure import SCOPES, Settings, create_key, create_sync_engine
from execution_ledger.infrastructure.short_transactions import short_transaction
from support import Database
from support.http_service import operations, running

RED, BLUE = "red-tenant", "blue-tenant"
SECRET = "belongs-to-red"
"""Part of everything that red records."""
WINDOW = {"ended_from": "2020-01-01", "ended_before": "2100-01-01"}

READS: dict[str, dict[str, Any]] = {
    "list_executions": {},
    "get_execution": {},
    "get_timeline": {},
    "list_execution_events": {},
    "diff_execution": {"before": "1"},
    "explain_execution": {},
    "get_spans": {},
    "list_lineage": {},
    "compare_executions": {"other": f"{SECRET}-1"},
    "replay_execution": {"speed": "0"},
    "list_events": {},
    "stream_events": {"after": "0"},
    "list_cloudevents": {},
    "get_cloudevent": {},
    "stream_cloudevents": {"after": "0"},
    "get_ledger": {},
    "get_ledger_health": {},
    "get_root": {},
    "list_projections": {},
    "list_audit": {"text": SECRET},
    "count_audit": {"text": SECRET},
    "get_last_change": {"job_id": f"{SECRET}-1", "field": "status"},
    "list_touched_runs": {"correlation_id": f"{SECRET}-work"},
    "export_audit": {},
    "get_statistics": {**WINDOW, "by": "run_name"},
    "list_most_failing": WINDOW,
    "list_failure_reasons": WINDOW,
    "list_longest_runs": WINDOW,
    "list_most_retried": WINDOW,
    "list_webhooks": {},
    "get_webhook": {},
    "list_dead_letters": {},
}
"""What each reading route is asked: every one must be here."""
COUNTS = {"get_ledger": "size", "get_ledger_health": "size", "count_audit": "number", "get_root": "size"}
"""Routes whose datum is a number: the owner's is not 0, the other's is."""
NUMBERS_ONLY = {"list_projections"}
"""Their datum is a position."""

OWN = {"get_session", "begin_session", "end_session", "begin_sign_in", "finish_sign_in"}
"""Routes that tell whose credentials these are, or send a browser for some, and nothing else."""

STREAMS = ("stream_events", "stream_cloudevents")

MAKING = {
    "create_execution", "create_executions", "post_lineage", "post_lineage_batch", "retry_projection", "create_webhook",
}  # fmt: skip
"""Writing routes that need nothing to be there."""
LINEAGE = {
    "eventType": "START",
    "eventTime": "2026-01-31T08:00:00Z",
    "run": {"runId": "018d5f3c-0000-7000-8000-000000000001"},
    "job": {"namespace": "n", "name": "j"},
}
WEBHOOK = {"url": "http://127.0.0.1:9/", "description": SECRET}
"""Nobody listens there, so that its events are dead letters."""
BODIES: dict[str, Any] = {
    "create_executions": {"executions": [{"job_id": "job"}]},
    "send_commands": {"commands": [{"execution_id": f"{SECRET}-1", "command": "note", "body": {"text": "n"}}]},
    "post_lineage": LINEAGE,
    "post_lineage_batch": [LINEAGE],
    "progress_execution": {"progress": 0.5},
    "fail_execution": {"error": "e"},
    "correct_execution": {"message": "m", "reason": "r"},
    "report_late_outcome": {"status": "completed"},
    "start_step": {"step_id": "x"},
    "add_note": {"text": "n"},
    "take_lease": {"holder": "h"},
    "update_execution": {"message": "m"},
    "create_webhook": WEBHOOK,
    "update_webhook": {"enabled": False},
}
KNOWN = {"execution_id": f"{SECRET}-1", "step_id": "s", "name": "run_statistics", "position": "1"}
"""What stands in paths; the id of red's webhook comes to it."""


@pytest.fixture
def tenants(settings: Settings, database: Database) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of red, which has recorded something, and one of blue, which has not."""
    engine = create_sync_engine(database.url)
    secrets = {}
    for ledger in (RED, BLUE):
        with short_transaction(engine) as connection:
            secrets[ledger] = create_key(connection, ledger, f"{ledger} key", SCOPES, now=datetime.now(UTC)).secret
    engine.dispose()
    reaching = {"webhook_allow": [ip_network("127.0.0.0/8")], "webhook_tries": 1, "projection_interval": 0.05}
    with running(settings.model_copy(update={"auth": True, **reaching})) as address:
        red, blue = (
            httpx.Client(
                base_url=address, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {secrets[ledger]}"}
            )
            for ledger in (RED, BLUE)
        )
        with red, blue:
            _record(red)
            yield red, blue


def _record(red: httpx.Client) -> None:
    headers = {"X-Correlation-Id": f"{SECRET}-work", "X-Reason": SECRET}
    KNOWN["endpoint_id"] = red.post("/api/v1/webhooks", json=WEBHOOK).json()["webhook"]["endpoint_id"]
    for number, attempt in (("1", 1), ("2", 2)):
        created = {
            "job_id": f"{SECRET}-{number}", "run_name": f"{SECRET} report", "status": "running", "attempt": attempt,
            "started_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        assert red.post("/api/v1/executions", json=created, headers=headers).status_code == 201
        error = {"error": f"{SECRET} failed"}
        done = red.post(f"/api/v1/executions/{SECRET}-{number}/fail", json=error, headers=headers)
    read = red.get("/api/v1/statistics", params=WINDOW, headers={"X-Min-Position": done.headers["x-position"]})
    assert read.status_code == 200
    while not red.get(f"/api/v1/webhooks/{KNOWN['endpoint_id']}").json()["dead_letters"]:
        time.sleep(0.05)


def test_every_reading_route_is_asked() -> None:
    reading = {name for name, (method, path) in operations().items() if method == "GET" and path not in OPEN}
    assert reading - OWN == READS.keys()


def test_each_tenant_finds_its_own_and_nothing_of_the_other(tenants: tuple[httpx.Client, httpx.Client]) -> None:
    red, blue = tenants
    for name, parameters in READS.items():
        path = _path(operations()[name][1])
        for client in (red, blue):
            if name in STREAMS:
                status, text = _first_of_stream(client, path, parameters, owner=client is red)
            else:
                answer = client.get(path, params=parameters)
                status, text = answer.status_code, answer.text
            if client is red:
                assert status == 200, (name, text)
                if name in COUNTS:
                    assert json.loads(text)[COUNTS[name]] > 0, name
                elif name in NUMBERS_ONLY:
                    assert any(each["size"] for each in json.loads(text)["projections"]), name
                else:
                    assert SECRET in text, name
            else:
                assert status in (200, 404), (name, text)
                assert SECRET not in _without_asked(text, parameters), name
                if name in COUNTS:
                    assert json.loads(text)[COUNTS[name]] == 0, name
                if name in NUMBERS_ONLY:
                    assert json.loads(text)["projections"] == [], name
            assert RED not in text or client is red, name
        refused = blue.get(path, params=parameters, headers={"X-Ledger": RED})
        assert refused.status_code == 403, name


def test_no_writing_route_reaches_the_other_tenants_executions(tenants: tuple[httpx.Client, httpx.Client]) -> None:
    red, blue = tenants
    before = red.get("/api/v1/events", params={"limit": 1000}).json()
    for name, (method, template) in operations().items():
        if method == "GET" or name in MAKING | OWN:
            continue
        path = _path(template)
        lease = {"X-Lease-Token": "1"}
        answer = blue.request(method, path, json=BODIES.get(name), headers=lease)
        assert SECRET not in _without_asked(answer.text, {}), name
        if name == "send_commands":
            assert [each["status"] for each in answer.json()["results"]] == [404]
        else:
            assert answer.status_code == 404, (name, answer.text)
        foreign = blue.request(method, path, json=BODIES.get(name), headers={**lease, "X-Ledger": RED})
        assert foreign.status_code == 403, name
    assert red.get("/api/v1/events", params={"limit": 1000}).json() == before
    same = blue.post("/api/v1/executions", json={"job_id": f"{SECRET}-1"})
    assert same.status_code == 201, "job ids of one ledger are free in another"
    assert same.json()["ledger"] == BLUE
    assert blue.get("/api/v1/ledger").json()["size"] == 1


def test_every_route_refuses_a_key_without_its_scope(
    tenants: tuple[httpx.Client, httpx.Client], database: Database
) -> None:
    red, _ = tenants
    engine = create_sync_engine(database.url)
    keys = {}
    for scope in SCOPES:
        with short_transaction(engine) as connection:
            keys[scope] = create_key(connection, RED, scope, [scope], now=datetime.now(UTC)).secret
    engine.dispose()
    for name, (method, template) in operations().items():
        if template in OPEN or name in OWN:
            continue
        let_in = []
        for scope, secret in keys.items():
            if name in (*STREAMS, "replay_execution") and scope == "read":
                let_in.append(scope)  # asked above
                continue
            answer = red.request(
                method,
                _path(template),
                params=READS.get(name),
                json=BODIES.get(name),
                headers={"Authorization": f"Bearer {secret}", "X-Lease-Token": "1"},
            )
            if answer.status_code != 403:
                let_in.append(scope)
            else:
                assert SECRET not in answer.text
                assert answer.json()["type"].endswith(":scope-missing")
        assert len(let_in) == 1, (name, let_in)


def _without_asked(text: str, parameters: dict[str, Any]) -> str:
    """An answer without what its own question said."""
    for asked in (f"{SECRET}-1", *(value for value in parameters.values() if SECRET in value)):
        text = text.replace(asked, "")
    return text


def _path(template: str) -> str:
    return template.format(**KNOWN)


def _first_of_stream(client: httpx.Client, path: str, parameters: dict[str, Any], *, owner: bool) -> tuple[int, str]:
    """What a stream tells at once: to the owner an event, to the other nothing within a second."""
    seen = []
    timeout = httpx.Timeout(60, read=60 if owner else 1)
    with client.stream("GET", path, params=parameters, timeout=timeout) as stream:
        try:
            for line in stream.iter_lines():
                seen.append(line)
                if line.startswith("data: "):
                    break
        except httpx.ReadTimeout:
            assert not owner
    return stream.status_code, "\n".join(seen)
