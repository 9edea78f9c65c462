"""One run: its timeline, any moment of it, what changed and why, and others beside it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Response, expect

from execution_ledger.domain import Create, FinishStep, Note, StartStep, Update
from execution_ledger.infrastructure import GroupWriter, Request, Settings
from support.day import CLOSE, CLOSE_BEFORE, MARKUP, RUNNING
from support.http_service import running

from .axe import check
from .conftest import Open

Api = Callable[[str], httpx.Client]


def field(page: Page, name: str) -> Locator:
    return page.locator(".field-row", has=page.locator("dt", has_text=re.compile(f"^{name}$")))


def test_the_timeline_tells_statuses_and_steps(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    chart = page.locator(".gantt canvas")
    expect(chart).to_have_attribute("aria-label", re.compile("Pending.*Running.*Needs approval.*13 steps, failed: us"))
    expect(page.get_by_text("13 steps")).to_be_visible()
    page.wait_for_function("""() => {
        const canvas = document.querySelector('.gantt canvas');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const colors = new Set();
        for (let at = 0; at < data.length; at += 40) colors.add(data[at] + ' ' + data[at + 1] + ' ' + data[at + 2]);
        return colors.size > 6;
    }""")
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] * 0.4, "y": 26 + 30 + 12})
    expect(page.locator(".tip")).to_contain_text("collect")
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Whole run").click()


@pytest.fixture(scope="module")
def rich(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service over two runs with more steps than a page of spans holds; one still runs."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('rich') / 'ledger.db')}"

    async def write() -> None:
        async with GroupWriter(url) as writer:

            async def tell(job: str, *commands: Any) -> None:
                report = await writer.execute_many(Request("default", job, each) for each in commands)
                assert report.done == len(commands)

            def steps(number: int) -> Iterator[Any]:
                for at in range(number):
                    yield StartStep.of(f"s{at}", parent_step_id="all")
                    yield FinishStep.of(f"s{at}")

            for job in ("live", "over"):
                await writer.execute(Request("default", job, Create.of({"job_id": job})))
                await tell(job, Update.of({"status": "running"}), StartStep.of("all"))
            await tell("live", *steps(5_100))
            await tell("over", *(StartStep.of(f"s{at}") for at in range(20_100)))
            await tell("over", FinishStep.of("all", "failed", error="one was bad"), Update.of({"status": "completed"}))

    with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop in this thread
        elsewhere.submit(lambda: asyncio.run(write())).result()
    with running(Settings(database_url=url, log_level="warning")) as address:
        yield address


def test_a_run_rich_in_steps_is_told_to_its_end(open_page: Open, rich: str) -> None:
    page = open_page(f"{rich}/run/over")
    chart = page.locator(".gantt canvas")
    told = re.compile(r"^Pending .*, then Running .*, then Completed \. The first 20,000 steps, failed: all\.$")
    expect(chart).to_have_attribute("aria-label", told)
    expect(page.get_by_text("The first 20,000 steps", exact=True)).to_be_visible()


def test_only_what_was_added_is_read_again(open_page: Open, rich: str, api: Api) -> None:
    page, client = open_page(f"{rich}/run/live"), api(rich)
    chart = page.locator(".gantt canvas")
    expect(chart).to_have_attribute("aria-label", re.compile(r"Running \. 5,101 steps\.$"))
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if "/spans" in answer.url else None)
    for number in range(3):
        client.post("executions/live/notes", json={"text": f"line {number}"})
        expect(page.get_by_role("list", name="Events")).to_contain_text(f"line {number}")
    for path, body in (
        ("steps", {"step_id": "more", "parent_step_id": "all"}),
        ("steps/more/finish", {"outcome": "failed", "error": "e"}),
        ("steps/all/finish", {"outcome": "failed"}),
        ("complete", {}),
    ):
        assert client.post(f"executions/live/{path}", json=body).is_success
    label = re.compile(r"Running [\d.]+ m?s, then Completed \. 5,102 steps, failed: all, more\.")
    expect(chart).to_have_attribute("aria-label", label)
    sizes = [len(each.body()) for each in answers]
    assert len(sizes) >= 2
    assert max(sizes) < 2_000, sizes


def test_the_timeline_of_a_running_run_grows(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    client.post("executions", json={"job_id": "short", "status": "running"})
    page = open_page(f"{fresh}/run/short")
    expect(page.locator(".gantt canvas")).to_have_attribute("aria-label", re.compile("Running"))
    page.wait_for_timeout(500)
    image = "document.querySelector('.gantt canvas').toDataURL()"
    before = page.evaluate(image)
    page.wait_for_function(f"(before) => {image} !== before", arg=before, timeout=5_000)
    client.post("executions/short/complete", json={})
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "completed")
    page.wait_for_timeout(1_500)
    before = page.evaluate(image)
    page.wait_for_timeout(1_500)
    assert page.evaluate(image) == before


def test_the_last_status_is_whole_on_a_phone(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE_BEFORE}", phone=True)
    expect(page.locator(".gantt canvas")).to_have_attribute("aria-label", re.compile("Completed"))
    page.wait_for_timeout(200)
    block, margin = page.locator(".gantt canvas").evaluate("""(canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 38, canvas.width, 1);
        const color = (x) => data.slice(4 * x, 4 * x + 4).join();
        let right = canvas.width - 1;
        while (color(right) === '0,0,0,0') right -= 1;
        let left = right - 3; // in front of the rounded edge
        while (color(left - 1) === color(right - 3)) left -= 1;
        return [right - left, canvas.width - 1 - right];
    }""")
    assert block >= 9
    assert margin >= 1


def test_a_tap_on_the_timeline_tells_and_a_second_one_goes_there(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}", phone=True)
    chart, tip = page.locator(".gantt canvas"), page.locator(".tip")
    expect(chart).to_have_attribute("aria-label", re.compile("13 steps"))
    page.wait_for_timeout(200)
    chart.tap(position={"x": 150, "y": 26 + 30 + 12})
    expect(tip).to_contain_text("collect")
    expect(page.get_by_text("as it was")).to_have_count(0)
    chart.tap(position={"x": 170, "y": 26 + 30 + 24 + 12})
    expect(tip).to_contain_text("de")
    expect(page.get_by_text("as it was")).to_have_count(0)
    chart.tap(position={"x": 170, "y": 26 + 30 + 24 + 12})
    expect(page.get_by_text("as it was")).to_be_visible()


def strip(page: Page) -> list[str]:
    """The row of pixels that notes stand on."""
    return page.locator(".gantt canvas").evaluate("""(canvas) => {
        const ratio = canvas.width / canvas.clientWidth;
        const copy = new OffscreenCanvas(canvas.width, 1).getContext('2d');
        copy.drawImage(canvas, 0, -Math.round(51 * ratio));
        const { data } = copy.getImageData(0, 0, canvas.width, 1);
        return Array.from({ length: canvas.width }, (_, x) => data.slice(4 * x, 4 * x + 4).join());
    }""")


def marks(before: list[str], after: list[str]) -> int:
    """Groups of pixels beside each other that differ."""
    differs = [a != b for a, b in zip(before, after, strict=True)]
    return sum(now and not earlier for earlier, now in itertools.pairwise([False, *differs]))


def test_notes_are_drawn_and_told_by_pointer_and_keyboard(open_page: Open, day: str, api: Api) -> None:
    asked = {"job_id": CLOSE, "type": "noted", "order": "oldest"}
    notes = [each["data"]["text"] for each in api(day).get("events", params=asked).json()["events"]]
    page = open_page(f"{day}/run/{CLOSE}?at=1")
    expect(page.get_by_text(f"13 steps, {len(notes)} notes")).to_be_visible()
    expect(page.locator(".run-title")).to_contain_text("as it was at event 1")
    page.wait_for_timeout(100)
    none = strip(page)
    page.keyboard.press("n")
    expect(page.locator(".tip")).to_have_count(0)  # there was no note yet
    page.keyboard.press("End")
    expect(page.locator(".run-title")).not_to_contain_text("as it was")
    page.wait_for_timeout(100)
    assert len(notes) <= marks(none, strip(page)) <= len(notes) + 1, "and the line of the moment"

    tip, told = page.locator(".tip"), page.locator(".gantt > [role=status]")
    title = page.locator(".tip > b")
    for note in notes[:3]:
        page.keyboard.press("n")
        expect(title).to_have_text(note)
        expect(tip).to_contain_text("stdout · info")
        expect(told).to_contain_text(note)
    page.keyboard.press("Shift+N")
    expect(title).to_have_text(notes[1])
    page.keyboard.press("Escape")
    expect(tip).to_have_count(0)
    expect(page.locator(".run-title")).to_be_visible()
    page.keyboard.press("Shift+N")
    expect(title).to_have_text(notes[-1])
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    for note in notes[-2::-1]:  # out of sight, most of them
        page.keyboard.press("Shift+N")
        expect(title).to_have_text(note)

    page.get_by_role("button", name="Whole run").click()
    box = page.locator(".gantt canvas").bounding_box()
    assert box is not None
    seen = []
    for x in range(210, int(box["width"]), 5):
        page.mouse.move(box["x"] + x, box["y"] + 51)
        if tip.count() and "stdout" in tip.inner_text():
            seen.append(title.inner_text())
    assert [text for text, _ in itertools.groupby(seen)] == notes


@pytest.mark.soak  # 20,000 notes take a browser half a minute beside others
def test_many_notes_are_one_mark_and_a_bound_is_told(open_page: Open, sqlite_template: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.db')}"

    async def write() -> None:
        async with GroupWriter(url) as writer:
            await writer.execute(Request("default", "loud", Create.of({"job_id": "loud", "status": "running"})))
            levels = ("info", *["error"] * 2, *["info"] * 20_098)
            notes = (Note.of(f"line {number}", level=level) for number, level in enumerate(levels))
            report = await writer.execute_many(Request("default", "loud", note) for note in notes)
            assert report.done == 20_101
            await writer.execute(Request("default", "loud", Update.of({"status": "completed"})))

    with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop in this thread
        elsewhere.submit(lambda: asyncio.run(write())).result()
    with running(Settings(database_url=url, log_level="warning")) as address:
        page = open_page(f"{address}/run/loud")
        expect(page.get_by_role("note")).to_have_text("There are more notes: only the first 20,000 are drawn.")
        expect(page.get_by_text("No steps, 20,000 notes")).to_be_visible()
        page.keyboard.press("n")
        tip, told = page.locator(".tip"), page.locator(".gantt > [role=status]")
        expect(tip).to_contain_text(re.compile(r"^[\d,]+ notes"))
        expect(tip).to_contain_text("line 1line 2line 0and")
        expect(tip).to_contain_text("Somebody noted “line 1”")
        total = 0
        while True:
            before, title = told.inner_text(), page.locator(".tip > b").inner_text()
            total += int(title.removesuffix(" notes").replace(",", "")) if title.endswith(" notes") else 1
            if total >= 20_000:
                break
            page.keyboard.press("n")
            expect(told).not_to_have_text(before, use_inner_text=True)
        assert total == 20_000
        check(page)


def test_the_slider_shows_the_whole_page_as_it_was(open_page: Open, day: str, api: Api) -> None:
    page, client = open_page(f"{day}/run/{CLOSE}"), api(day)
    expect(page.locator(".run-title")).to_contain_text("Completed")
    last = client.get(f"executions/{CLOSE}").json()["version"]
    for version in (1, 3, 40, last - 1):
        was = client.get(f"executions/{CLOSE}", params={"version": version}).json()
        page.locator(".player-slider").fill(str(version))
        expect(page.locator(".run-title")).to_contain_text(f"as it was at event {version}")
        expect(page.locator(".run-title .status")).to_have_attribute("data-status", was["status"])
        expect(page).to_have_url(re.compile(f"at={version}"))
        expect(page.locator('[aria-current="true"]')).to_contain_text(str(version))
        for name in ("result", "progress", "message"):
            expect(field(page, name)).to_have_count(int(was[name] is not None))
    page.get_by_role("button", name="Now").click()
    expect(page.get_by_text("as it was")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("at="))


_PRESS_AT_ONCE = """new MutationObserver((_, observer) => {
    if (!document.querySelector('.run-title')?.textContent.includes('event 3')) return;
    observer.disconnect();
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
}).observe(document, {childList: true, subtree: true, characterData: true})"""


def test_a_key_counts_from_the_first_sight_on(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/health")
    page.add_init_script(_PRESS_AT_ONCE)
    page.goto(f"{day}/run/{CLOSE}?at=3")
    expect(page.locator(".run-title")).to_contain_text("as it was at event 4")


def test_the_keyboard_steps_and_a_link_shows_the_same_moment(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?at=3")
    title = page.locator(".run-title")
    expect(title).to_contain_text("as it was at event 3")
    for key, version in (("ArrowRight", 4), ("j", 5), ("ArrowLeft", 4), ("k", 3), ("Home", 1)):
        page.keyboard.press(key)
        expect(title).to_contain_text(f"as it was at event {version}")
    page.keyboard.press("End")
    expect(title).not_to_contain_text("as it was")
    page.keyboard.press("ArrowLeft")
    expect(title).to_contain_text("as it was")
    page.keyboard.press("Escape")
    expect(title).not_to_contain_text("as it was")


def test_it_plays_to_its_end(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/score-invoices-nobody", expected=(404,))
    page.goto(f"{day}/run/{CLOSE}-de")
    expect(page.get_by_role("heading", name="collect de")).to_be_visible()
    page.get_by_label("Speed").select_option("100")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".run-title")).to_contain_text("as it was at event 2")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.locator(".run-title")).not_to_contain_text("as it was")


def test_playing_leaves_the_urls_of_other_views_alone(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    expect(page.locator(".run-title")).to_contain_text("Completed")
    page.get_by_label("Speed").select_option("1")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_text("as it was at event")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_url(re.compile(r"[?&]at=\d+$"))
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Health").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Health")
    page.wait_for_timeout(200)
    assert page.url == f"{day}/health"


def test_escape_leads_back_to_the_list_as_it_was_filtered(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?status=failed")
    page.locator(".run-link").first.click()
    expect(page.locator(".run-title")).to_contain_text("Failed")
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{day}/?status=failed")


@pytest.mark.parametrize("job", [".", "..", "=.."])
def test_a_run_called_by_dots_is_shown(open_page: Open, fresh: str, api: Api, job: str) -> None:
    answer = api(fresh).post("executions", json={"job_id": job, "run_name": "dotted", "status": "running"})
    assert httpx.get(fresh + answer.headers["location"], trust_env=False).json()["job_id"] == job
    page = open_page(fresh)
    page.get_by_role("link", name="dotted").click()
    expect(page.locator(".run-facts")).to_contain_text(f"Job{job}")
    page.reload()
    expect(page.locator(".run-facts")).to_contain_text(f"Job{job}")
    page.get_by_role("button", name="Why is job so?").click()
    expect(page.locator(".why")).to_contain_text("set this")
    page.get_by_role("button", name="Note", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.locator("textarea").fill("it has a path")
    dialog.get_by_label("Why").fill("to try it")
    dialog.get_by_role("button", name="Note").click()
    expect(page.get_by_role("list", name="Events")).to_contain_text("it has a path")
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("as curl copied")).to_be_visible()
    (told,) = re.findall(r"'(.*)'", page.evaluate("navigator.clipboard.readText()"))
    assert httpx.get(told, trust_env=False).json()["job_id"] == job


def test_an_event_tells_who_when_why_and_what_it_changed(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    expect(page.get_by_role("list", name="Events")).to_contain_text("corrected")
    page.get_by_role("button", name=re.compile("corrected")).click()
    page.get_by_role("tab", name="This event").click()
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("grace")
    expect(panel).to_contain_text("the total was rounded twice")
    row = panel.get_by_role("row", name=re.compile("result.total"))
    expect(row.locator("del")).to_have_text("before: 1187020.25")
    expect(row.locator("ins")).to_have_text("after: 1187000")
    panel.get_by_text("As recorded").click()
    expect(panel.locator("pre")).to_contain_text('"note": "rounding"')


def test_any_value_tells_why_it_is_so(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    page.get_by_role("button", name="Why is result so?").click()
    why = page.locator(".why")
    expect(why).to_contain_text("grace set this")
    expect(why).to_contain_text("because “the total was rounded twice”")
    page.keyboard.press("Escape")
    expect(why).to_have_count(0)
    page.get_by_role("button", name="Why is message so?").hover()
    expect(why).to_contain_text("worker-2 set this")
    why.get_by_role("button").click()
    expect(page.locator(".run-title")).to_contain_text("as it was at event")


def test_a_value_tells_why_wherever_it_is_touched(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    why = page.locator(".why")
    field(page, "message").locator(".field-value").click()
    expect(why).to_contain_text("worker-2 set this")
    field(page, "message").locator(".field-value").click()
    expect(why).to_have_count(0)
    field(page, "result").locator("dt").hover()
    expect(why).to_contain_text("grace set this")
    page.mouse.move(0, 0)
    expect(why).to_have_count(0)
    for fact in ("Created by", "Attempt"):
        page.locator(".run-facts").get_by_text(fact).hover()
        expect(why).to_have_count(1)
        expect(why).to_contain_text("grace set this")
    page.mouse.move(0, 0)
    expect(why).to_have_count(0)
    page.locator(".run-title .status").click()
    expect(why).to_contain_text("worker-2 set this")
    page.keyboard.press("Escape")
    expect(why).to_have_count(0)
    expect(page.locator(".run-title")).to_be_visible()


def test_job_name_and_duration_tell_why_too(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    begun = {"X-Actor": "ada", "X-Reason": "the month is over"}
    client.post("executions", json={"job_id": "month", "run_name": "first try"}, headers=begun)
    client.patch(
        "executions/month", json={"run_name": "books"}, headers={"X-Actor": "bob", "X-Reason": "a better name"}
    )
    client.post("executions/month/start", headers={"X-Actor": "carol"})
    page = open_page(f"{fresh}/run/month")
    why = page.locator(".why")
    duration = page.locator(".run-facts").get_by_text("Duration")
    duration.hover()
    expect(why).to_contain_text(re.compile("^carol set this .*and gave no reason *Event 3: started"))
    page.mouse.move(0, 0)
    expect(why).to_have_count(0)
    done = {"X-Actor": "dora", "X-Reason": "all entries are there"}
    client.post("executions/month/complete", json={}, headers=done)
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "completed")
    duration.hover()
    expect(why).to_contain_text(re.compile("carol set the start .*dora set the end .*because “all entries are there”"))
    page.locator(".run-facts").get_by_text("Job").click()
    expect(why).to_contain_text(re.compile("^ada set this .*because “the month is over”"))
    page.get_by_role("heading", name="books").click()
    expect(why).to_contain_text(re.compile("^bob set this .*because “a better name”"))
    page.get_by_role("button", name="Why is job so?").click()
    expect(why).to_contain_text("ada set this")
    why.get_by_role("button", name="Event 1: created").click()
    expect(page.locator(".run-title")).to_contain_text("as it was at event 1")
    expect(page.get_by_role("heading", name="first try")).to_be_visible()


@pytest.fixture
def explained(fresh: str, api: Api) -> str:
    """The address of a service with a run of which everybody gave a reason."""
    client = api(fresh)
    for who, path, body in (
        ("ada", "", {"job_id": "told"}),
        ("bob", "/told/start", None),
        ("carol", "/told/steps", {"step_id": "load", "name": "load"}),
        ("dora", "/told/notes", {"text": "it is slow", "source": "stdout"}),
        ("eve", "/told/steps/load/finish", {"outcome": "failed", "error": "no route"}),
        ("finn", "/told/steps", {"step_id": "again", "name": "load again"}),
    ):
        answer = client.post(f"executions{path}", json=body, headers={"X-Actor": who, "X-Reason": f"so said {who}"})
        assert answer.is_success, answer.text
    return fresh


def test_steps_notes_and_statuses_tell_why(open_page: Open, explained: str) -> None:
    page = open_page(f"{explained}/run/told")
    chart, tip = page.locator(".gantt canvas"), page.locator(".tip")
    expect(chart).to_have_attribute("aria-label", re.compile("2 steps, failed: load. 1 note"))
    box = chart.bounding_box()
    assert box is not None
    across = box["width"] * 0.6
    chart.hover(position={"x": across, "y": 26 + 30 + 12})
    expect(tip).to_contain_text(re.compile("^loadFailed.*no route"))
    expect(tip).to_contain_text(
        re.compile("carol began this .*because “so said carol”.*eve ended this .*“so said eve”")
    )
    chart.hover(position={"x": across, "y": 26 + 30 + 24 + 12})
    expect(tip).to_contain_text(re.compile("^load again.*finn began this .*because “so said finn”$"))
    chart.hover(position={"x": across, "y": 26 + 10})
    expect(tip).to_contain_text(re.compile("^Running.*bob set this .*because “so said bob”$"))
    expect(tip.get_by_role("button")).to_have_count(0)  # it goes wherever the pointer goes
    page.mouse.move(0, 0)
    expect(tip).to_have_count(0)

    page.keyboard.press("n")
    expect(tip).to_contain_text(re.compile("^it is slow.*dora noted this .*because “so said dora”"))
    page.keyboard.press("Enter")
    expect(page.locator(".run-title")).to_contain_text("as it was at event 4")
    expect(tip).to_have_count(0)
    title = page.locator(".tip > b")
    page.keyboard.press("s")
    expect(title).to_have_text("load")
    expect(tip).to_contain_text(re.compile("^loadOpen.*carol began this"))  # nobody had ended it yet
    expect(tip).not_to_contain_text("eve")
    expect(tip).not_to_contain_text("no route")
    page.keyboard.press("s")
    expect(title).to_have_text("load")  # the other one had not begun
    page.keyboard.press("Escape")
    expect(tip).to_have_count(0)
    page.keyboard.press("End")
    page.keyboard.press("Shift+S")
    expect(title).to_have_text("load again")
    page.keyboard.press("Shift+S")
    expect(page.locator(".gantt > [role=status]")).to_contain_text("load, Failed")
    expect(tip.get_by_role("status")).to_contain_text("eve ended this")
    check(page)
    tip.get_by_role("button", name="Event 5: step finished").click()
    expect(page.locator(".run-title")).to_contain_text("as it was at event 5")


def test_a_tap_on_the_timeline_tells_why(open_page: Open, explained: str) -> None:
    page = open_page(f"{explained}/run/told", phone=True)
    chart, tip = page.locator(".gantt canvas"), page.locator(".tip")
    expect(chart).to_have_attribute("aria-label", re.compile("2 steps"))
    page.wait_for_timeout(200)
    chart.tap(position={"x": 200, "y": 26 + 30 + 24 + 12})
    expect(tip).to_contain_text("finn began this")
    box, place = tip.bounding_box(), page.locator("#main").bounding_box()
    assert box is not None
    assert place is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= place["width"]
    assert box["y"] + box["height"] <= place["y"] + place["height"] + 1
    tip.get_by_role("button", name="Event 6: step started").tap()
    expect(page.locator(".event-row.selected")).to_contain_text("load again")
    expect(tip).to_have_count(0)


def test_steps_out_of_sight_are_gone_to(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    expect(page.get_by_text("13 steps")).to_be_visible()
    title = page.locator(".tip > b")
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    names = []
    for _ in range(13):
        page.keyboard.press("s")
        names.append(title.inner_text())
        tip, card = page.locator(".tip").bounding_box(), page.locator(".gantt").bounding_box()
        assert tip is not None
        assert card is not None
        assert card["y"] < tip["y"] <= card["y"] + card["height"] + 20
    assert [names[0], *names[1:4], names[4], names[-1]] == ["collect", "de", "uk", "us", "consolidate", "publish"]
    assert page.locator(".gantt-scroll").evaluate("(region) => region.scrollTop") > 0


def test_what_a_value_tells_is_in_sight(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}", phone=True)
    last = page.locator(".field-row").last
    last.locator(".field-value").tap()
    why = page.locator(".why")
    expect(why).to_contain_text("set this")
    box, panel = why.bounding_box(), page.locator("#main").bounding_box()
    assert box is not None
    assert panel is not None
    assert page.locator("#tab-panel").evaluate("(panel) => panel.scrollWidth - panel.clientWidth") == 0
    assert panel["y"] <= box["y"]
    assert box["y"] + box["height"] <= panel["y"] + panel["height"] + 1
    tall = open_page(f"{day}/run/{CLOSE}")
    tall.locator(".field-row").last.get_by_role("button", name="Why").click()
    why = tall.locator(".why")
    expect(why).to_contain_text("set this")
    box, panel = why.bounding_box(), tall.locator("#tab-panel").bounding_box()
    assert box is not None
    assert panel is not None
    assert box["y"] + box["height"] <= panel["y"] + panel["height"] + 1


def test_the_first_moment_is_before_it_was_there(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=moments&to=1")
    page.get_by_label("From event").fill("0")
    page.evaluate("history.replaceState(null, '', '?tab=moments&to=2'); dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.get_by_label("To event")).to_have_value("2")
    expect(page.get_by_label("From event")).to_have_value("0")  # what is typed stays
    page.get_by_label("From event").press("Enter")
    expect(page).to_have_url(re.compile("from=0"))
    expect(page.get_by_label("From event")).to_have_value("0")
    row = page.get_by_role("region", name="What changed").get_by_role("row", name=re.compile("^run name|^run_name"))
    expect(row).to_contain_text("quarterly close")


def test_other_runs_stand_in_line(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=other")
    row = page.get_by_role("listitem").filter(has_text=CLOSE_BEFORE).filter(has=page.get_by_role("button"))
    expect(row).to_be_visible()
    parts = [row.locator(part).bounding_box() for part in ("button", ".mono", ".status", "time")]
    boxes = [box for box in parts if box is not None]
    assert len(boxes) == 4
    middles = [box["y"] + box["height"] / 2 for box in boxes]
    assert max(middles) - min(middles) <= 2
    assert boxes[1]["x"] - (boxes[0]["x"] + boxes[0]["width"]) >= 6


def test_two_moments_and_two_runs_are_compared(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=moments")
    page.get_by_label("From event").fill("3")
    page.get_by_label("From event").press("Enter")
    expect(page).to_have_url(re.compile("from=3"))
    table = page.get_by_role("region", name="What changed")
    expect(table.get_by_role("row", name=re.compile("^status"))).to_contain_text("completed")
    page.get_by_role("tab", name="Another run").click()
    page.get_by_role("listitem").filter(has_text=CLOSE_BEFORE).get_by_role("button", name="Compare").click()
    parting = page.locator(".divergence")
    expect(parting).to_contain_text("They part at the step “us”")
    expect(parting.get_by_role("row", name=re.compile("^error"))).to_contain_text("rate of 2026-03-31 is missing")
    steps = page.get_by_role("region", name="Steps of both runs")
    expect(steps.locator("tr.first-divergence")).to_contain_text("they part here")
    expect(page.get_by_role("region", name="What changed")).to_contain_text("attributes.quarter")
    page.get_by_role("tab", name="Another run").press("ArrowRight")
    expect(page.get_by_role("tab", name="Family")).to_be_focused()


def test_relatives_lead_to_each_other(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=family")
    page.get_by_role("link", name="collect uk").click()
    expect(page.get_by_role("heading", name="collect uk")).to_be_visible()
    page.locator(".run-facts").get_by_role("link", name=CLOSE).click()
    expect(page.get_by_role("heading", name="quarterly close")).to_be_visible()


def test_relatives_come_and_change_while_one_looks(open_page: Open, fresh: str, api: Api) -> None:
    page, client = open_page(f"{fresh}/run/{RUNNING}?tab=family"), api(fresh)
    expect(page.get_by_text("No relatives")).to_be_visible()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    client.post("executions", json={"job_id": "a-child", "run_name": "", "parent_job_id": RUNNING})
    child = page.get_by_role("tabpanel").get_by_role("listitem")
    expect(child.get_by_role("link", name="a-child")).to_be_visible()
    expect(child.locator(".status")).to_have_attribute("data-status", "pending")
    client.post("executions/a-child/start", json={})
    expect(child.locator(".status")).to_have_attribute("data-status", "running")


def test_other_runs_of_the_job_are_found_among_many_of_a_longer_name(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    names = ["payout", *["payout of a day"] * 20, "payout"]
    for number, name in enumerate(names):
        client.post("executions", json={"job_id": f"payout-{number}", "run_name": name})
    page = open_page(f"{fresh}/run/payout-21?tab=other", expected=(404,))
    panel = page.get_by_role("tabpanel")
    expect(panel.get_by_role("listitem")).to_have_text(re.compile("payout-0"))
    panel.get_by_role("button", name="Compare").last.click()
    expect(panel.get_by_text("They went the same way.")).to_be_visible()
    panel.get_by_label("Job id of the other run").fill("none-of-this-name")
    page.keyboard.press("Enter")
    expect(panel.get_by_role("alert")).to_be_visible()
    expect(panel.get_by_text("They went the same way.")).to_have_count(0)


def test_runs_that_part_late_in_many_steps_are_shown_where_they_do(open_page: Open, fresh: str, api: Api) -> None:
    client, number = api(fresh), 620
    for job in ("many-1", "many-2"):
        client.post("executions", json={"job_id": job, "run_name": "many"})
        names = [f"step {at}" for at in range(number)]
        if job == "many-2":
            names[600] = "another way"
        commands = [
            {"execution_id": job, "command": "start-step", "body": {"step_id": f"s{at}", "name": name}}
            for at, name in enumerate(names)
        ]
        assert client.post("/commands:batch", json={"commands": commands}).status_code == 200
    page = open_page(f"{fresh}/run/many-1?tab=other&other=many-2")
    steps = page.get_by_role("region", name="Steps of both runs")
    expect(steps.get_by_text("they part here")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Steps 5\d\d to 6\d\d of 62\d\.$"))).to_be_visible()
    page.get_by_role("tab", name="Two moments").click()
    expect(page.get_by_text(f"The first 200 of {number}.")).to_be_visible()


def test_space_opens_what_is_folded_and_does_not_play(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=change")
    page.get_by_text("As recorded").focus()
    page.keyboard.press("Space")
    expect(page.locator("details[open]")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_text_from_right_to_left_turns_nothing_around_it(open_page: Open, fresh: str, api: Api) -> None:
    client, turned = api(fresh), "\u202edetelpmoc"
    client.post("executions", json={"job_id": "turned", "inputs": {"paid": turned}})
    client.post("executions/turned/steps", json={"step_id": "a", "name": turned})
    client.post("executions/turned/notes", json={"text": "x"}, headers={"X-Reason": "y"})
    page = open_page(f"{fresh}/run/turned")
    expect(field(page, "inputs")).to_contain_text('"paid": "\\u202edetelpmoc"')
    told = page.get_by_role("list", name="Events").get_by_role("listitem").nth(1)
    expect(told).to_contain_text("began")
    left = """(row) => {
        const text = row.querySelector('.event-what .muted').firstChild;
        return ['step', 'detelpmoc', 'began'].map((word) => {
            const range = document.createRange();
            range.setStart(text, text.data.indexOf(word));
            range.setEnd(text, text.data.indexOf(word) + word.length);
            return range.getBoundingClientRect().left;
        });
    }"""
    places = told.evaluate(left)
    assert places == sorted(places)


def test_it_is_copied_as_json_and_as_curl(open_page: Open, day: str, api: Api) -> None:
    page = open_page(f"{day}/run/{CLOSE}?at=5")
    expect(page.get_by_text("as it was at event 5")).to_be_visible()
    page.get_by_role("button", name="JSON").click()
    expect(page.get_by_text("JSON copied")).to_be_visible()
    was = api(day).get(f"executions/{CLOSE}", params={"version": 5}).json()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == was
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("as curl copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command == f"curl '{day}/api/v1/executions/{CLOSE}?version=5'"
    page.get_by_role("button", name="Now").click()
    expect(page.get_by_text("as it was")).to_have_count(0)
    page.get_by_role("button", name="curl").click()
    last = api(day).get(f"executions/{CLOSE}").json()["version"]
    page.wait_for_function(f"async () => (await navigator.clipboard.readText()).endsWith('?version={last}\\'')")


def test_what_happens_appears_at_once(open_page: Open, fresh: str, api: Api) -> None:
    page, client = open_page(f"{fresh}/run/{RUNNING}"), api(fresh)
    expect(page.get_by_text("Live")).to_be_visible()
    client.post(f"executions/{RUNNING}/notes", json={"text": "the loss went up"}, headers={"X-Actor": "gpu-1"})
    expect(page.get_by_role("list", name="Events")).to_contain_text("the loss went up")
    client.post(f"executions/{RUNNING}/complete", json={"result": {"auc": 0.93}})
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "completed")
    expect(field(page, "result")).to_contain_text("0.93")


def test_a_deleted_run_can_still_be_seen(open_page: Open, fresh: str, api: Api) -> None:
    assert api(fresh).delete(f"executions/{CLOSE}-de").status_code == 204
    page = open_page(f"{fresh}/run/{CLOSE}-de", expected=(404,))
    expect(page.locator(".run-title")).to_contain_text("deleted")
    expect(page.get_by_role("list", name="Events")).to_contain_text("taken out of the history")
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_text("as curl copied")).to_be_visible()
    (told,) = re.findall(r"'(.*)'", page.evaluate("navigator.clipboard.readText()"))
    assert httpx.get(told, trust_env=False).json()["status"] == "completed"
    expect(page.get_by_role("button", name="Correct")).to_have_count(0)


def test_a_deleted_run_ends_when_it_was_deleted(open_page: Open, fresh: str, api: Api) -> None:
    client = api(fresh)
    client.post("executions", json={"job_id": "gone"}, headers={"X-Actor": "ada"})
    client.post("executions/gone/start", json={})
    assert client.delete("executions/gone").status_code == 204
    page = open_page(f"{fresh}/audit", expected=(404,))
    page.clock.install(time=datetime.now(UTC) + timedelta(days=3))
    page.goto(f"{fresh}/run/gone")
    facts = page.locator(".run-facts")
    expect(facts).to_contain_text(re.compile(r"Created by\s*ada"))
    expect(facts).to_contain_text(re.compile(r"Duration\s*[\d.]+ m?s"))
    canvas = page.locator(".gantt canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("then Running"))
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 8, box["y"] + 40)  # where it was deleted already
    page.clock.run_for(500)
    expect(page.get_by_text("as it was at event")).to_have_count(0)
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 40)
    expect(page.get_by_text(re.compile("as it was at event [12]"))).to_be_visible()


def test_events_of_several_days_tell_the_day(open_page: Open, day: str, api: Api) -> None:
    run = api(day).get(f"executions/{CLOSE}").json()
    page = open_page(f"{day}/health")
    page.route(f"**/api/v1/executions/{CLOSE}", lambda route: route.fulfill(json=run))
    run["created_at"] = run["updated_at"]  # else of two days, where this runs after midnight
    page.goto(f"{day}/run/{CLOSE}")
    when = page.locator(".event-when time").first
    expect(when).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$"))
    run["created_at"] = "2026-01-01T10:00:00Z"
    page.reload()
    expect(when).to_have_text(re.compile(r"^\d\d \w+, \d\d:\d\d:\d\d$"))
    assert when.evaluate("(time) => time.parentElement.scrollWidth <= time.parentElement.clientWidth")


def test_html_and_script_in_a_run_are_text(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/?q=%3Cimg")
    page.get_by_role("link", name="<script>window.hacked = 1</script><b>bold</b>").click()
    evil = "<script>window.hacked = 1</script><b>bold</b>"
    expect(page.get_by_role("heading", level=1)).to_have_text(evil)
    expect(page.locator(".run-facts")).to_contain_text(MARKUP)
    for name in ("error", "message", "inputs", "result", "attributes", "run name", "trigger"):
        expect(field(page, name)).to_contain_text("<b>bold</b>")
    expect(page.get_by_role("list", name="Events")).to_contain_text(f"noted {evil}")
    page.get_by_role("button", name="Why is message so?").click()
    expect(page.locator(".why")).to_contain_text(f"{evil} set this")
    for tab in ("This event", "Two moments", "Another run", "Family"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
    for path in ("/audit?text=script", "/lanes", "/statistics"):
        page.goto(day + path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator(".state.loading")).to_have_count(0)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('#app script, #app b b, #app img').length") == 0
