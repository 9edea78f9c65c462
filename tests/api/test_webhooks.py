"""Webhooks over HTTP: made, looked at, changed, tested and removed; what is not to be reached or told stays so."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from execution_ledger.api.client import LedgerClient
from execution_ledger.api.client.calls import Call
from execution_ledger.domain import StoreUnavailable
from execution_ledger.infrastructure import Settings, create_sync_engine
from execution_ledger.infrastructure.tables import webhook_endpoints
from support import Database
from support.http_service import make_client, running
from support.receiver import LOOPBACK, Answer, Receiver, receiving
from support.service_process import process


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def local(settings: Settings) -> Iterator[httpx.Client]:
    """A service that may deliver on this machine, and tries each event twice."""
    given = {"webhook_allow": [LOOPBACK], "webhook_tries": 2, "webhook_retry_delay": 0.05, "projection_interval": 0.05}
    with running(Settings(**(settings.model_dump() | given))) as address, make_client(address) as client:
        yield client


def add(client: httpx.Client, url: str, **more: Any) -> tuple[str, str]:
    """The id and the secret of a new webhook."""
    answer = client.post("webhooks", json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/webhooks/{made['webhook']['endpoint_id']}"
    return made["webhook"]["endpoint_id"], made["secret"]


def until(client: httpx.Client, path: str, enough: Any) -> Any:
    """What is answered, once it is enough."""
    deadline = time.monotonic() + 30
    while not enough(answer := client.get(path).json()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.02)
    return answer


def test_events_are_delivered_signed_and_their_webhook_tells_how_far(local: httpx.Client, receiver: Receiver) -> None:
    name, secret = add(local, receiver.url, types=["created", "execution.failed"], description="for the pager")
    local.post("executions", json={"job_id": "a"})
    local.post("executions/a/start")
    local.post("executions/a/fail", json={"error": "disk full"})
    found = until(local, f"webhooks/{name}", lambda each: each["lag"] == 0)
    assert [each.verify(secret)["type"].rpartition(".")[2] for each in receiver.deliveries] == ["created", "failed"]
    assert receiver.deliveries[1].event == local.get("cloudevents/3").json()
    assert found["types"] == ["execution.created", "execution.failed"]
    assert (found["description"], found["position"], found["enabled"]) == ("for the pager", 3, True)
    assert local.get("webhooks").json() == {"webhooks": [found]}


def test_a_secret_is_told_once_and_shows_nowhere_else(
    local: httpx.Client, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    name, secret = add(local, receiver.url + "?token=t0ken")
    receiver.answer = lambda _: Answer(500)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    local.post("executions", json={"job_id": "a"})
    until(local, f"webhooks/{name}", lambda each: each["dead_letters"] == 1)
    rotated = local.post(f"webhooks/{name}/rotate-secret", json={"overlap": 60}).json()
    assert rotated["secret"] != secret
    assert rotated["webhook"]["earlier_secret_until"] is not None
    shown = "".join(local.get(path).text for path in ("webhooks", f"webhooks/{name}", f"webhooks/{name}/dead-letters"))
    logged = "\n".join(str(vars(record)) for record in caplog.records if record.name.startswith("execution_ledger"))
    assert "webhook_dead_letter" in logged
    for each in (secret, rotated["secret"]):
        assert each not in shown
        assert each not in logged
    assert "t0ken" not in logged, "nor what a URL has in it"


def test_dead_letters_are_seen_replayed_and_dropped(local: httpx.Client, receiver: Receiver) -> None:
    name, secret = add(local, receiver.url)
    receiver.answer = lambda _: Answer(500, body=b"<h1>no</h1>")
    for job in ("a", "b", "c"):
        local.post("executions", json={"job_id": job})
    until(local, f"webhooks/{name}", lambda each: each["dead_letters"] == 3)
    page = local.get(f"webhooks/{name}/dead-letters?limit=2").json()
    assert [(each["position"], each["job_id"]) for each in page["dead_letters"]] == [(1, "a"), (2, "b")]
    letter = page["dead_letters"][0]
    assert (letter["status"], letter["response"], letter["tries"]) == (500, "<h1>no</h1>", 2)
    rest = local.get(f"webhooks/{name}/dead-letters?after={page['next_after']}").json()
    assert ([each["job_id"] for each in rest["dead_letters"]], rest["next_after"]) == (["c"], None)

    failed = local.post(f"webhooks/{name}/dead-letters/1/replay").json()
    assert (failed["delivered"], failed["status"]) == (False, 500)
    receiver.answer = lambda _: Answer(200, body=b"ok")
    again = local.post(f"webhooks/{name}/dead-letters/1/replay").json()
    assert (again["delivered"], again["status"], again["error"], again["response"]) == (True, 200, None, None)
    assert receiver.deliveries[-1].verify(secret)["subject"] == "a"
    assert local.delete(f"webhooks/{name}/dead-letters/2").status_code == 204
    assert [each["position"] for each in local.get(f"webhooks/{name}/dead-letters").json()["dead_letters"]] == [3]
    for answer in (
        local.delete(f"webhooks/{name}/dead-letters/2"),
        local.post(f"webhooks/{name}/dead-letters/1/replay"),
    ):
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "unknown-dead-letter")


def test_a_webhook_is_changed_tested_and_removed(local: httpx.Client, receiver: Receiver) -> None:
    name, secret = add(local, receiver.url)
    test = local.post(f"webhooks/{name}/test").json()
    assert (test["delivered"], test["status"]) == (True, 204)
    assert receiver.deliveries[0].verify(secret)["type"] == "org.executionledger.webhook.test"
    for job in ("a", "b"):
        local.post("executions", json={"job_id": job})
    until(local, f"webhooks/{name}", lambda each: each["lag"] == 0)
    off = local.patch(f"webhooks/{name}", json={"enabled": False}, headers={"X-Actor": "ada"}).json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "switched off by ada")
    local.patch(f"webhooks/{name}", json={"url": receiver.url + "/new", "types": ["noted"], "description": "d"})
    changed = local.patch(f"webhooks/{name}", json={"types": None, "description": None}).json()
    assert (changed["types"], changed["description"], changed["enabled"]) == (None, None, False)
    assert local.patch(f"webhooks/{name}", json={}).json() == changed
    local.patch(f"webhooks/{name}", json={"enabled": True, "after": 1})
    until(local, f"webhooks/{name}", lambda each: each["lag"] == 0)
    assert (receiver.deliveries[-1].path, receiver.deliveries[-1].position) == ("/hooks/new", 2)
    assert local.delete(f"webhooks/{name}").status_code == 204
    assert local.get("webhooks").json() == {"webhooks": []}
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/dead-letters")):
        answer = local.request(method, f"webhooks/{name}{path}", json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (404, "unknown-webhook")


def test_a_client_waits_as_long_as_a_webhook_may(
    local: httpx.Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def slowly(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "slow.example":
            return look_up(host, *rest, **more)
        time.sleep(1.2)
        return look_up("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    receiver.answer = lambda _: Answer(500)
    with LedgerClient(str(local.base_url), timeout=0.6) as client:
        made = client.add_webhook(receiver.url.replace("127.0.0.1", "slow.example"))
        name = made.endpoint.endpoint_id
        assert client.change_webhook(name, {"url": receiver.url}).url == receiver.url
        local.post("executions", json={"job_id": "a"})
        until(local, f"webhooks/{name}", lambda each: each["dead_letters"] == 1)
        receiver.answer = lambda _: Answer(204, wait=1.2)
        assert client.test_webhook(name).delivered
        assert client.replay_dead_letter(name, 1).delivered
        with pytest.raises(StoreUnavailable):  # all else as long as it was told
            client.send(Call("POST", f"webhooks/{name}/test", lambda _: None, repeatable=False))


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "url"),
    ({"url": "ftp://example.com/"}, "url"),
    ({"url": "https://ada:pw@93.184.216.34/"}, "url"),
    ({"url": "https://127.0.0.1/"}, "url"),
    ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
    ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
    ({"url": "https://" + "x" * 2_000}, "url"),
    ({"url": "https://93.184.216.34/", "types": []}, "types"),
    ({"url": "https://93.184.216.34/", "types": ["born"]}, "types"),
    ({"url": "https://93.184.216.34/", "after": 1}, "after"),
    ({"url": "https://93.184.216.34/", "after": -1}, "after"),
    ({"url": "https://93.184.216.34/", "description": "x" * 2_001}, "description"),
    ({"url": "https://93.184.216.34/", "description": "\x00"}, "description"),
    ({"url": "https://93.184.216.34/", "secret": "whsec_mine"}, "secret"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_a_bad_webhook_is_refused_by_field(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    answer = client.post("webhooks", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert client.get("webhooks").json() == {"webhooks": []}


def test_a_bad_change_is_refused_by_field(local: httpx.Client, receiver: Receiver) -> None:
    name, _ = add(local, receiver.url)
    before = local.get("webhooks").json()
    for body, field in (
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": None}, "url"),
        ({"enabled": None}, "enabled"),
        ({"enabled": "yes"}, "enabled"),
        ({"after": 1}, "after"),
        ({"position": 1}, "position"),
    ):
        answer = local.patch(f"webhooks/{name}", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    for overlap in (-1, 30 * 86_400 + 1):
        refused = local.post(f"webhooks/{name}/rotate-secret", json={"overlap": overlap})
        assert (refused.status_code, refused.json()["field"]) == (422, "overlap")
    assert local.get("webhooks").json() == before


def test_the_numbers_tell_of_deliveries(local: httpx.Client, receiver: Receiver) -> None:
    receiver.answer = lambda each: Answer(500) if each.position == 2 else Answer()
    name, _ = add(local, receiver.url)
    for job in ("a", "b", "c"):
        local.post("executions", json={"job_id": job})
    until(local, f"webhooks/{name}", lambda each: each["lag"] == 0)
    page = httpx.get(f"{str(local.base_url).removesuffix('/api/v1/')}/metrics", trust_env=False).text
    labels = f'{{endpoint="{name}",ledger="default"}}'
    for line in (
        'execution_ledger_webhook_deliveries_total{outcome="delivered"} 2.0',
        'execution_ledger_webhook_deliveries_total{outcome="failed"} 2.0',
        'execution_ledger_webhook_deliveries_total{outcome="dead_letter"} 1.0',
        f"execution_ledger_webhook_enabled{labels} 1.0",
        f"execution_ledger_webhook_lag{labels} 0.0",
        f"execution_ledger_webhook_failing{labels} 0.0",
        f"execution_ledger_webhook_dead_letters{labels} 1.0",
    ):
        assert line in page.splitlines(), page


def test_the_numbers_tell_of_every_webhook_there_is(local: httpx.Client, database: Database) -> None:
    add(local, "https://93.184.216.34/")
    engine = create_sync_engine(database.url)
    with engine.begin() as connection:
        row = connection.execute(select(webhook_endpoints)).one()._asdict()
        connection.execute(insert(webhook_endpoints), [row | {"ledger_id": f"l{number}"} for number in range(1_000)])
    engine.dispose()
    page = httpx.get(f"{str(local.base_url).removesuffix('/api/v1/')}/metrics", trust_env=False).text
    assert page.count("execution_ledger_webhook_enabled{") == 1_001


def test_a_service_may_leave_delivering_to_others(settings: Settings, receiver: Receiver) -> None:
    given = settings.model_dump() | {"webhook_allow": [LOOPBACK], "projection_interval": 0.05}
    with running(Settings(**(given | {"webhook_deliveries": 0}))) as address, make_client(address) as client:
        name, _ = add(client, receiver.url)
        client.post("executions", json={"job_id": "a"})
        assert client.post(f"webhooks/{name}/test").json()["delivered"]
        time.sleep(0.5)
        assert client.get(f"webhooks/{name}").json()["lag"] == 1
    with running(Settings(**given)) as address, make_client(address) as client:
        until(client, f"webhooks/{name}", lambda each: each["lag"] == 0)
    assert len(receiver.deliveries) == 2


def test_the_processes_of_a_service_share_the_webhooks(database: Database, receiver: Receiver) -> None:
    given = {"WEBHOOK_ALLOW": f'["{LOOPBACK}"]', "WORKERS": "2", "PROJECTION_INTERVAL": "0.05"}
    settings = {f"EXECUTION_LEDGER_{name}": value for name, value in given.items()}
    with process(database.url, **settings) as (service, address), make_client(address) as client:
        name, _ = add(client, receiver.url)
        for number in range(30):
            client.post("executions", json={"job_id": f"{number}"})
        until(client, f"webhooks/{name}", lambda each: each["lag"] == 0)
        page = httpx.get(f"{address}/metrics", trust_env=False).text
        service.terminate()
        assert service.wait(30) == 0
    assert [each.position for each in receiver.deliveries] == list(range(1, 31))
    assert 'execution_ledger_webhook_deliveries_total{outcome="delivered"} 30.0' in page, "whoever delivered them"
