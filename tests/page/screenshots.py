"""Pictures of every view for the README: `make screenshots`. Everything in them is made up."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from execution_ledger.infrastructure import Settings, migrate
from support.chromium import FLAGS, find_chromium
from support.day import CLOSE, CLOSE_BEFORE, HOURS, RUNNING, WAITING, Day
from support.http_service import running

from .axe import PHONE, WIDE
from .conftest import wait_until_projected

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"


def main() -> None:
    """Write the ledger, serve it, and look at it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        migrate(url)
        day = Day(markup=False)
        day.write(url)
        settings = Settings(database_url=url, actor="grace", log_level="warning", audit_interval=1)
        with running(settings) as address, sync_playwright() as playwright:
            wait_until_projected(address)
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))

            def take(name: str, path: str, *, theme: Any = "light", size: Any = WIDE, before: Any = None) -> None:
                context = browser.new_context(
                    viewport=size, color_scheme=theme, reduced_motion="reduce", locale="en-GB", timezone_id="UTC"
                )
                page = context.new_page()
                page.goto(address + path)
                expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
                expect(page.locator(".state.loading")).to_have_count(0)
                if before is not None:
                    before(page)
                expect(page.get_by_text("…", exact=True)).to_have_count(0)  # what stands where something is still read
                page.wait_for_timeout(700)  # what is drawn after the last answer: notes, charts
                page.screenshot(path=FOLDER / f"{name}.png")
                context.close()
                print(FOLDER.relative_to(Path.cwd()) / f"{name}.png")

            begin = day.now.timestamp() - 68 * 60
            window = "~".join(_iso(begin + minutes * 60) for minutes in (0, 40))
            take("runs", "/", before=_live)
            take("runs-dark", "/", theme="dark", before=_live)
            take("runs-phone", "/", size=PHONE, before=_live)
            take("lanes", f"/lanes?last={HOURS}h")
            take("replay", f"/lanes?replay={window}", theme="dark", before=_in_the_incident)
            take("run", f"/run/{CLOSE}?at=62")
            take("run-live", f"/run/{RUNNING}", theme="dark", before=_live)
            take("run-phone", f"/run/{CLOSE}?at=70", size=PHONE, theme="dark")
            take("event", f"/run/{CLOSE}?at=80&tab=change", before=_why)
            take("compare", f"/run/{CLOSE}?tab=other&other={CLOSE_BEFORE}", before=_compared)
            take("command", f"/run/{WAITING}", before=_approving)
            take("audit", "/audit?actor=grace", before=_found)
            take("statistics", "/statistics", before=_charts)
            take("health", "/health", before=_verified)
            browser.close()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat().replace("+", "%2B")


def _live(page: Page) -> None:
    expect(page.get_by_text("Live")).to_be_visible()


def _in_the_incident(page: Page) -> None:
    slider = page.get_by_role("slider", name="Time")
    expect(slider).to_be_visible()
    slider.evaluate(
        """(slider) => {
            slider.value = Number(slider.min) + (slider.max - slider.min) * 0.62;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
        }"""
    )
    expect(page.locator(".replay-last li")).to_have_count(4)


def _why(page: Page) -> None:
    expect(page.get_by_role("region", name="What changed")).to_be_visible()


def _compared(page: Page) -> None:
    expect(page.get_by_role("region", name="Steps of both runs")).to_be_visible()
    expect(page.get_by_role("list", name="Events").locator(".event-button").last).to_be_visible()


def _approving(page: Page) -> None:
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("textbox", name="Why").fill("all three payees are known")


def _found(page: Page) -> None:
    expect(page.locator(".proof code")).to_be_visible()
    expect(page.get_by_text("events found")).to_be_visible()


def _charts(page: Page) -> None:
    expect(page.locator(".chart canvas")).to_have_count(2)


def _verified(page: Page) -> None:
    expect(page.locator(".health-part", has_text="Last verification").locator("time")).to_be_visible(timeout=30_000)


if __name__ == "__main__":
    main()
