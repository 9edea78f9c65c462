"""The list of runs: live, filtered by its URL, and steady under the reader's eyes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from support.day import CLOSE, RUNNING

from .axe import WIDE, check
from .conftest import Open

Api = Callable[[str], httpx.Client]


def rows(page: Page) -> list[str]:
    """The job ids of the rows in the document, in order."""
    return page.evaluate("[...document.querySelectorAll('[data-job]')].map((row) => row.dataset.job)")


@pytest.mark.parametrize("service", ["fresh", "on_postgresql"])
def test_runs_appear_and_change_while_one_looks(
    open_page: Open, api: Api, service: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(service)
    page, client = open_page(address), api(address)
    expect(page.get_by_text("Live")).to_be_visible()
    all_runs = page.get_by_role("button", name=re.compile("^All "))
    count = client.get("ledger").json()["executions"]
    expect(all_runs).to_have_text(f"All {count}")
    client.post("executions", json={"job_id": "new-run", "run_name": "just now"}, headers={"X-Actor": "ada"})
    row = page.locator('[data-job="new-run"]')
    expect(row).to_contain_text("just now")
    expect(row).to_contain_text("Pending")
    expect(row).to_contain_text("ada")
    assert rows(page)[0] == "new-run"
    expect(all_runs).to_have_text(f"All {count + 1}")
    client.post("executions/new-run/start")
    expect(row).to_contain_text("Running")
    client.post("executions/new-run/progress", json={"progress": 0.4})
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "0.4")
    client.post("executions/new-run/fail", json={"error": "no more rows"})
    expect(row).to_contain_text("Failed")
    expect(row).to_contain_text("no more rows")


def test_filters_live_in_the_url(open_page: Open, day: str) -> None:
    page = open_page(day)
    page.get_by_role("button", name=re.compile("^Failed")).click()
    expect(page).to_have_url(f"{day}/?status=failed")
    expect(page.locator(".run-row[data-status]").first).to_be_visible()
    expect(page.locator('.run-row[data-job]:not([data-status="failed"])')).to_have_count(0)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Attributes").fill("team=finance")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("attribute=team%3Dfinance"))
    again = open_page(page.url)
    expect(again.get_by_role("button", name=re.compile("^Failed"))).to_have_attribute("aria-pressed", "true")
    expect(again.get_by_role("button", name="Filters 1")).to_be_visible()
    expect(again.locator("[data-job]").first).to_be_visible()
    assert rows(again) == rows(page)
    page.get_by_role("button", name=re.compile("^All")).click()
    expect(page).not_to_have_url(re.compile("status"))


def test_runs_are_found_by_when_they_ended_and_come_as_they_end(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    times = {"created_at": "2020-02-01T00:00:00Z", "completed_at": "2020-02-03T12:00:00Z"}
    client.post("executions", json={"job_id": "long-ago", "status": "failed", **times}).raise_for_status()
    client.post("executions", json={"job_id": "to-end", "status": "running"}).raise_for_status()
    page = open_page(fresh)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Ended from").fill("2020-02-03T13:00:00")
    page.get_by_label("Ended before").fill("2020-02-03T13:00:01")
    check(page)
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[data-job]")).to_have_count(1)
    assert rows(page) == ["long-ago"]
    expect(page.get_by_role("button", name="Filters 2")).to_be_visible()
    assert "ended_from=2020-02-03T12%3A00%3A00.000Z" in page.url, "Berlin is an hour ahead"
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("button", name="Clear").click()
    expect(page).to_have_url(f"{fresh}/")
    soon = (datetime.now(UTC) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    page = open_page(f"{fresh}/?ended_from={soon}")
    expect(page.get_by_text("No run passes these filters")).to_be_visible()
    expect(page.get_by_text("Live")).to_be_visible()
    client.post("executions/to-end/complete", json={}).raise_for_status()
    expect(page.locator('[data-job="to-end"]')).to_contain_text("Completed")


def test_a_search_finds_while_it_is_typed(open_page: Open, day: str) -> None:
    page = open_page(day)
    expect(page.get_by_role("table")).to_be_visible()
    page.keyboard.press("/")
    search = page.get_by_role("searchbox")
    expect(search).to_be_focused()
    search.press_sequentially("quarterly c")
    expect(page.locator("[data-job]")).to_have_count(2)
    assert rows(page)[0] == CLOSE
    expect(page).to_have_url(re.compile("q=quarterly"))
    search.fill("close-2025-q4-")
    expect(page.locator("[data-job]")).to_have_count(3)
    search.fill("nothing begins so")
    expect(page.get_by_text("No run passes these filters")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()
    expect(page.get_by_role("table")).to_be_visible()


def test_a_bad_time_in_the_url_is_told_and_can_be_changed(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?from=abc&before=2026-13-77", expected=(422,))
    alert = page.locator(".state.failure")
    expect(alert).to_contain_text("'abc' is not a time")
    assert alert.inner_text().count("Use ISO 8601") == 1
    page.get_by_role("button", name="Filters 2").click()
    expect(page.get_by_label("Created from")).to_have_value("")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("[data-job]").first).to_be_visible()
    expect(page).to_have_url(f"{day}/")


def test_attributes_are_asked_for_as_they_are_written(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    for job_id, version in (("text", "1.0"), ("number", 1.0), ("word", "true"), ("comma", "a,b")):
        client.post("executions", json={"job_id": job_id, "attributes": {"release": version}})
    page = open_page(f"{fresh}/?attribute=finance", expected=(422,))
    expect(page.locator(".state.failure")).to_contain_text("attributes")
    expect(page.get_by_text("In the whole ledger:")).to_be_visible()
    page.get_by_role("button", name="Filters").click()
    for text, found in (('release="1.0"', "text"), ("release=1.0", "number"), ('release="true"', "word"),
                        ('release="a,b"', "comma")):  # fmt: skip
        field = page.get_by_label("Attributes")
        field.fill("release")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_role("form").get_by_role("alert")).to_contain_text(
            "“release” has no value. Write release=value."
        )
        expect(field).to_have_attribute("aria-invalid", "true")
        check(page)
        field.fill(text)
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("[data-job]")).to_have_count(1)
        assert rows(page) == [found]
        page.get_by_role("button", name="Filters").click()
        expect(page.get_by_label("Attributes")).to_have_value(text)


def test_a_search_that_finds_nothing_says_that_case_counts(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?q=Quarterly")
    expect(page.get_by_text("upper and lower case count")).to_be_visible()


def test_runs_that_leave_a_status_leave_the_list_of_it(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(f"{fresh}/?status=running"), api(fresh)
    expect(page.locator(f'[data-job="{RUNNING}"]')).to_be_visible()
    expect(page.get_by_text("Live")).to_be_visible()
    client.post(f"executions/{RUNNING}/complete", json={"result": {}})
    expect(page.locator(f'[data-job="{RUNNING}"]')).to_have_count(0)


def test_what_passes_no_filter_is_not_counted_as_new(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(f"{fresh}/?status=completed&q=customer"), api(fresh)
    expect(page.get_by_text("Live")).to_be_visible()
    page.locator(".virtual").evaluate("(list) => list.scrollTo(0, 400)")
    page.wait_for_function("() => document.querySelector('.virtual').scrollTop === 400")
    for job_id in ("unrelated", "customer-new"):
        client.post("executions", json={"job_id": job_id})
        client.post(f"executions/{job_id}/start")
        client.post(f"executions/{job_id}/complete", json={"result": {}})
    button = page.locator(".arrived")
    expect(button).to_have_text("Refresh")
    button.click()
    expect(page.locator('[data-job="customer-new"]')).to_be_visible()
    expect(button).to_have_count(0)
    assert "unrelated" not in rows(page)


def test_a_phone_tells_who_and_why_too(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?status=failed", phone=True)
    row = page.locator("[data-job]").nth(1)
    for part in (".run-who", ".run-progress"):
        expect(row.locator(part)).to_be_visible()
        assert re.search(r"\w", row.locator(part).inner_text())
    page.set_viewport_size(WIDE)
    error = row.locator(".run-progress .clip")
    expect(error).to_be_visible()
    assert error.evaluate("(element) => element.scrollWidth <= element.clientWidth"), "there is room for it"


def test_what_is_read_stays_where_it_is_while_runs_arrive(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(fresh), api(fresh)
    expect(page.get_by_text("Live")).to_be_visible()
    page.locator(".virtual").evaluate("(list) => list.scrollTo(0, 1200)")
    expect(page.locator("[data-job]").nth(5)).to_be_visible()
    place = """() => { const list = document.querySelector('.virtual').getBoundingClientRect();
        const row = [...document.querySelectorAll('[data-job]')].find(
            (each) => each.getBoundingClientRect().top >= list.top);
        return row && [row.dataset.job, row.getBoundingClientRect().top]; }"""
    page.wait_for_function("() => document.querySelector('.virtual').scrollTop === 1200")
    page.wait_for_function(place)  # the rows there are drawn
    before = page.evaluate(place)
    for number in range(3):
        client.post("executions", json={"job_id": f"arrived-{number}"})
    button = page.get_by_role("button", name="3 new runs")
    expect(button).to_be_visible()
    assert page.evaluate(place) == before
    button.click()
    expect(page.locator('[data-job="arrived-2"]')).to_be_visible()
    assert rows(page)[:3] == ["arrived-2", "arrived-1", "arrived-0"]


def test_whoever_scrolls_up_again_sees_what_arrived(open_page: Open, api: Api, fresh: str) -> None:
    page, client = open_page(fresh), api(fresh)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.locator("[data-job]").first).to_be_visible()
    page.locator(".virtual").evaluate("(list) => list.scrollTo(0, 1500)")
    page.wait_for_function("() => document.querySelector('.virtual').scrollTop === 1500")
    client.post("executions", json={"job_id": "arrived"})
    expect(page.get_by_role("button", name="1 new run")).to_be_visible()
    page.wait_for_timeout(800)  # longer than a list waits for more of it
    page.locator(".virtual").evaluate("(list) => list.scrollTo(0, 0)")
    expect(page.locator('[data-job="arrived"]')).to_be_visible()


def test_scrolling_reads_on_to_the_last_run_without_a_gap(open_page: Open, api: Api, day: str) -> None:
    page = open_page(day)
    expect(page.get_by_role("table")).to_be_visible()
    known = api(day).get("executions", params={"limit": 1000}).json()["executions"]
    seen: list[str] = []
    for _ in range(200):
        seen += [each for each in rows(page) if each not in seen]
        if seen[-1] == known[-1]["job_id"]:
            break
        page.locator(".virtual").evaluate("(list) => list.scrollBy(0, 500)")
        page.wait_for_function(
            "(last) => [...document.querySelectorAll('[data-job]')].at(-1).dataset.job !== last", arg=seen[-1]
        )
    assert seen == [each["job_id"] for each in known]
    assert len(rows(page)) < 60, "only those in sight are in the document"


def test_the_keyboard_walks_the_list_and_opens_a_run(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?q=close-2026")
    expect(page.locator("[data-job]")).to_have_count(4)
    ids = rows(page)
    page.keyboard.press("j")
    expect(page.locator(f'[data-job="{ids[0]}"] a')).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(page.locator(f'[data-job="{ids[2]}"] a')).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(f'[data-job="{ids[1]}"] a')).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{day}/run/{ids[1]}")
    expect(page.locator(".run-title")).to_be_visible()  # else nobody hears the key yet
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page).to_have_url(f"{day}/?q=close-2026")


def test_whoever_comes_back_finds_the_list_where_they_left_it(open_page: Open, day: str) -> None:
    page = open_page(day)
    expect(page.locator("[data-job]").first).to_be_visible()
    page.wait_for_function(
        """() => { const list = document.querySelector('.virtual');
        list.scrollTop = 9000; // where there are so many rows yet
        return list.scrollTop === 9000; }"""
    )
    job = page.wait_for_function(
        "() => document.elementFromPoint(300, 500)?.closest('[data-job]')?.dataset.job"
    ).json_value()
    for way in ("back", "escape"):
        page.locator(f'[data-job="{job}"] a').click()
        expect(page).to_have_url(re.compile(f"/run/{job}$"))
        expect(page.locator(".run-title")).to_be_visible()
        if way == "back":
            page.go_back()
        else:
            page.keyboard.press("Escape")
        expect(page.locator(f'[data-job="{job}"]')).to_be_in_viewport()
        assert page.locator(".virtual").evaluate("(list) => list.scrollTop") == 9000
    page.get_by_role("link", name="Lanes").click()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.locator("[data-job]").first).to_be_in_viewport()
    assert page.locator(".virtual").evaluate("(list) => list.scrollTop") == 0


def test_filters_by_time_are_applied_on_a_low_screen_and_stay_exact(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?from=2026-10-25T01:30:00.750Z&before=2099-01-01T00:00:00Z")
    page.set_viewport_size({"width": 1280, "height": 600})
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Created before").fill("20999-01-01T00:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_label("Created before")).to_be_focused()  # the browser says what is wrong with it
    page.get_by_label("Created before").fill("2099-02-01T00:00")
    page.get_by_role("button", name="Apply").click()
    # At half past two that night it might as well have been an hour earlier.
    expect(page).to_have_url(re.compile(r"from=2026-10-25T01%3A30%3A00.750Z&before=2099-01-31T23%3A00%3A00.000Z$"))


def test_a_run_of_another_year_tells_which(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/audit")
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=370))
    page.goto(day)
    expect(page.locator(".run-when time").first).to_have_text(re.compile(r"^\d\d \w+ \d{4}, \d\d:\d\d$"))
    for width in (1440, 1024, 768, 390):
        page.set_viewport_size({"width": width, "height": 768})
        fits = "(cells) => cells.every((cell) => cell.scrollWidth <= cell.clientWidth)"
        assert page.locator(".run-when").evaluate_all(fits)
