"""Runs over time, and an incident played again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.sync_api import Page, expect

from .axe import check
from .conftest import Open

Api = Callable[[str], httpx.Client]


def seen(page: Page) -> str:
    return page.locator(".page-head .muted").first.inner_text()


def shown_failures(page: Page) -> int:
    return int(page.locator('.replay-story [data-status="failed"].count').get_attribute("data-count") or 0)


def test_lanes_are_drawn_zoomed_panned_and_lead_to_runs(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?last=3h")
    chart = page.get_by_role("img", name=re.compile("runs in .* lanes"))
    expect(chart).to_be_visible()
    before = seen(page)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".page-head .muted").first).not_to_have_text(before)
    zoomed = seen(page)
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".page-head .muted").first).not_to_have_text(zoomed)
    page.get_by_role("button", name="All of it").click()
    page.get_by_label("Lanes by").select_option("in one lane")
    expect(page).to_have_url(re.compile("by=none"))
    box = chart.bounding_box()
    assert box is not None
    for y in range(60, int(box["height"]), 16):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
        if page.locator(".tip").count():
            break
    expect(page.locator(".tip")).to_be_visible()
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile("/run/"))


def test_a_window_is_chosen_by_dragging_and_played_again(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/lanes?last=3h")
    chart = page.get_by_role("img", name=re.compile("runs in .* lanes"))
    box = chart.bounding_box()
    assert box is not None
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + 140, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page.get_by_role("heading", name="Incident replay")).to_be_visible()
    expect(page).to_have_url(re.compile("replay="))
    expect(page.locator(".replay-story")).to_be_visible()
    assert shown_failures(page) == 0
    check(page)
    begin, end = parse_qs(urlsplit(page.url).query)["replay"][0].split("~")
    page.get_by_label("Speed").select_option("600")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=30_000)
    window = {"recorded_from": begin, "recorded_before": end, "type": "failed", "limit": 1000}
    failed = api(day).get("events", params=window).json()["events"]
    assert shown_failures(page) == len(failed) > 5, "the incident"
    last = page.locator(".replay-last li").first
    expect(last).to_be_visible()
    shown = page.locator(".replay-last time").first.get_attribute("datetime")
    assert shown is not None
    assert datetime.fromisoformat(begin) <= datetime.fromisoformat(shown) < datetime.fromisoformat(end)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Lanes")).to_be_visible()


def test_the_list_of_the_same_time_is_a_click_away(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?last=1h")
    page.get_by_role("link", name="As a list").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/\?from=.*before="))
    expect(page.locator("[data-job]").first).to_be_visible()
