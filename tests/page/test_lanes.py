"""Runs over time, and an incident played again."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from playwright.sync_api import Page, Route, expect

from support.day import CLOSE

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


def overlapping(runs: list[dict[str, Any]], begin: datetime, end: datetime) -> set[str]:
    """Without any index: what had begun before the end of a window and had not ended when it began."""
    return {
        run["job_id"]
        for run in runs
        if datetime.fromisoformat(run["created_at"]) < end
        and (run["completed_at"] is None or datetime.fromisoformat(run["completed_at"]) >= begin)
    }


def test_every_run_of_a_time_is_drawn_however_long_before_it_began(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    now = datetime.now(UTC)
    for job_id, began, ended in (("into", 30, 0.4), ("over", 40, 0.1), ("before", 40, 3), ("through", 20, None)):
        times = {"created_at": (now - timedelta(days=began)).isoformat()}
        if ended is not None:
            times["completed_at"] = (now - timedelta(hours=ended)).isoformat()
        run = {"job_id": job_id, "run_name": job_id, "status": "running" if ended is None else "completed", **times}
        client.post("executions", json=run).raise_for_status()
    begin, end = now - timedelta(minutes=30), now - timedelta(minutes=15)
    runs = client.get("executions", params={"limit": 1000}).json()["executions"]
    expected = overlapping(runs, begin, end)
    assert expected >= {"into", "over", "through"}
    assert "before" not in expected
    asked: list[str] = []
    page = open_page(f"{fresh}/audit")
    page.on("request", lambda request: asked.append(request.url) if "/executions?" in request.url else None)
    page.goto(f"{fresh}/lanes?{urlencode({'from': begin.isoformat(), 'to': end.isoformat(), 'by': 'none'})}")
    expect(page.get_by_role("img", name=re.compile(f"^{len(expected)} runs in 1 lanes"))).to_be_visible()
    assert len(asked) == 3, asked
    page.goto(page.url.replace("by=none", "by=name"))
    expect(page.get_by_role("img", name=re.compile(f"^{len(expected)} runs"))).to_be_visible()


def test_a_replay_knows_what_had_begun_long_before_it(open_page: Open, day: str, api: Api) -> None:
    client = api(day)
    close = client.get(f"executions/{CLOSE}").json()
    ended = datetime.fromisoformat(close["completed_at"])
    begin, end = ended - timedelta(minutes=2), ended + timedelta(minutes=3)
    active = {"as_of": begin.isoformat(), "limit": 1000, "status": "running"}
    running = {each["job_id"] for each in client.get("executions", params=active).json()["executions"]}
    assert CLOSE in running
    replay = f"{begin.isoformat()}~{end.isoformat()}"
    page = open_page(f"{day}/lanes?{urlencode({'replay': replay})}")
    shown = page.locator('.replay-story [data-status="running"].count')
    expect(shown).to_have_attribute("data-count", str(len(running)))
    runs = client.get("executions", params={"limit": 1000}).json()["executions"]
    drawn = page.get_by_role("img", name=re.compile("runs in .* lanes"))
    expect(drawn).to_have_attribute("aria-label", re.compile(f"^{len(overlapping(runs, begin, end))} runs in "))
    page.get_by_label("Time", exact=True).fill(str(ended.timestamp() * 1000 + 1))
    expect(page.locator(".replay-last")).to_contain_text("quarterly close")


def test_the_list_of_the_same_time_is_a_click_away(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?last=1h")
    page.get_by_role("link", name="As a list").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/\?from=.*before="))
    expect(page.locator("[data-job]").first).to_be_visible()


def test_a_replay_that_is_cut_ends_where_it_was_read_to(open_page: Open, day: str, api: Api) -> None:
    begin, end = datetime.now(UTC) - timedelta(hours=3), datetime.now(UTC)
    window = {"recorded_from": begin.isoformat(), "recorded_before": end.isoformat(), "limit": 1000}
    failed = api(day).get("events", params={**window, "type": "failed"}).json()["events"]
    page = open_page(f"{day}/lanes")

    def lower(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("PAGE = 1000", "PAGE = 20").replace("30_000", "40"))

    page.route("**/lanes/data.js", lower)
    page.goto(f"{day}/lanes?{urlencode({'replay': f'{begin.isoformat()}~{end.isoformat()}'})}")
    note = page.get_by_role("note")
    expect(note).to_contain_text("Only the first 40 changes of status are played, up to ")
    slider = page.get_by_role("slider", name="Time")
    until = datetime.fromtimestamp(float(slider.get_attribute("max") or 0) / 1000, UTC)
    assert begin < until < end
    slider.press("End")
    expected = [
        each for each in failed if datetime.fromisoformat(each["recorded_at"]) <= until + timedelta(milliseconds=1)
    ]
    assert shown_failures(page) == len(expected) < len(failed)


def over_a_bar(page: Page) -> None:
    """Rest the pointer on the lowest bar that is seen, far right."""
    chart = page.get_by_role("img", name=re.compile("runs in .* lanes"))
    box = chart.bounding_box()
    assert box is not None
    for y in range(int(box["height"]) - 6, 60, -4):
        page.mouse.move(box["x"] + box["width"] - 20, box["y"] + y)
        if page.locator(".tip").count():
            return
    raise AssertionError("there is none")


def test_what_a_bar_tells_is_in_sight_and_its_other_clicks_are_those_of_a_link(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?last=3h")
    over_a_bar(page)
    tip, card = page.locator(".tip").bounding_box(), page.locator(".lanes-card").bounding_box()
    assert tip is not None
    assert card is not None
    assert card["y"] < tip["y"] < card["y"] + card["height"] - tip["height"]
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    page.keyboard.down("Control")
    with page.context.expect_page() as opened:
        page.mouse.down()
        page.mouse.up()
    page.keyboard.up("Control")
    assert "/run/" in opened.value.url
    assert page.url == f"{day}/lanes?last=3h"


def test_a_time_is_typed_digit_by_digit_and_sent_once(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?from=2026-03-01T10:00:00.250Z&to=2026-03-01T12:00:00Z")
    end = page.get_by_label("To", exact=True)
    expect(end).to_have_value("2026-03-01T13:00")
    end.focus()
    page.keyboard.type("01022027")  # the month first, whose "0" and "1" would be months before the time begins
    expect(page).to_have_url(re.compile("2026-03-01T12"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"from=2026-03-01T10%3A00%3A00\.250Z&to=2027-01-02T12%3A00%3A00\.000Z"))
    page.get_by_label("To", exact=True).fill("2025-01-01T00:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("The time ends before it begins")).to_be_visible()


def test_lines_of_the_axis_follow_the_clock_when_it_changes(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes")
    ticks = """async ([from, to]) => {
        const url = [...document.querySelectorAll('link')].find(({ href }) => href.endsWith('chart/scale.js')).href;
        const { makeScale, ticks } = await import(url);
        return ticks(makeScale({ from: Date.parse(from), to: Date.parse(to) }, 0, 900)).map(({ label }) => label);
    }"""
    for begin, end, labels in (  # in Berlin
        ("2026-10-23T22:00Z", "2026-10-27T12:00Z", "24 Oct, 12:00, 25 Oct, 12:00, 26 Oct, 12:00, 27 Oct, 12:00"),
        ("2026-03-28T11:00Z", "2026-03-29T11:00Z", "12:00, 15:00, 18:00, 21:00, 29 Mar, 03:00, 06:00, 09:00, 12:00"),
        ("2026-10-24T23:00Z", "2026-10-25T03:00Z", "01:00, 01:30, 02:00, 02:30, 02:00, 02:30, 03:00, 03:30, 04:00"),
    ):
        assert ", ".join(page.evaluate(ticks, [begin, end])) == labels


def test_a_phone_held_across_reaches_all_lanes(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/lanes?last=3h")
    page.set_viewport_size({"width": 844, "height": 390})
    chart = page.get_by_role("img", name=re.compile("runs in .* lanes"))
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 390
