"""`webhooks`, as an operator runs it, beside a service that delivers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import insert

from execution_ledger.api.http import answers
from execution_ledger.infrastructure import GroupWriter, Request, Settings, create_sync_engine
from execution_ledger.infrastructure.event_store import utc_now
from execution_ledger.infrastructure.tables import webhook_dead_letters
from support.http_service import running
from support.json_answers import check_answer, command_of
from support.receiver import LOOPBACK, Answer, Receiver, receiving
from support.writers import create, note

from .conftest import Cli


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def local(cli_on_both: Cli) -> Cli:
    """May send to this machine what the ledger has: three events."""
    cli_on_both.env["EXECUTION_LEDGER_WEBHOOK_ALLOW"] = f'["{LOOPBACK}"]'
    write(cli_on_both, create("a"), note("a", "1"), note("a", "2"))
    return cli_on_both


@pytest.fixture
def anywhere(via: str, local: Cli) -> Iterator[Cli]:
    """The same, or on a service that may; it delivers nothing meanwhile."""
    if via == "database":
        yield local
        return
    settings = Settings(
        database_url=local.url, actor=None, webhook_allow=[ip_network(LOOPBACK)], projection_interval=3_600
    )
    with running(settings) as address:
        local.env["EXECUTION_LEDGER_URL"] = address
        yield local


def write(cli: Cli, *requests: Request) -> None:
    async def write() -> None:
        async with GroupWriter(cli.url) as writer:
            await writer.execute_together(requests)

    asyncio.run(write())


@contextmanager
def delivering(cli: Cli) -> Iterator[str]:
    """A service that tries each event once, and its address."""
    settings = Settings(
        database_url=cli.url,
        actor=None,
        webhook_allow=[ip_network(LOOPBACK)],
        webhook_tries=1,
        projection_interval=0.05,
    )
    with running(settings) as address:
        yield address


def until(look: Callable[[], Any]) -> None:
    """Look until there is something to be seen."""
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(cli: Cli, *arguments: str) -> Any:
    """What a command shows as JSON, as its schema says."""
    answer = json.loads(cli.text("webhooks", *arguments, "--json"))
    check_answer(command_of(("webhooks", *arguments)), answer)
    return answer


def test_a_webhook_is_added_shown_changed_and_removed(anywhere: Cli, receiver: Receiver) -> None:
    local = anywhere
    lines = local.text(
        "webhooks", "add", receiver.url, "--type", "failed", "--description", "for the\npager"
    ).splitlines()
    name, secret = lines[0].split()[0], lines[1]
    assert lines[0] == f"{name} of ledger default: {receiver.url}"
    assert secret.startswith("whsec_")
    listed = local.text("webhooks", "list").splitlines()
    assert listed[1].split() == [name, receiver.url, "0", "0", "up", "to", "date"]
    told = dict(line.split(maxsplit=1) for line in local.text("webhooks", "show", name).splitlines())
    assert (told["events"], told["description"], told["state"]) == ("failed", "for the pager", "up to date")
    assert told["made"].endswith("by ada")
    assert secret not in local.text("webhooks", "show", name) + local.text("webhooks", "list")

    changed = shown(local, "change", name, "--to", f"{receiver.url}/2", "--all-types", "--after", "1")
    assert (changed["url"], changed["types"], changed["position"]) == (f"{receiver.url}/2", None, 1)
    off = shown(local, "disable", name)
    assert (off["enabled"], off["disabled_reason"]) == (False, "switched off by ada")
    assert "off: switched off by ada" in local.text("webhooks", "list")
    assert shown(local, "enable", name)["enabled"]
    rotated = shown(local, "rotate", name, "--overlap-hours", "2")
    assert rotated["secret"] != secret
    assert rotated["webhook"]["earlier_secret_until"] is not None
    assert local.text("webhooks", "remove", name) == f"Removed: {name}\n"
    assert local.text("webhooks", "list") == "Ledger default has no webhook yet.\n"


def test_a_test_is_sent_and_its_answer_told(anywhere: Cli, receiver: Receiver) -> None:
    local = anywhere
    made = shown(local, "add", receiver.url)
    name = made["webhook"]["endpoint_id"]
    assert local.text("webhooks", "test", name).startswith("The test was taken: 204, ")
    assert receiver.deliveries[0].verify(made["secret"])["type"] == "org.executionledger.webhook.test"
    receiver.answer = lambda _: Answer(500, body=b"no\x1b[31m way")
    status, out, _ = local.call("webhooks", "test", name)
    assert status == 1
    assert out.startswith("The test was not taken: answered 500 Internal Server Error: no way (")
    status, out, _ = local.call("webhooks", "test", name, "--json")
    assert (status, json.loads(out)["status"]) == (1, 500)


def test_dead_letters_are_seen_replayed_and_dropped(local: Cli, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    made = shown(local, "add", receiver.url, "--after", "0")
    name = made["webhook"]["endpoint_id"]
    assert local.text("webhooks", "dead", name) == "There is no dead letter.\n"
    assert local.text("webhooks", "replay", name, "--all") == "There is no dead letter.\n"
    size = made["webhook"]["lag"]
    with delivering(local):
        until(lambda: not shown(local, "show", name)["lag"])
    listed = local.text("webhooks", "dead", name).splitlines()
    assert len(listed) == size + 1
    assert listed[1].split()[:4] == ["1", "created", "a", "1"]
    assert listed[1].endswith("answered 500 Internal Server Error")
    assert len(shown(local, "dead", name, "--after", "1", "--limit", "1")["dead_letters"]) == 1
    findings = json.loads(local.call("doctor", "--json")[1])["findings"]
    found = [each for each in findings if "webhook" in each["subject"]]
    assert [(each["verdict"], each["told"]) for each in found] == [("warning", f"did not take {size} events")]

    assert local.call("webhooks", "replay", name, "1")[0] == 1
    status, out, error = local.call("webhooks", "replay", name, "1", "99", "2", "--json")
    assert (status, error.startswith("error: The event at position 99 is no ")) == (1, True)
    assert [each["position"] for each in json.loads(out)["replayed"]] == [1], "what was done is told"
    receiver.answer = lambda _: Answer()
    assert local.text("webhooks", "replay", name, "1").startswith("Event 1 was taken: 204, ")
    assert local.text("webhooks", "drop", name, "2") == "1 dead letter dropped.\n"
    again = shown(local, "replay", name, "--all")["replayed"]
    assert [each["position"] for each in again] == list(range(3, size + 1))
    assert all(each["delivered"] for each in again)
    assert [each.position for each in receiver.deliveries[-len(again) :]] == list(range(3, size + 1))
    assert shown(local, "dead", name) == {"dead_letters": []}
    assert shown(local, "drop", name, "--all") == {"dropped": 0}


def test_one_that_asked_to_be_left_alone_is_said_to_be(local: Cli, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(429, {"Retry-After": "600"})
    name = shown(local, "add", receiver.url, "--after", "0")["webhook"]["endpoint_id"]
    with delivering(local):
        until(lambda: shown(local, "show", name)["dead_letters"])
    state = " ".join(local.text("webhooks", "show", name).split())
    assert "state behind, as it asked to be left alone until " in state


def test_a_service_replays_and_drops_dead_letters(local: Cli, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    with delivering(local) as address:
        local.env["EXECUTION_LEDGER_URL"] = address
        name = shown(local, "add", receiver.url, "--after", "0")["webhook"]["endpoint_id"]
        until(lambda: not shown(local, "show", name)["lag"])
        letters = shown(local, "dead", name)["dead_letters"]
        assert [each["position"] for each in letters] == [1, 2, 3]
        assert local.text("webhooks", "dead", name, "--limit", "1").splitlines()[1].split()[:2] == ["1", "created"]
        assert local.call("webhooks", "replay", name, "1")[0] == 1
        receiver.answer = lambda _: Answer()
        assert local.text("webhooks", "drop", name, "2", "2") == "1 dead letter dropped.\n"
        replayed = shown(local, "replay", name, "--all")["replayed"]
        assert [(each["position"], each["delivered"]) for each in replayed] == [(1, True), (3, True)]
        assert shown(local, "drop", name, "--all") == {"dropped": 0}
        assert local.text("webhooks", "replay", name, "1", status=1).startswith("error: The event at position 1 is no ")


def test_as_many_dead_letters_are_shown_as_are_asked_for(anywhere: Cli, receiver: Receiver) -> None:
    write(anywhere, *(create(f"{number}") for number in range(1_200)))
    name = shown(anywhere, "add", receiver.url)["webhook"]["endpoint_id"]
    letter = {"ledger_id": "default", "endpoint_id": name, "tries": 1, "error": "no", "failed_at": utc_now()}
    engine = create_sync_engine(anywhere.url)
    with engine.begin() as connection:
        connection.execute(insert(webhook_dead_letters), [letter | {"position": at} for at in range(1, 1_201)])
    engine.dispose()
    for given, positions in (
        ((), range(1, 101)),
        (("--limit", "1100"), range(1, 1_101)),
        (("--limit", "5000", "--after", "7"), range(8, 1_201)),
    ):
        letters = shown(anywhere, "dead", name, *given)["dead_letters"]
        assert [each["position"] for each in letters] == list(positions)


def test_json_is_what_the_service_answers(local: Cli, receiver: Receiver) -> None:
    made = shown(local, "add", receiver.url)
    answers.NewWebhook.model_validate(made)
    name = made["webhook"]["endpoint_id"]
    answers.WebhookList.model_validate(shown(local, "list"))
    answers.WebhookAnswer.model_validate(shown(local, "show", name))
    answers.DeliveryAnswer.model_validate(shown(local, "test", name))
    answers.DeadLetters.model_validate(shown(local, "dead", name) | {"next_after": None})


def test_what_is_wrong_is_told_in_one_line(cli: Cli) -> None:
    missing = cli.run("webhooks", "list")
    assert missing.returncode == 3
    cli.run("record", "--", "true")
    for arguments, status, told in (
        (("add", "http://127.0.0.1/"), 1, "url: the host '127.0.0.1' is not on the internet."),
        (("add", "mailto:ada"), 1, "url: begins neither with https:// nor with http://."),
        (("add", "http://8.8.8.8/", "--type", "born"), 1, "types: 'born' is not an event."),
        (("add", "http://8.8.8.8/", "--after", "99"), 1, "after: 99 is more than the ledger's"),
        (("add", "http://8.8.8.8/", "--after", "-1"), 2, "Invalid value for '--after'"),
        (("show", "nobody"), 1, "There is no webhook 'nobody' in ledger 'default'."),
        (("replay", "nobody", "--all"), 1, "There is no webhook 'nobody'"),
        (("replay", "nobody"), 2, "POSITION: name some, or say --all."),
        (("drop", "nobody", "1", "--all"), 2, "POSITION: name some, or say --all."),
        (("rotate", "nobody", "--overlap-hours", "721"), 2, "--overlap-hours: is more than 720."),
        (("rotate", "nobody", "--overlap-hours", "1e9"), 2, "--overlap-hours: is more than 720."),
        (("change", "nobody", "--type", "failed", "--all-types"), 2, "--all-types: is given beside --type."),
    ):
        ended, out, error = cli.call("webhooks", *arguments)
        assert (ended, out) == (status, ""), error
        assert error.startswith(f"error: {told}"), error
        assert error.count("\n") == 1


def test_at_a_terminal_they_are_shown_in_colors(local: Cli, receiver: Receiver) -> None:
    local.text("webhooks", "add", receiver.url)
    status, screen = local.terminal("webhooks", "list", columns=120)
    assert status == 0
    assert "\x1b[32mup to date" in screen
