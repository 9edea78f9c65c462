"""Who may see and do what; commands are confirmed, reasoned, and recorded with who gave them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import Page, expect

from execution_ledger.infrastructure import create_key, create_sync_engine, revoke_key
from execution_ledger.infrastructure.short_transactions import short_transaction
from support.day import CLOSE, RUNNING, WAITING

from .axe import check, check_both_themes
from .conftest import Open

Api = Callable[[str], httpx.Client]


def make_key(url: str, *scopes: str) -> tuple[str, str]:
    engine = create_sync_engine(url)
    with short_transaction(engine) as connection:
        key, secret = create_key(connection, "default", "olga", scopes, now=datetime.now(UTC))
    engine.dispose()
    return key.key_id, secret


def log_in(page: Page, secret: str) -> None:
    page.get_by_label("API key or access token").fill(secret)
    page.get_by_role("button", name="Log in").click()


def test_a_wrong_key_is_refused_and_a_right_one_opens_what_it_may(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    _, secret = make_key(url, "read")
    page = open_page(f"{address}/nowhere", expected=(401, 404))
    check_both_themes(page)
    log_in(page, f"{secret[:-1]}!")
    expect(page.get_by_role("alert")).to_have_text("This key or token is not good.")
    check_both_themes(page)
    log_in(page, secret)
    page.get_by_role("link", name="All runs", exact=True).click()
    expect(page.locator("[data-job]").first).to_be_visible()
    expect(page.get_by_text("olga")).to_be_visible()
    names = page.get_by_role("navigation").get_by_role("link")
    expect(names).to_have_text(["Runs", "Lanes", "Statistics", "Health"])
    assert page.evaluate("document.cookie") == "", "no script can read it"
    assert secret not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    page.reload()
    expect(page.locator("[data-job]").first).to_be_visible()
    page.goto(f"{address}/audit")
    expect(page.get_by_text("Your key cannot read this")).to_be_visible()
    page.goto(f"{address}/nowhere")
    expect(page.get_by_text("There is nothing here")).to_be_visible()
    page.goto(f"{address}/run/{WAITING}")
    expect(page.get_by_role("heading", name="payout batch")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.goto(f"{address}/health")
    expect(page.get_by_text("A key with the scope “admin”")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key or access token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key or access token")).to_be_visible()


def test_a_revoked_key_ends_its_session(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    key_id, secret = make_key(url, "read", "audit")
    page = open_page(f"{address}/audit", expected=(401,))
    log_in(page, secret)
    expect(page.locator(".audit-table")).to_be_visible()
    expect(page.get_by_text("events found")).to_be_visible()
    expect(page.locator(".proof code")).to_be_visible()  # nothing is asked for any more
    engine = create_sync_engine(url)
    with short_transaction(engine) as connection:
        revoke_key(connection, "default", key_id, now=datetime.now(UTC))
    engine.dispose()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_label("API key or access token")).to_be_visible()


def test_a_command_is_recorded_with_whose_session_it_is(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    _, secret = make_key(url, "read", "write")
    page = open_page(f"{address}/run/{WAITING}", expected=(401,))
    log_in(page, secret)
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("as curl copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith('curl -H "Authorization: Bearer $EXECUTION_LEDGER_KEY" \'http')
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("as done by olga")
    check(page)
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog).to_be_visible()  # it asks why
    dialog.get_by_label("Why").fill("checked with the bank")
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "running")
    expect(page.get_by_text("Approve: recorded")).to_be_visible()
    row = page.get_by_role("button", name=re.compile("approved"))
    expect(row).to_contain_text("olga")
    expect(row).to_contain_text("checked with the bank")


def test_a_key_goes_on_to_the_same_place(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    _, secret = make_key(url, "read", "audit")
    page = open_page(f"{address}/login?problem=refused&next=%2Faudit%3Factor%3Dada", expected=(401,))
    expect(page.get_by_role("link", name=re.compile("Sign in"))).to_have_count(0)
    log_in(page, secret)
    expect(page.locator(".audit-table")).to_be_visible()
    assert page.url == f"{address}/audit?actor=ada"


@pytest.mark.parametrize("service", ["fresh", "on_postgresql"])
def test_every_command_works(open_page: Open, api: Api, service: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(service)
    page, client = open_page(f"{address}/run/{RUNNING}", expected=(422,)), api(address)
    dialog = page.get_by_role("dialog")

    def give(name: str, why: str) -> None:
        dialog.get_by_label("Why").fill(why)
        dialog.get_by_role("button", name=name, exact=True).click()

    page.get_by_role("button", name="Note").click()
    dialog.get_by_label("Note").fill("watching this one")
    dialog.get_by_label("Level").select_option("warning")
    give("Note", "slower than usual")
    expect(page.get_by_role("list", name="Events")).to_contain_text("watching this one")
    page.get_by_role("button", name="Stop").click()
    give("Stop", "costs too much")
    status = page.locator(".run-title .status")
    expect(status).to_have_attribute("data-status", "stopping")
    page.get_by_role("button", name="Cancel").click()
    give("Cancel", "does not stop")
    expect(status).to_have_attribute("data-status", "cancelled")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Correct").click()
    dialog.get_by_label("Field").select_option("result")
    dialog.get_by_label("New value").fill("{no json")
    give("Correct", "it had a result")
    expect(dialog.get_by_role("alert")).to_contain_text("result is not JSON")
    dialog.get_by_label("New value").fill('{"auc": 0.9}')
    give("Correct", "it had a result")
    expect(dialog).to_have_count(0)
    run = client.get(f"executions/{RUNNING}").json()
    assert run["result"] == {"auc": 0.9}
    assert (run["stop_reason"], run["stop_requested_by"]) == ("does not stop", "grace")
    page.goto(f"{address}/run/{WAITING}")
    page.get_by_role("button", name="Reject").click()
    give("Reject", "the sums differ")
    expect(status).to_have_attribute("data-status", "rejected")
    events = client.get("events", params={"actor": "grace", "limit": 7}).json()["events"]
    told = [(each["type"], each["reason"]) for each in events if each["job_id"] in (RUNNING, WAITING)]
    assert told == [
        ("execution.rejected", "the sums differ"),
        ("execution.corrected", "it had a result"),
        ("execution.cancelled", "does not stop"),
        ("execution.stop_requested", "costs too much"),
        ("execution.noted", "slower than usual"),
    ]


def test_what_has_changed_meanwhile_is_not_approved(open_page: Open, fresh: str, api: Api) -> None:
    page, client = open_page(f"{fresh}/run/{WAITING}", expected=(412,)), api(fresh)
    page.get_by_role("button", name="Approve").click()
    client.patch(f"executions/{WAITING}", json={"message": "4 payouts now"})
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("fine")
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Read it again, then decide.")
    assert client.get(f"executions/{WAITING}").json()["status"] == "waiting_for_approval"
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".fields")).to_contain_text("4 payouts now")


def test_whoever_may_only_write_sees_that_they_may_not_read(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    _, secret = make_key(url, "write")
    page = open_page(f"{address}/run/{CLOSE}", expected=(401,))
    log_in(page, secret)
    expect(page.get_by_text("Your key cannot read this")).to_be_visible()
    expect(page.get_by_role("navigation").get_by_role("link")).to_have_count(0)
    check(page)


def test_a_copied_curl_asks_with_a_key(open_page: Open, secured: tuple[str, str]) -> None:
    address, url = secured
    _, secret = make_key(url, "read")
    page = open_page(f"{address}/run/{CLOSE}?at=5", expected=(401,))
    log_in(page, secret)
    expect(page.get_by_text("as it was at event 5")).to_be_visible()
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("as curl copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert secret not in command
    run = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": os.environ["PATH"], "EXECUTION_LEDGER_KEY": secret, "no_proxy": "*"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(run.stdout)["version"] == 5
