"""`webhooks`, as an operator runs it, beside a service that delivers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from execution_ledger.api.http import answers
from execution_ledger.infrastructure import Settings
from support.examples import LEAN
from support.http_service import running
from support.receiver import LOOPBACK, Answer, Receiver, receiving

from .conftest import Cli

pytestmark = LEAN


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def local(cli_on_both: Cli) -> Cli:
    """May send to this machine."""
    cli_on_both.env["EXECUTION_LEDGER_WEBHOOK_ALLOW"] = f'["{LOOPBACK}"]'
    cli_on_both.run("record", "--", "true")
    return cli_on_both


@pytest.fixture(params=["database", "service"])
def anywhere(request: pytest.FixtureRequest, local: Cli) -> Iterator[Cli]:
    """The same, or on a service that may; it delivers nothing meanwhile."""
    if request.param == "database":
        yield local
        return
    settings = Settings(
        database_url=local.url, actor=None, webhook_allow=[ip_network(LOOPBACK)], projection_interval=3_600
    )
    with running(settings) as address:
        local.env["EXECUTION_LEDGER_URL"] = address
        yield local


def deliver(cli: Cli, endpoint_id: str, *, letters: int = 0, seconds: float = 30) -> None:
    """Serve until nothing is to be delivered any more."""
    settings = Settings(
        database_url=cli.url, webhook_allow=[ip_network(LOOPBACK)], webhook_tries=1, projection_interval=0.05
    )
    with running(settings):
        deadline = time.monotonic() + seconds
        while (found := shown(cli, "show", endpoint_id))["lag"]:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
    assert found["dead_letters"] == letters


def shown(cli: Cli, *arguments: str) -> Any:
    return json.loads(cli.text("webhooks", *arguments, "--json"))


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
    ran = local.run("webhooks", "test", name)
    assert ran.returncode == 1
    assert ran.stdout.startswith(b"The test was not taken: answered 500 Internal Server Error: no way (")
    ran = local.run("webhooks", "test", name, "--json")
    assert (ran.returncode, json.loads(ran.stdout)["status"]) == (1, 500)


def test_dead_letters_are_seen_replayed_and_dropped(local: Cli, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    made = shown(local, "add", receiver.url, "--after", "0")
    name = made["webhook"]["endpoint_id"]
    assert local.text("webhooks", "dead", name) == "There is no dead letter.\n"
    assert local.text("webhooks", "replay", name, "--all") == "There is no dead letter.\n"
    size = made["webhook"]["lag"]
    deliver(local, name, letters=size)
    listed = local.text("webhooks", "dead", name).splitlines()
    assert len(listed) == size + 1
    assert listed[1].split()[:4] == ["1", "created", "true-" + listed[1].split()[2][5:], "1"]
    assert listed[1].endswith("answered 500 Internal Server Error")
    assert len(shown(local, "dead", name, "--after", "1", "--limit", "1")["dead_letters"]) == 1
    findings = json.loads(local.call("doctor", "--json")[1])["findings"]
    found = [each for each in findings if "webhook" in each["subject"]]
    assert [(each["verdict"], each["told"]) for each in found] == [("warning", f"did not take {size} events")]

    assert local.run("webhooks", "replay", name, "1").returncode == 1
    receiver.answer = lambda _: Answer()
    assert local.text("webhooks", "replay", name, "1").startswith("Event 1 was taken: 204, ")
    assert local.text("webhooks", "drop", name, "2") == "1 dead letter dropped.\n"
    again = shown(local, "replay", name, "--all")["replayed"]
    assert [each["position"] for each in again] == list(range(3, size + 1))
    assert all(each["delivered"] for each in again)
    assert [each.position for each in receiver.deliveries[-len(again) :]] == list(range(3, size + 1))
    assert shown(local, "dead", name) == {"dead_letters": []}
    assert shown(local, "drop", name, "--all") == {"dropped": 0}


def test_a_service_replays_and_drops_dead_letters(local: Cli, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    settings = Settings(
        database_url=local.url,
        actor=None,
        webhook_allow=[ip_network(LOOPBACK)],
        webhook_tries=1,
        projection_interval=0.05,
    )
    with running(settings) as address:
        local.env["EXECUTION_LEDGER_URL"] = address
        name = local.json("webhooks", "add", receiver.url, "--after", "0")["webhook"]["endpoint_id"]
        deadline = time.monotonic() + 30
        while local.json("webhooks", "show", name)["lag"]:
            assert time.monotonic() < deadline
        letters = local.json("webhooks", "dead", name)["dead_letters"]
        assert [each["position"] for each in letters] == [1, 2, 3]
        assert local.text("webhooks", "dead", name, "--limit", "1").splitlines()[1].split()[:2] == ["1", "created"]
        assert local.run("webhooks", "replay", name, "1").returncode == 1
        receiver.answer = lambda _: Answer()
        assert local.text("webhooks", "drop", name, "2", "2") == "1 dead letter dropped.\n"
        replayed = local.json("webhooks", "replay", name, "--all")["replayed"]
        assert [(each["position"], each["delivered"]) for each in replayed] == [(1, True), (3, True)]
        assert local.json("webhooks", "drop", name, "--all") == {"dropped": 0}
        assert local.text("webhooks", "replay", name, "1", status=1).startswith("error: The event at position 1 is no ")


def test_json_is_what_the_service_answers(local: Cli, receiver: Receiver) -> None:
    made = local.json("webhooks", "add", receiver.url)
    answers.NewWebhook.model_validate(made)
    name = made["webhook"]["endpoint_id"]
    answers.WebhookList.model_validate(local.json("webhooks", "list"))
    answers.WebhookAnswer.model_validate(local.json("webhooks", "show", name))
    answers.DeliveryAnswer.model_validate(local.json("webhooks", "test", name))
    answers.DeadLetters.model_validate(local.json("webhooks", "dead", name) | {"next_after": None})


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
