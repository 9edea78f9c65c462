"""The ledger as CloudEvents: read by the SDK of the specification, and compared with its rules where that is lax."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from execution_ledger.projections.cloud_events import cloud_event
from support.http_service import make_client, running
from support.projecting import make_event

from .conftest import Service

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_NAME = re.compile(r"[a-z0-9]{1,20}")


def read(content: bytes, media_type: str = "application/cloudevents+json") -> CloudEvent:
    """By the SDK, which refuses what lacks an attribute or has a wrong one."""
    event = from_structured(HTTPMessage({"content-type": media_type}, content), JSONFormat(), CloudEvent)
    assert isinstance(event, CloudEvent)
    for name, value in event.get_attributes().items():
        assert _NAME.fullmatch(name), name
        assert value not in (None, ""), name
        if isinstance(value, int):
            assert -(2**31) <= value < 2**31, name
    return event


@pytest.fixture
def story(client: httpx.Client) -> httpx.Client:
    """Seven events of three executions."""
    said = {"X-Actor": "ada", "X-Reason": "the usual", "X-Correlation-Id": "night-7", "X-Causation-Id": "cron"}
    traced = {**said, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "Idempotency-Key": "k1"}
    client.post("executions", json={"job_id": "a", "inputs": {"n": 1.0}}, headers=traced)
    client.post("executions/a/start", json={"occurred_at": "2026-01-31T08:00:00+05:45"})
    client.post("executions/a/complete", json={"result": {"größe": [1, None]}})
    client.post("executions", json={"job_id": "b"})
    client.post("executions/b/fail", json={"error": "no"}, headers={"X-Reason": "disk full"})
    client.post("executions", json={"job_id": "line\nbreak\ufdd0"})
    client.delete("executions/b")
    return client


def test_an_event_is_given_in_the_structured_format(story: httpx.Client, service: Service) -> None:
    answer = story.get("cloudevents/1")
    event, plain = read(answer.content, answer.headers["content-type"]), story.get("events?order=oldest").json()
    first = plain["events"][0]
    assert answer.headers["content-type"] == "application/cloudevents+json"
    assert event.get_id() == f"{service.ledger}/1"
    assert event.get_source() == f"urn:execution-ledger:ledger:{service.ledger}"
    assert (event.get_type(), event.get_subject()) == ("org.executionledger.execution.created", "a")
    assert (event.get_datacontenttype(), event.get_data()) == ("application/json", first["data"])
    assert event.get_time() == datetime.fromisoformat(first["recorded_at"])
    attributes = json.loads(answer.content)
    kept = ("ledger", "position", "sequence", "actor", "correlationid", "causationid", "commandid", "schemaversion")
    assert {name: attributes[name] for name in kept} == {
        "ledger": service.ledger, "position": "1", "sequence": "0000000000000000001", "actor": "ada",
        "correlationid": "night-7", "causationid": "cron", "commandid": "k1", "schemaversion": 1,
    }  # fmt: skip
    assert (attributes["reason"], attributes["streamversion"]) == ("the usual", "1")
    assert (attributes["streamid"], attributes["recordedtime"]) == (first["stream_id"], first["recorded_at"])
    assert re.fullmatch(rf"00-{TRACE}-(?!0{{16}})[0-9a-f]{{16}}-01", attributes["traceparent"])


def test_time_is_when_it_happened_and_what_is_not_there_is_left_out(story: httpx.Client) -> None:
    attributes = story.get("cloudevents/2").json()
    assert attributes["time"] == "2026-01-31T02:15:00Z"
    assert attributes["recordedtime"] > attributes["time"]
    assert not {"reason", "causationid", "commandid", "traceparent"} & attributes.keys()


def test_pages_are_batches_that_are_linked(story: httpx.Client) -> None:
    seen: list[dict[str, Any]] = []
    url = "cloudevents?limit=3"
    while url:
        answer = story.get(story.base_url.join(url))
        assert answer.headers["content-type"] == "application/cloudevents-batch+json"
        page = answer.json()
        assert [read(json.dumps(each).encode()).get_id() for each in page] == [each["id"] for each in page]
        seen += page
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [int(each["position"]) for each in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert seen == [story.get(f"cloudevents/{position}").json() for position in range(1, 8)]
    newest = story.get("cloudevents?limit=3&order=newest")
    assert [each["position"] for each in newest.json()] == ["7", "6", "5"]
    assert [each["position"] for each in story.get(story.base_url.join(newest.links["next"]["url"])).json()] == [
        "4",
        "3",
        "2",
    ]
    assert [each["type"].rpartition(".")[2] for each in story.get("cloudevents?type=failed&type=deleted").json()] == [
        "failed",
        "deleted",
    ]
    assert story.get("cloudevents?after=7").json() == []


def test_the_stream_gives_each_event_in_the_structured_format(story: httpx.Client) -> None:
    with story.stream("GET", "cloudevents/stream?type=execution.created", headers={"Last-Event-ID": "3"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        message = dict(line.split(": ", 1) for line in iter(lambda: next(lines), "") if ": " in line)
        while "data" not in message:
            message = dict(line.split(": ", 1) for line in iter(lambda: next(lines), "") if ": " in line)
    assert message["id"] == "4"
    assert read(message["data"].encode()).get_subject() == "b"


def test_texts_that_attributes_may_not_hold_are_escaped(story: httpx.Client) -> None:
    assert story.get("cloudevents/6").json()["subject"] == "line%0Abreak%EF%B7%90"


def test_there_is_nothing_beyond_the_end(story: httpx.Client) -> None:
    answer = story.get("cloudevents/8")
    assert (answer.status_code, answer.json()["detail"]) == (404, "The ledger has no event 8.")


def test_the_source_is_what_the_settings_say_and_the_ledgers_name(settings: Any) -> None:
    named = settings.model_copy(update={"event_source": "https://ledger.example.com/ledgers/"})
    ledger = "größe/7"
    with running(named) as address, make_client(address, headers={"X-Ledger": ledger.encode()}) as client:
        client.post("executions", json={"job_id": "a"})
        event = client.get("cloudevents/1").json()
    assert event["source"] == f"https://ledger.example.com/ledgers/{quote(ledger, safe='')}"
    assert (event["id"], event["ledger"]) == ("größe/7/1", ledger)


def test_an_erased_payload_is_null_and_great_numbers_stay_whole() -> None:
    event = make_event(2**62, "a", "completed", version=2**40, data=None)
    given = cloud_event(event, "urn:x:")
    assert given["data"] is None
    assert (given["position"], given["sequence"], given["streamversion"]) == (str(2**62), str(2**62), str(2**40))


def test_the_example_of_the_page_is_what_is_given() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cloudevents.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    example = read(block.encode()).get_attributes() | {"data": json.loads(block)["data"]}
    times = {
        "recorded_at": datetime(2026, 1, 31, 8, 0, 9, 120_000, UTC),
        "occurred_at": datetime(2026, 1, 31, 8, 0, 9, 0, UTC),
    }
    said = {"actor": "ada", "correlation_id": "night-7", "trace_id": TRACE, "version": 3, "data": example["data"]}
    stream = UUID(example["streamid"])
    event = make_event(7, "report-2026-01-31", "completed", execution_id=stream, **said, **times)
    given = cloud_event(event, "urn:execution-ledger:ledger:")
    assert given | {"streamid": str(stream), "recordedtime": example["recordedtime"]} == example
    names = set(re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)[3:])
    told = {name for each in names for name in re.findall(r"`(\w+)`", each)}
    assert told | {"specversion", "datacontenttype", "sequence"} == {*given, "reason", "causationid", "commandid"}
