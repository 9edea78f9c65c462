"""What the page hears of the ledger: nothing is missed, whatever becomes of the tab and its connection."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from support.day import RUNNING
from support.http_service import running

from .conftest import Open, settings_for

Api = Callable[[str], httpx.Client]


def hide(page: Page, hidden: bool) -> None:
    """Let the tab be one that nobody sees, as far as its scripts can tell."""
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_what_happened_in_a_quiet_ledger_while_nobody_looked_is_shown(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(fresh), api(fresh)
    expect(page.get_by_text("Live")).to_be_visible()
    hide(page, True)
    expect(page.get_by_text("Paused")).to_be_visible()
    client.post("executions", json={"job_id": "unseen"})
    hide(page, False)
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.locator('[data-job="unseen"]')).to_be_visible()


def test_a_run_tells_what_became_of_it_while_nobody_looked(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(f"{fresh}/run/{RUNNING}"), api(fresh)
    expect(page.get_by_text("Live")).to_be_visible()
    hide(page, True)
    client.post(f"executions/{RUNNING}/complete", json={"result": {}})
    hide(page, False)
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "completed")


@pytest.mark.parametrize("scrolled", [False, True], ids=["at the top", "further down"])
def test_what_is_too_much_to_be_heard_is_read_again(open_page: Open, api: Api, fresh: str, scrolled: bool) -> None:
    page, client = open_page(fresh), api(fresh)
    heard: list[str] = []
    expect(page.get_by_text("Live")).to_be_visible()
    if scrolled:
        page.locator(".virtual").evaluate("(list) => list.scrollTo(0, 1200)")
        page.wait_for_function("() => document.querySelector('.virtual').scrollTop === 1200")
    hide(page, True)
    for number in range(3):
        many = [{"job_id": f"unseen-{number}-{each}"} for each in range(1000)]
        assert client.post("/executions:batch", json={"executions": many}).status_code == 200
    page.on("request", lambda request: heard.append(request.url))
    hide(page, False)
    if scrolled:
        page.get_by_role("button", name="Refresh").click()
    expect(page.locator('[data-job="unseen-2-999"]')).to_be_visible()
    size = client.get("ledger").json()["size"]
    assert [url for url in heard if "/events/stream" in url] == [f"{fresh}/api/v1/events/stream?after={size}"]


def test_nothing_is_missed_between_the_first_read_and_the_stream(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(f"{fresh}/audit"), api(fresh)
    held: list[Route] = []
    page.route("**/events/stream*", lambda route: held.append(route))
    page.goto(fresh)
    expect(page.locator("[data-job]").first).to_be_visible()
    expect(page.get_by_text("Connecting")).to_be_visible()
    client.post("executions", json={"job_id": "between"})
    assert len(held) == 1
    page.unroute("**/events/stream*")  # which lets it go
    expect(page.locator('[data-job="between"]')).to_be_visible()


def test_a_lost_stream_comes_back_with_all_that_it_missed(
    open_page: Open, api: Api, written: Path, tmp_path: Path
) -> None:
    settings = settings_for(f"sqlite:///{shutil.copy(written, tmp_path / 'ledger.db')}")
    with running(settings) as address:
        page = open_page(address)
        expect(page.get_by_text("Live")).to_be_visible()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    with running(settings) as elsewhere:
        api(elsewhere).post("executions", json={"job_id": "meanwhile"})
    with running(settings, port=urlsplit(address).port or 0):
        expect(page.get_by_text("Live")).to_be_visible()
        expect(page.locator('[data-job="meanwhile"]')).to_be_visible()


def test_a_ledger_that_cannot_be_asked_at_first_is_heard_later(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(f"{fresh}/audit", expected=(503,)), api(fresh)
    busy = {"type": "urn:x", "title": "Busy", "status": 503, "detail": "The database is away."}
    page.route("**/api/v1/ledger", lambda route: route.fulfill(status=503, json=busy))
    page.goto(fresh)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page.locator("[data-job]").first).to_be_visible()
    client.post("executions", json={"job_id": "meanwhile"})
    page.unroute("**/api/v1/ledger")
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.locator('[data-job="meanwhile"]')).to_be_visible()
