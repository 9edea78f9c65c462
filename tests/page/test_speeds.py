"""Playing at each speed that is offered, by the page's own clock, which the test alone moves on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from execution_ledger.domain import Create, Note, Update
from execution_ledger.infrastructure import EventStore, Request, create_sync_engine
from support.http_service import running

from .conftest import Open, settings_for

BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)
EVENTS = 390  # one a second; two pages of them, which the page has read before it plays
PAUSE = 60.0  # seconds of silence after them, then it ends
FRAME = 0.017  # seconds: what passes at once
MOST_WAITING = 2.0  # seconds of the viewer's: longer silences are cut


@pytest.fixture(scope="module")
def even(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service over a run in which something happens every second."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('even') / 'ledger.db')}"
    at = BEGIN
    store = EventStore(clock=lambda: at)
    engine = create_sync_engine(url)
    with engine.connect() as connection:
        store.execute(connection, Request("default", "even", Create.of({"job_id": "even", "status": "running"})))
        for second in range(1, EVENTS):
            at = BEGIN + timedelta(seconds=second)
            store.execute(connection, Request("default", "even", Note.of(f"second {second}")))
        at += timedelta(seconds=PAUSE)
        store.execute(connection, Request("default", "even", Update.of({"status": "completed"})))
        connection.commit()
    engine.dispose()
    with running(settings_for(url)) as address:
        yield address


def stop_the_clock(page: Page, url: str) -> None:
    """Open a URL with a clock that the test moves on; until `pause` it goes by itself."""
    page.clock.install()
    page.goto(url)


def pause(page: Page) -> None:
    page.clock.pause_at(page.evaluate("Date.now()") + 60_000)


def offered(page: Page) -> list[int]:
    return [
        int(value)
        for value in page.get_by_label("Speed").locator("option").evaluate_all("all => all.map(o => o.value)")
    ]


def value(slider: Locator) -> float:
    return float(slider.input_value())


def test_a_run_plays_as_fast_as_it_says(open_page: Open, even: str) -> None:
    page = open_page(f"{even}/health")
    stop_the_clock(page, f"{even}/run/even")
    events, slider = page.get_by_role("list", name="Events"), page.get_by_role("slider", name="Moment, by event")
    expect(events).to_contain_text(f"second {EVENTS - 1}")
    pause(page)
    speeds = offered(page)
    assert (speeds[0], speeds[-1], len(set(speeds))) == (1, 100, len(speeds))
    for speed in speeds:
        page.get_by_label("Speed").select_option(str(speed))
        page.keyboard.press("Home")
        page.clock.run_for(100)
        expect(events).to_contain_text("created")
        assert value(slider) == 1
        seconds = 4.5 if speed == 1 else min(4.25, 300.5 / speed)  # events that pass come to a half, not to a whole
        page.get_by_role("button", name="Play", exact=True).click()
        page.clock.run_for(round(seconds * 1000))
        passed = value(slider) - 1
        late = 3 * speed * FRAME + 1  # until it begins, and what has not come to a whole event
        assert seconds * speed - late <= passed <= seconds * speed, speed
        page.get_by_role("button", name="Pause").click()
        stood = value(slider)
        page.clock.run_for(1000)
        assert value(slider) == stood


def test_a_silence_of_a_run_is_cut(open_page: Open, even: str) -> None:
    page = open_page(f"{even}/health")
    stop_the_clock(page, f"{even}/run/even?at={EVENTS}")
    slider = page.get_by_role("slider", name="Moment, by event")
    expect(page.get_by_role("list", name="Events")).to_contain_text(f"second {EVENTS - 1}")
    expect(page.locator(".run-title")).to_contain_text(f"as it was at event {EVENTS}")
    pause(page)
    page.get_by_label("Speed").select_option("1")
    page.get_by_role("button", name="Play", exact=True).click()
    page.clock.run_for(round(MOST_WAITING * 1000 - 200))
    assert value(slider) == EVENTS
    page.clock.run_for(400)
    assert value(slider) == EVENTS + 1
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_an_incident_plays_as_fast_as_it_says(open_page: Open, even: str) -> None:
    page = open_page(f"{even}/health")
    end = BEGIN + timedelta(hours=2)
    stop_the_clock(page, f"{even}/lanes?{urlencode({'replay': f'{BEGIN.isoformat()}~{end.isoformat()}'})}")
    slider = page.get_by_role("slider", name="Time")
    expect(page.locator(".replay-story")).to_be_visible()
    pause(page)
    speeds = offered(page)
    assert (speeds[0], speeds[-1]) == (1, 600)
    for speed in speeds:
        page.get_by_label("Speed").select_option(str(speed))
        slider.fill(slider.get_attribute("min") or "")
        page.clock.run_for(100)
        begun = value(slider)
        page.get_by_role("button", name="Play", exact=True).click()
        page.clock.run_for(3000)
        passed = (value(slider) - begun) / 1000
        assert (3 - 3 * FRAME) * speed <= passed <= 3 * speed, speed
        page.get_by_role("button", name="Pause").click()
        page.clock.run_for(100)
