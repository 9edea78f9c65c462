"""The statistics in a browser: the numbers of the API, as charts, as tables, and as ways to the runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, expect

from support.day import CLOSE

from .axe import check
from .conftest import Open, wait_until_projected

LABELS = ["Completed", "Failed", "Stopped", "Rejected", "Cancelled"]


def ask(day: str, path: str = "", **params: Any) -> Any:
    """Of the last 24 hours, as the page asks."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    window = {"ended_from": (end - timedelta(hours=24)).isoformat(), "ended_before": end.isoformat()}
    url = f"{day}/api/v1/statistics{path}"
    return httpx.get(url, params={**window, **params}, trust_env=False).raise_for_status().json()


def tile(page: Page, title: str) -> Any:
    return page.locator(".tile").filter(has=page.get_by_text(title, exact=True)).locator("dd")


def section(page: Page, title: str) -> Any:
    return page.get_by_role("region", name=title, exact=True)


def params(page: Page) -> dict[str, list[str]]:
    return page.evaluate(
        "Object.fromEntries([...new URLSearchParams(location.search).keys()]"
        ".map((name) => [name, new URLSearchParams(location.search).getAll(name)]))"
    )


def test_numbers_and_tables_are_those_of_the_api(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics")
    (total,) = ask(day)["groups"]
    expect(tile(page, "Runs")).to_have_text(str(total["runs"]))
    for title, outcome in (("Completed", "completed"), ("Failed", "failed")):
        expect(tile(page, title)).to_contain_text(str(total["outcomes"][outcome]))
    for group in ask(day, by="run_name")["groups"]:
        name = group["run_name"]
        row = section(page, "By name").locator("tr").filter(has=page.get_by_role("link", name=name, exact=True))
        expect(row.locator("td").first).to_have_text(str(group["runs"]))
    for reason in ask(day, "/failure-reasons")["reasons"]:
        row = section(page, "Failure reasons").locator("tr").filter(has=page.get_by_text(reason["reason"], exact=True))
        expect(row).to_contain_text(reason["job_id"])
    longest = [each["job_id"] for each in ask(day, "/longest", limit=10)["runs"]]
    assert section(page, "Longest runs").locator("tbody th").all_inner_texts() == longest
    retried = [each["job_id"] for each in ask(day, "/most-retried", limit=10)["runs"]]
    assert section(page, "Most retried").locator("tbody th").all_inner_texts() == retried

    page.get_by_text("The same as a table").first.click()
    table = page.get_by_role("table", name="Runs that ended, per hour")
    assert table.locator("thead th").all_inner_texts() == ["From", "Runs", *LABELS]
    shown = [[int(each) for each in row.locator("td").all_inner_texts()] for row in table.locator("tbody tr").all()]
    assert len(shown) == 24, "hours without runs are there, too"
    outcomes = [total["outcomes"].get(each.lower(), 0) for each in LABELS]
    assert [sum(column) for column in zip(*shown, strict=True)] == [total["runs"], *outcomes]


def test_charts_are_drawn_and_lead_into_an_hour(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics")
    chart = page.get_by_role("img", name=re.compile("^Bar chart"))
    expect(chart.locator("canvas")).to_be_visible()
    painted = page.evaluate(
        "() => new Set(document.querySelector('.chart canvas').getContext('2d')"
        ".getImageData(0, 0, 2000, 400).data).size"
    )
    assert painted > 5, "more than one color"
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 22.5 / 24, box["y"] + box["height"] / 2)
    expect(page.locator(".readout").first).to_contain_text("completed")
    page.mouse.click(box["x"] + box["width"] * 22.5 / 24, box["y"] + box["height"] / 2)
    page.wait_for_url("**/statistics?from=*")
    (begin,), (end,) = params(page)["from"], params(page)["before"]
    assert datetime.fromisoformat(end) - datetime.fromisoformat(begin) == timedelta(hours=1)
    expect(page.get_by_role("button", name="24 hours")).to_have_attribute("aria-pressed", "false")
    page.get_by_text("The same as a table").first.click()
    expect(page.get_by_role("table", name="Runs that ended, per hour").locator("tbody tr")).to_have_count(1)


def test_window_and_filters_are_in_the_url(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics")
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_role("heading", name="Outcomes per day")).to_be_visible()
    assert params(page) == {"window": ["30d"]}
    page.locator("summary", has_text="Name").click()
    page.get_by_label("quarterly close").check()
    expect(tile(page, "Runs")).to_have_text("2")
    assert params(page) == {"window": ["30d"], "name": ["quarterly close"]}
    link = section(page, "By name").locator("tbody td a").first
    expect(link).to_have_text("2")
    of_name = link.get_attribute("href")
    expect(section(page, "Longest runs").get_by_role("link", name=CLOSE)).to_have_attribute("href", f"/run/{CLOSE}")

    page.get_by_label("From", exact=True).fill("2001-01-01T00:00")
    page.get_by_label("before", exact=True).fill("2001-01-02T00:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("No run ended in this window")).to_be_visible()
    assert params(page)["from"] == ["2000-12-31T23:00:00.000Z"]
    again = open_page(page.url)
    expect(again.get_by_label("From", exact=True)).to_have_value("2001-01-01T00:00")
    again.goto(f"{day}{of_name}")
    expect(again.locator("[data-job]")).to_have_count(2)
    assert params(again) == {"name": ["quarterly close"]} | dict.fromkeys(("ended_from", "ended_before"), ANY)


def test_an_outcome_leads_to_its_runs(open_page: Open, day: str) -> None:
    name = ask(day, "/most-failing")["groups"][0]["run_name"]
    page = open_page(f"{day}/statistics?{urlencode({'name': name})}&name=quarterly+close")
    answer = ask(day, "", run_name=[name, "quarterly close"])["groups"][0]
    link = tile(page, "Failed").get_by_role("link")
    expect(link).to_have_text(str(answer["outcomes"]["failed"]))
    link.click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(answer["outcomes"]["failed"] + 1))
    assert (params(page)["status"], params(page)["name"]) == (["failed"], [name, "quarterly close"])

    page.goto(f"{day}/statistics?outcome=failed")
    failed = ask(day, "/longest", outcome="failed")["runs"]
    expect(tile(page, "Runs")).to_have_text(str(len(failed)))
    shown = section(page, "Longest runs").locator("tbody th").all_inner_texts()
    assert shown == [each["job_id"] for each in failed][:10]
    page.get_by_role("link", name="in the audit").click()
    expect(page.get_by_text(f"{len(failed)} events found")).to_be_visible()
    assert params(page)["status"] == ["failed"]


def test_a_reason_leads_to_the_runs_that_failed_for_it(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics")
    reason = max(ask(day, "/failure-reasons")["reasons"], key=lambda each: each["runs"])
    row = section(page, "Failure reasons").get_by_role("row", name=reason["reason"])
    row.get_by_role("link", name=str(reason["runs"]), exact=True).click()
    found = section(page, f"Failed: {reason['reason']}")
    expect(found.locator("tbody tr")).to_have_count(reason["runs"])
    runs = ask(day, "/longest", reason=reason["reason"])["runs"]
    assert found.locator("tbody th").all_inner_texts() == [each["job_id"] for each in runs]
    assert params(page)["reason"] == [reason["reason"]]
    found.get_by_role("link", name="All reasons").click()
    expect(found).to_have_count(0)


def test_the_runs_of_an_hour_are_a_click_away_by_when_they_ended(open_page: Open, day: str) -> None:
    hour = (datetime.now(UTC) - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    window = {"from": hour.isoformat(), "before": (hour + timedelta(hours=1)).isoformat()}
    with httpx.Client(base_url=f"{day}/api/v1/", trust_env=False) as client:
        runs = client.get("executions", params={"limit": 1000}).json()["executions"]
    ended = [
        run
        for run in runs
        if run["completed_at"] and hour <= datetime.fromisoformat(run["completed_at"]) < hour + timedelta(hours=1)
    ]
    page = open_page(f"{day}/statistics?{urlencode(window)}")
    tile(page, "Runs").get_by_role("link").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(len(ended) + 1))
    page.go_back()
    section(page, "Failure reasons").get_by_role("link", name="Every failed run").click()
    failed = [run for run in ended if run["status"] == "failed"]
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(len(failed) + 1))
    assert params(page)["status"] == ["failed"]


def test_runs_without_a_name_can_be_asked_for(open_page: Open, empty: str) -> None:
    run = {"job_id": "x", "status": "completed"}
    httpx.post(f"{empty}/api/v1/executions", json=run, trust_env=False).raise_for_status()
    wait_until_projected(empty)
    page = open_page(f"{empty}/statistics")
    section(page, "By name").get_by_role("link", name="no name").click()
    expect(tile(page, "Runs")).to_have_text("1")
    assert params(page) == {"name": [""]}


def test_html_and_script_are_text(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics")
    expect(section(page, "Failure reasons")).to_contain_text("<script>window.hacked = <n></script><b>bold</b>")
    expect(section(page, "By name")).to_contain_text("<script>window.hacked = 1</script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#app script, #app img, .list-card b").count() == 0


def test_an_error_is_told_and_can_be_tried_again(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/statistics", expected=(500,))
    broken = {"type": "urn:x", "title": "Broken", "status": 500, "detail": "The database is bad."}
    page.route("**/statistics/longest?*", lambda route: route.fulfill(status=500, json=broken))
    page.get_by_role("button", name="7 days").click()
    expect(page.get_by_role("alert")).to_contain_text("The database is bad.")
    page.unroute("**/statistics/longest?*")
    page.get_by_role("button", name="Try again").click()
    expect(tile(page, "Runs")).to_be_visible()


@pytest.mark.parametrize(("theme", "phone"), [("light", False), ("dark", True)])
def test_anybody_can_use_it(open_page: Open, day: str, theme: str, phone: bool) -> None:
    page = open_page(f"{day}/statistics", theme=theme, phone=phone)
    expect(page.locator(".chart canvas")).to_have_count(2)
    for summary in page.get_by_text("The same as a table").all():
        summary.click()
    page.locator("summary", has_text="Outcome").click()
    check(page)
