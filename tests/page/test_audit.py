"""The audit in a browser: a search is its URL, and every event says what it changed."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from execution_ledger.domain import FIELDS
from execution_ledger.infrastructure.tables import STATUSES
from execution_ledger.projections.audit import TYPES
from support.day import CLOSE, MARKUP

from .axe import check, violations
from .conftest import Open


def ask(day: str, path: str, **params: Any) -> Any:
    return httpx.get(f"{day}/api/v1/{path}", params=params, trust_env=False).raise_for_status().json()


def rows(page: Page) -> Any:
    return page.locator(".audit-table tbody tr:not(.detail)")


def query(page: Page) -> str:
    return page.evaluate("decodeURIComponent(location.search)")


def values_of(form: Any, selector: str) -> list[str]:
    return form.locator(selector).evaluate_all("found => found.map(({value}) => value)")


def test_a_search_becomes_a_link_that_finds_the_same_again(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit")
    page.get_by_label("Actor", exact=True).fill("grace")
    page.locator("summary", has_text="Event").click()
    page.get_by_label("corrected").check()
    page.get_by_label("approved", exact=True).check()
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("3 events found")).to_be_visible()
    assert query(page) == "?actor=grace&type=approved&type=corrected"
    corrected = rows(page).filter(has=page.locator(".event-name", has_text="corrected"))
    expect(corrected).to_contain_text("the total was rounded twice")
    expect(corrected.locator("del")).to_have_text("from 1187020.25")
    expect(corrected.locator("ins")).to_have_text(["to 1187000", "to rounding"])
    expect(corrected.get_by_role("link", name=CLOSE)).to_have_attribute("href", re.compile(f"^/run/{CLOSE}\\?at="))

    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link to this search copied")).to_be_visible()
    again = open_page(page.evaluate("navigator.clipboard.readText()"))
    expect(again.get_by_text("3 events found")).to_be_visible()
    expect(again.get_by_label("Actor", exact=True)).to_have_value("grace")

    again.get_by_role("button", name="Take away the filter Event: corrected").click()
    expect(again.get_by_text("2 events found")).to_be_visible()
    assert query(again) == "?actor=grace&type=approved"
    again.go_back()
    expect(again.get_by_text("3 events found")).to_be_visible()


def test_every_filter_of_the_api_is_offered_and_sent(open_page: Open, day: str) -> None:
    document = ask(day, "openapi.json")
    parameters = document["paths"]["/api/v1/audit"]["get"]["parameters"]
    offered = {each["name"] for each in parameters if each["in"] == "query"}
    page = open_page(f"{day}/audit?order=oldest")
    form = page.get_by_role("search")
    named = page.locator(".audit-form").evaluate("form => [...new Set([...form.elements].map(({name}) => name))]")
    assert {each for each in named if each} == offered - {"limit", "cursor"}
    assert values_of(form, "input[name=type]") == [each.removeprefix("execution.") for each in TYPES]
    assert sorted(values_of(form, "input[name=status]")) == sorted(STATUSES)
    assert values_of(form, "select[name=changed_field] option") == ["", *sorted(FIELDS)]

    values = {
        "Recorded from": "2020-01-01T00:00:00", "Recorded before": "2100-01-01T00:00:00",
        "Happened from": "2020-01-01T00:00:00", "Happened before": "2100-07-01T00:00:00", "Correlation id": "order-9",
        "Trace id": "a" * 32, "Position above": "1", "Position below": "99999", "Job id": "x",
    }  # fmt: skip
    for label, value in values.items():
        form.get_by_label(label, exact=True).fill(value)
    form.get_by_label("Changed field").select_option("status")
    page.get_by_label("Text in reasons").fill("ship it")
    with page.expect_request(lambda request: "/api/v1/audit?" in request.url and "ship" in request.url) as asked:
        page.keyboard.press("Enter")
    sent = httpx.URL(asked.value.url).params
    assert dict(sent) == {
        "text": "ship it", "job_id": "x", "changed_field": "status", "recorded_from": "2019-12-31T23:00:00.000Z",
        "recorded_before": "2099-12-31T23:00:00.000Z", "occurred_from": "2019-12-31T23:00:00.000Z",
        "occurred_before": "2100-06-30T22:00:00.000Z", "correlation_id": "order-9", "trace_id": "a" * 32, "after": "1",
        "before": "99999", "order": "oldest", "limit": "50",
    }  # fmt: skip
    expect(page.get_by_text("No event passes these filters")).to_be_visible()


def test_pages_lead_both_ways_and_leave_no_event_out(open_page: Open, day: str) -> None:
    size = ask(day, "ledger")["size"]
    page = open_page(f"{day}/audit")
    seen: list[list[str]] = []
    expect(rows(page).first).to_contain_text(f"{size:,}")
    while True:
        seen.append(page.locator("td.position").all_inner_texts())
        older = page.get_by_role("link", name="Older")
        if not older.count():
            break
        page.keyboard.press("]")
        expect(page.locator("td.position").first).to_have_text(f"{size - sum(map(len, seen)):,}")
    assert [each for some in seen for each in some] == [f"{position:,}" for position in range(size, 0, -1)]
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("td.position")).to_have_text(seen[-2])
    page.get_by_role("link", name="First page").click()
    expect(page.locator("td.position")).to_have_text(seen[0])


def test_size_and_root_are_those_of_the_ledger(open_page: Open, day: str) -> None:
    root = ask(day, "ledger/root")
    proof = open_page(f"{day}/audit").get_by_role("region", name="Proof")
    expect(proof).to_contain_text(f"{root['size']:,} events")
    expect(proof).to_contain_text(root["root"])


def test_refreshing_reads_events_count_and_size_again(open_page: Open, fresh: str) -> None:
    page = open_page(f"{fresh}/audit?type=created")
    root = page.locator(".proof code")
    expect(root).to_be_visible()
    before, found = root.inner_text(), ask(fresh, "audit/count", type="created")["number"]
    httpx.post(f"{fresh}/api/v1/executions", json={"job_id": "since"}, trust_env=False)
    page.get_by_role("button", name="Refresh").click()
    expect(rows(page).first).to_contain_text("since")
    expect(page.get_by_text(f"{found + 1:,} events found")).to_be_visible()
    expect(root).not_to_have_text(before)


@pytest.mark.parametrize(("label", "ending"), [("JSON Lines", "jsonl"), ("CSV", "csv"), ("Parquet", "parquet")])
def test_what_was_found_is_exported(open_page: Open, day: str, label: str, ending: str) -> None:
    page = open_page(f"{day}/audit?actor=grace&type=corrected")
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Export as {label}").click()
    assert download.value.suggested_filename == f"events.{ending}"
    content = download.value.path().read_bytes()
    if ending == "jsonl":
        (event,) = map(json.loads, content.splitlines())
        assert event["reason"] == "the total was rounded twice"
    else:
        assert b"rounded twice" in content


def test_an_export_that_the_service_refuses_does_not_lead_away(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit?after=abc", expected=(422,))
    expect(page.get_by_role("alert")).to_contain_text("after")
    page.get_by_role("link", name="Export as CSV").click()
    expect(page.locator(".toast.bad")).to_contain_text("after: Input should be a valid integer")
    assert page.url == f"{day}/audit?after=abc"


def test_an_event_shows_all_that_is_known_of_it(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit?job_id={CLOSE}&type=created")
    page.get_by_role("button", name="Details of event").click()
    detail = page.locator(".audit-detail")
    expect(detail).to_contain_text("Version of the run")
    expect(detail).to_contain_text('"dry_run": false')
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_text("event copied")).to_be_visible()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["changes"]["run_name"] == {"before": None, "after": "quarterly close"}
    detail.get_by_role("link", name="order-").click()
    expect(page.get_by_role("button", name="Take away the filter Correlation id")).to_be_visible()


def test_html_and_script_are_text(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit?order=oldest")
    page.get_by_label("Job id").fill(MARKUP)
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(6)
    for button in page.get_by_role("button", name="Details of event").all():
        button.click()
    expect(page.locator(".audit-table")).to_contain_text("<script>window.hacked = 1</script><b>bold</b>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#app script, #app img, .audit-table b").count() == 0
    assert violations(page) == []


def test_a_search_without_result_says_so(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit?actor=nobody-of-this-name")
    page.get_by_role("link", name="Clear the filters").click()
    expect(rows(page).first).to_be_visible()
    assert query(page) == ""


def test_what_the_service_refuses_names_the_field_and_the_remedy(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit?trace_id=7", expected=(422, 500))
    expect(page.get_by_role("alert")).to_contain_text("trace_id")
    assert page.get_by_role("alert").inner_text().count("Send 32 lower-case hexadecimal digits") == 1
    expect(page.get_by_label("Trace id", exact=True)).to_have_attribute("aria-invalid", "true")
    broken = {"type": "urn:x", "title": "Broken", "status": 500, "detail": "The database is bad.", "remedy": "Wait."}
    page.route("**/api/v1/audit?*", lambda route: route.fulfill(status=500, json=broken))
    page.get_by_role("button", name="Take away the filter Trace id").click()
    expect(page.get_by_role("alert")).to_contain_text("The database is bad. Wait.")
    check(page)
    page.unroute("**/api/v1/audit?*")
    page.get_by_role("button", name="Try again").click()
    expect(rows(page).first).to_be_visible()


@pytest.mark.parametrize(("theme", "phone"), [("light", False), ("dark", True)])
def test_anybody_can_use_it(open_page: Open, day: str, theme: str, phone: bool) -> None:
    page = open_page(f"{day}/audit?job_id={CLOSE}&recorded_from=2020-01-01T00:00:00Z", theme=theme, phone=phone)
    page.get_by_role("button", name="Details of event").first.click()
    expect(page.locator(".audit-detail")).to_be_visible()
    check(page)
    cells = page.locator(".audit-table tbody tr").first.locator("td")
    tops = {round(box["y"]) for box in (cell.bounding_box() for cell in cells.all()) if box is not None}
    assert (len(tops) > 1) is phone, "a card on a phone, a row elsewhere"
    page.locator("summary", has_text="Event").click()
    check(page)
