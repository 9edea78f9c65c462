"""The events behind the executions, size and root, on both stores."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from execution_ledger.domain import Tree
from execution_ledger.infrastructure import Settings, create_sync_engine
from execution_ledger.infrastructure.tables import execution_events
from support.http_service import make_client, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {
    "X-Actor": "José Ångström".encode(),
    "X-Reason": "nightly run",
    "X-Correlation-Id": "batch-7",
    "X-Causation-Id": "schedule-3",
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "Idempotency-Key": '"key-1"',
}


def test_the_context_of_a_command_is_recorded(client: httpx.Client) -> None:
    body = {"job_id": "j", "occurred_at": "2026-01-01T01:00:00+01:00"}
    assert client.post("executions", json=body, headers=HEADERS).status_code == 201
    (event,) = client.get("events").json()["events"]
    assert (
        event
        | {
            "actor": "José Ångström",
            "reason": "nightly run",
            "correlation_id": "batch-7",
            "causation_id": "schedule-3",
            "trace_id": TRACE,
            "occurred_at": "2026-01-01T00:00:00Z",
            "command_id": "key-1",
            "position": 1,
            "version": 1,
        }
        == event
    )


def test_the_reason_in_a_body_comes_before_the_header(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "j", "reason": "said in the body"}, headers=HEADERS)
    assert client.get("events").json()["events"][0]["reason"] == "said in the body"


@pytest.mark.parametrize(
    "traceparent", ["", "00-xyz", f"ff-{TRACE}-00f067aa0ba902b7-01", f"00-{'0' * 32}-{'1' * 16}-01"]
)
def test_a_malformed_trace_context_is_ignored_as_w3c_says(client: httpx.Client, traceparent: str) -> None:
    assert client.post("executions", json={}, headers={"traceparent": traceparent}).status_code == 201
    assert client.get("events").json()["events"][0]["trace_id"] is None


def test_every_filter_of_events_narrows_the_page(client: httpx.Client) -> None:
    client.post("executions", json={"job_id": "a"}, headers=HEADERS)
    client.post("executions", json={"job_id": "b"}, headers={"X-Actor": "bob"})
    client.post("executions/b/start", headers={"X-Actor": "bob"})
    client.post("executions/b/complete")
    recorded = [event["recorded_at"] for event in client.get("events", params={"order": "oldest"}).json()["events"]]

    def found(**filters: Any) -> list[int]:
        page = client.get("events", params={"order": "oldest", **filters})
        assert page.status_code == 200, page.text
        return [event["position"] for event in page.json()["events"]]

    assert found() == [1, 2, 3, 4]
    assert found(actor="bob") == [2, 3]
    assert found(type="created") == [1, 2]
    assert found(type=["execution.started", "completed"]) == [3, 4]
    assert found(job_id="b") == [2, 3, 4]
    assert found(job_id="nobody") == []
    assert found(correlation_id="batch-7") == [1]
    assert found(trace_id=TRACE) == [1]
    assert found(recorded_from=recorded[2]) == [3, 4]
    assert found(recorded_before=recorded[2]) == [1, 2]
    assert found(after=1, before=4, actor="bob") == [2, 3]


@pytest.mark.parametrize(("order", "step"), [("newest", "next_before"), ("oldest", "next_after")])
def test_events_are_paged_by_position(client: httpx.Client, order: str, step: str) -> None:
    for _ in range(6):
        client.post("executions", json={})
    seen, following, pages = [], {}, 0
    while pages == 0 or following[step.removeprefix("next_")] is not None:
        page = client.get("events", params={"order": order, "limit": 3, **following}).json()
        seen += [event["position"] for event in page["events"]]
        following, pages = {step.removeprefix("next_"): page[step]}, pages + 1
    assert (sorted(seen), pages) == ([1, 2, 3, 4, 5, 6], 2)
    assert seen == sorted(seen, reverse=order == "newest")


def test_the_ledger_tells_size_counters_and_root(client: httpx.Client, service: Any) -> None:
    empty = client.get("ledger").json()
    assert (empty["size"], empty["executions"], empty["created_at"]) == (0, 0, None)
    client.post("executions", json={"job_id": "a"})
    client.post("executions", json={"job_id": "b"})
    client.post("executions/b/start")
    client.delete("executions/a")
    ledger = client.get("ledger").json()
    assert (ledger["size"], ledger["executions"], ledger["statuses"]["running"]) == (4, 1, 1)
    column = execution_events.c
    hashes = select(column.leaf_hash).where(column.ledger_id == service.ledger).order_by(column.position)
    engine = create_sync_engine(service.database_url)
    with engine.connect() as connection:
        leaves = connection.scalars(hashes).all()
    engine.dispose()
    for size in range(5):
        tree = Tree()
        tree.extend(leaves[:size])
        assert client.get("ledger/root", params={"size": size}).json()["root"] == tree.root.hex()
    assert client.get("ledger/root").json()["size"] == 4
    beyond = client.get("ledger/root", params={"size": 5})
    assert (beyond.status_code, beyond.json()["field"]) == (422, "size")


def test_a_ledger_tells_how_well_it_is_kept(settings: Settings) -> None:
    often = settings.model_copy(update={"audit_interval": 0.01})
    with running(often) as address, make_client(address) as client:
        assert client.get("ledger/health").json()["verification"]["last_at"] is None
        client.post("executions", json={"job_id": "a"})
        until = time.monotonic() + 30
        while not _is_kept(health := client.get("ledger/health").json()):
            assert time.monotonic() < until, health
        assert health["writer"] == {"waiting": 0}
        assert (health["size"], health["verification"]["mismatches"]) == (1, 0)
        other = client.get("ledger/health", headers={"X-Ledger": "other"}).json()
        assert (other["size"], other["verification"]["executions"], other["projections"]) == (0, 0, [])
    never = settings.model_copy(update={"audit_interval": 0})
    with running(never) as address, make_client(address) as client:
        assert client.get("ledger/health").json()["verification"]["every"] is None


def _is_kept(health: Any) -> bool:
    followed = {each["projection"]: each["lag"] for each in health["projections"]}
    sampled = health["verification"]["executions"] > 0
    return sampled and health["feed"] == {"position": 1, "lag": 0} and not any(followed.values())


def test_the_process_is_up(service: Any) -> None:
    answer = httpx.get(f"{service.address}/healthz", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
