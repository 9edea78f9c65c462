"""What auditors and operators look at."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import expect

from support.day import CLOSE

from .conftest import Open

Api = Callable[[str], httpx.Client]


def test_an_audit_search_is_a_link_with_what_changed(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/audit")
    page.get_by_label("Text").fill("rounded twice")
    page.get_by_role("button", name="Search").click()
    row = page.get_by_role("row", name=re.compile("corrected"))
    expect(row).to_contain_text("grace")
    expect(row).to_contain_text("the total was rounded twice")
    expect(row.locator("del").first).to_contain_text("1187020.25")
    expect(row.locator("ins").first).to_contain_text("1187000")
    expect(page).to_have_url(re.compile("text=rounded"))
    page.get_by_role("button", name="Link").click()
    expect(page.get_by_text("link copied")).to_be_visible()
    saved = page.evaluate("navigator.clipboard.readText()")
    again = open_page(saved)
    expect(again.get_by_role("row", name=re.compile("corrected"))).to_have_count(1)
    again.get_by_role("link", name=CLOSE).click()
    expect(again.get_by_role("heading", name="quarterly close")).to_be_visible()


def test_every_filter_of_the_audit_is_there_and_pages_turn_both_ways(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/audit?order=oldest")
    first = page.locator(".audit-table tbody tr td").first
    expect(first).to_have_text("1")
    page.get_by_role("button", name="Next").click()
    expect(first).to_have_text("51")
    page.get_by_role("button", name="Previous").click()
    expect(first).to_have_text("1")
    page.get_by_role("button", name="More filters").click()
    document = api(day).get("openapi.json").json()
    parameters = document["paths"]["/api/v1/audit"]["get"]["parameters"]
    names = {each["name"] for each in parameters if each["in"] == "query"} - {"limit", "cursor"}
    shown = page.evaluate("[...document.querySelectorAll('.audit-form [name]')].map((each) => each.name)")
    assert set(shown) == names
    page.get_by_label("Reached status").select_option("Failed")
    page.get_by_label("Who").fill("worker")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile("status=failed"))
    count = api(day).get("audit/count", params={"status": "failed", "actor": "worker"}).json()["number"]
    expect(page.locator(".page-head [role=status]").first).to_contain_text(f"{count} events")


def test_the_audit_is_taken_away_as_files_and_the_root_is_shown(
    open_page: Open, day: str, api: Api, tmp_path: Path
) -> None:
    page = open_page(f"{day}/audit?type=corrected")
    root = api(day).get("ledger/root").json()
    expect(page.locator(".proof")).to_contain_text(root["root"])
    expect(page.locator(".proof")).to_contain_text(f"{root['size']:,} events")
    for name, read in (("JSON lines", json.loads), ("CSV", lambda text: next(csv.DictReader(text.splitlines())))):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert read(path.read_text())["job_id"] == CLOSE
    assert page.get_by_role("link", name="Parquet").get_attribute("href") == (
        "/api/v1/audit/export?type=corrected&format=parquet"
    )


def test_statistics_count_what_the_service_counts_and_lead_to_the_runs(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/statistics?last=7d")
    window = {"ended_from": "2020-01-01", "ended_before": "2100-01-01"}
    (told,) = api(day).get("statistics", params=window).json()["groups"]
    expect(page.locator(".tile").first).to_contain_text(str(told["runs"]))
    expect(page.locator(".chart canvas")).to_have_count(2)
    expect(page.get_by_role("region", name="Why runs failed, as a table")).to_contain_text("refused the connection")
    page.get_by_text("The charts as a table").click()
    expect(page.get_by_role("region", name="Outcomes and durations").get_by_role("row").nth(1)).to_be_visible()
    page.get_by_role("group", name="How far back").get_by_role("button", name="24h").click()
    expect(page).not_to_have_url(re.compile("last"))
    longest = page.get_by_role("region", name="Longest, as a table").get_by_role("link").first
    expect(longest).to_have_text("quarterly close")
    longest.click()
    expect(page).to_have_url(re.compile("/run/close-"))
    page.go_back()
    page.get_by_role("link", name=re.compile("failed runs of this time")).first.click()
    expect(page.locator('[data-job][data-status="failed"]').first).to_be_visible()
    page.go_back()
    chart = page.locator(".chart .u-over").first
    expect(chart).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.8)
    expect(page.get_by_role("heading", name="Lanes")).to_be_visible()


def test_health_tells_of_projections_writer_feed_and_verification(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/health")
    table = page.get_by_role("region", name="Projections, as a table")
    size = f"{api(day).get('ledger').json()['size']:,}"
    for name in ("run_statistics", "execution_snapshots", "execution_time_marks"):
        row = table.get_by_role("row", name=re.compile(name))
        expect(row).to_contain_text("Up to date")
        expect(row).to_contain_text(size)
    for tile in ("Writer queue", "Feed", "Up since"):
        expect(page.locator(".tile", has_text=tile)).to_be_visible()
    verified = page.locator(".tile", has_text="Last verification")
    expect(verified).to_contain_text(re.compile(r"\d runs folded again, 0 differences"))
