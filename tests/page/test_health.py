"""The health in a browser, as it changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from execution_ledger.infrastructure import Settings, create_sync_engine
from execution_ledger.infrastructure.short_transactions import short_transaction
from execution_ledger.projections.engine.checkpoints import stop
from support.http_service import running

from .axe import check
from .conftest import Open

NAMES = ["execution_snapshots", "execution_time_marks", "run_statistics"]
EVIL = "<img src=x onerror=alert(1)>"


def part(page: Page, title: str) -> Any:
    return page.locator(".health-part").filter(has=page.get_by_text(title, exact=True)).locator("dd")


@pytest.fixture
def kept(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and database URL of a service that verifies often, over an empty ledger."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'ledger.db')}"
    with running(Settings(database_url=url, audit_interval=0.1)) as address:
        yield address, url


def record(address: str, job_id: str) -> None:
    httpx.post(f"{address}/api/v1/executions", json={"job_id": job_id}, trust_env=False).raise_for_status()


def test_a_sound_ledger_is_well_and_grows_before_ones_eyes(open_page: Open, kept: tuple[str, str]) -> None:
    address, _ = kept
    page = open_page(f"{address}/health")
    expect(page.get_by_text("Nothing to follow yet")).to_be_visible()
    record(address, "a")
    expect(page.locator(".projection strong")).to_have_text(NAMES)
    expect(page.get_by_text("All is well")).to_be_visible()
    expect(part(page, "Writer's queue")).to_contain_text("0")
    expect(part(page, "Last verification")).to_contain_text("0 differences")
    record(address, "b")
    expect(part(page, "Ledger")).to_contain_text("2 events")
    expect(part(page, "Feed")).to_contain_text("up to date")
    expect(part(page, "Feed")).to_contain_text("this page's stream is live, heard #2")
    expect(page.locator(".projection").filter(has_text="run_statistics")).to_contain_text("2 of 2")


def test_a_stopped_projection_says_why_and_can_try_again(open_page: Open, kept: tuple[str, str]) -> None:
    address, url = kept
    record(address, "a")
    page = open_page(f"{address}/health")
    expect(page.locator(".projection").filter(has_text="run_statistics")).to_contain_text("1 of 1")
    engine = create_sync_engine(url)
    with short_transaction(engine) as connection:
        stop(connection, "run_statistics", "default", 1, ValueError(EVIL))
    engine.dispose()
    expect(page.get_by_text("One thing needs attention")).to_be_visible()
    expect(page.get_by_text("The projection run_statistics has stopped.")).to_be_visible()
    expect(page.locator(".stopped pre")).to_have_text(f"ValueError: {EVIL}")
    assert page.locator("#app img").count() == 0
    expect(page.locator(".stopped a")).to_have_attribute("href", "/audit?after=0&before=2")
    check(page)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("run_statistics tries again")).to_be_visible()
    expect(page.get_by_text("All is well")).to_be_visible()


def test_what_should_be_looked_at_is_told(open_page: Open, day: str) -> None:
    health = {
        "ledger": "default", "size": 9000, "started_at": "2026-01-31T07:00:00Z", "writer": {"waiting": 800},
        "feed": {"position": 7000, "lag": 2000},
        "verification": {
            "every": 10.0, "executions": 40, "mismatches": 2, "failures": 0, "last_at": "2026-01-31T08:00:00Z",
        },
        "projections": [{"projection": "run_statistics", "position": 4000, "lag": 5000, "stopped": False}],
    }  # fmt: skip
    page = open_page(f"{day}/health")
    page.route("**/api/v1/ledger/health", lambda route: route.fulfill(json=health))
    expect(page.get_by_text("4 things need attention")).to_be_visible()
    told = page.locator(".verdict li")
    expect(told).to_have_count(4)
    expect(told.last).to_have_text("The projection run_statistics is 5,000 events behind.")
    check(page)
