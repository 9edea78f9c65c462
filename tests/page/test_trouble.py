"""A service that is away for a while, and slow lines: the page says what it shows, and comes back by itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from support.day import CLOSE, RUNNING

from .conftest import Open

Api = Callable[[str], httpx.Client]
BUSY = {"type": "urn:x", "title": "Busy", "status": 503, "detail": "The database is away."}


def take_away(page: Page, what: str) -> None:
    page.route(what, lambda route: route.fulfill(status=503, json=BUSY))


@pytest.mark.parametrize(
    ("view", "what", "shown"),
    [
        ("/audit", "**/api/v1/audit?*", ".audit-table"),
        ("/", "**/api/v1/executions?*", "[data-job]"),
        ("/lanes", "**/api/v1/executions?*", ".lane-chart"),
        ("/statistics", "**/api/v1/statistics?*", ".tiles"),
        (f"/run/{CLOSE}", f"**/api/v1/executions/{CLOSE}", ".run-title"),
        (f"/run/{CLOSE}?tab=family", "**/api/v1/executions?*", "#tab-panel .relative"),
        (f"/run/{CLOSE}", "**/events?from_version=1&*", ".event-what"),
    ],
)
def test_what_could_not_be_read_is_read_later_by_itself(
    open_page: Open, day: str, view: str, what: str, shown: str
) -> None:
    page = open_page(f"{day}/health", expected=(503,))
    take_away(page, what)
    with page.expect_response(lambda answer: answer.status == 503):
        page.goto(day + view)
    expect(page.locator(".run-title, .page-head, .failure").first).to_be_visible()
    expect(page.locator(shown)).to_have_count(0)
    page.unroute(what)
    expect(page.locator(shown).first).to_be_visible()
    expect(page.locator(".failure")).to_have_count(0)


def test_a_list_reads_on_once_that_is_possible(open_page: Open, day: str) -> None:
    page = open_page(day, expected=(503,))
    expect(page.locator("[data-job]").first).to_be_visible()
    take_away(page, "**/api/v1/executions?*cursor=*")
    with page.expect_response(lambda answer: answer.status == 503):
        page.locator(".virtual").evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
    expect(page.locator(".run-row.more")).to_be_visible()
    page.unroute("**/api/v1/executions?*cursor=*")
    expect(page.locator(".run-row.more")).to_have_count(0)


def test_a_moment_that_cannot_be_read_is_not_shown_as_if_it_were(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?at=62", expected=(503,))
    expect(page.get_by_text("as it was at event 62")).to_be_visible()
    take_away(page, f"**/api/v1/executions/{CLOSE}?version=*")
    slider = page.get_by_role("slider", name="Moment")
    slider.evaluate("(slider) => { slider.value = 2; slider.dispatchEvent(new Event('input', {bubbles: true})); }")
    expect(page.get_by_role("alert")).to_have_text("This is not yet event 2. The database is away.")
    expect(page.locator(".run-page")).to_have_attribute("aria-busy", "true")
    expect(page.locator(".run-facts")).to_have_css("opacity", "0.4")
    page.unroute(f"**/api/v1/executions/{CLOSE}?version=*")
    expect(page.locator(".run-page")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "preparing")


def test_a_click_on_the_timeline_stays_where_it_was_while_the_service_is_away(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}", expected=(503,))
    chart = page.locator(".gantt canvas")
    expect(chart).to_have_attribute("aria-label", re.compile("then Running"))
    take_away(page, "**/executions/*?as_of=*")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 40)
    expect(page.locator(".toast.bad")).to_have_text("The database is away.")
    expect(page.get_by_text("as it was at event")).to_have_count(0)


def test_an_answer_that_was_overtaken_changes_nothing(open_page: Open, fresh: str, api: Api) -> None:
    page, client = open_page(f"{fresh}/run/{RUNNING}"), api(fresh)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    before = client.get(f"executions/{RUNNING}").json()
    held: list[Route] = []
    page.route(f"**/executions/{RUNNING}", lambda route: held.append(route), times=1)
    client.post(f"executions/{RUNNING}/notes", json={"text": "one"})
    page.wait_for_timeout(1000)
    assert len(held) == 1
    client.post(f"executions/{RUNNING}/notes", json={"text": "two"})
    events = page.get_by_role("list", name="Events")
    expect(events).to_contain_text("two")
    held[0].fulfill(json=before)
    page.wait_for_timeout(500)
    expect(events).to_contain_text("two")
    expect(page.locator(".player-moment")).to_contain_text(f"{before['version'] + 2} / {before['version'] + 2}")


@pytest.mark.parametrize(("view", "what"), [("/", "**/api/v1/executions?*"), ("/", "**/api/v1/ledger")])
def test_a_ledger_that_is_never_quiet_is_shown_however_slow_the_line(
    open_page: Open, fresh: str, api: Api, view: str, what: str
) -> None:
    page, client = open_page(fresh), api(fresh)
    count = page.get_by_role("button", name="All")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.locator("[data-job]").first).to_be_visible()
    before = count.inner_text()
    held: list[tuple[float, Route]] = []
    page.route(what, lambda route: held.append((time.monotonic(), route)))

    def passes(condition: Callable[[], Any]) -> bool:
        """While something happens all the time, and every answer takes two seconds."""
        for number in range(60):
            client.post("executions", json={"job_id": f"busy-{number}"})
            page.wait_for_timeout(150)
            while held and time.monotonic() - held[0][0] > 2:
                held.pop(0)[1].continue_()
            if condition():
                return True
        return False

    if what.endswith("ledger"):
        assert passes(lambda: count.inner_text() != before)
    else:
        assert passes(page.locator('[data-job^="busy-"]').count)
    page.unroute(what)
