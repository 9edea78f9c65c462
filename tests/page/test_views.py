"""Every view, light and dark, on a wide screen and on a phone: accessible, and showing what it is for."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from support.day import CLOSE, CLOSE_BEFORE

from .axe import LAPTOP, TABLET, check, check_both_themes, check_layout
from .conftest import Open

VIEWS = {
    "runs": ("/", "table", "Runs, newest first"),
    "lanes": ("/lanes?last=3h", "img", "runs in"),
    "run": (f"/run/{CLOSE}?at=40", "button", "noted"),
    "event": (f"/run/{CLOSE}?at=80&tab=change", "region", "What changed"),
    "moments": (f"/run/{CLOSE}?tab=moments&from=2&to=80", "region", "What changed"),
    "other run": (f"/run/{CLOSE}?tab=other&other={CLOSE_BEFORE}", "region", "Steps of both runs"),
    "family": (f"/run/{CLOSE}?tab=family", "link", "collect de"),
    "audit": ("/audit?type=corrected", "link", CLOSE),
    "statistics": ("/statistics", "region", "Longest runs"),
    "health": ("/health", "region", "Projections"),
}


@pytest.mark.parametrize("phone", [False, True], ids=["wide", "phone"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible_light_and_dark(open_page: Open, day: str, view: str, phone: bool) -> None:
    path, role, name = VIEWS[view]
    page = open_page(day + path, phone=phone)
    shown: Any = page.get_by_role(role, name=name).first  # type: ignore[arg-type]
    expect(shown).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    check_both_themes(page)


@pytest.mark.soak
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_what_is_between_a_phone_and_a_wide_screen(open_page: Open, day: str, view: str) -> None:
    path, role, name = VIEWS[view]
    page = open_page(day + path)
    for size in (TABLET, LAPTOP, {"width": 721, "height": 900}, {"width": 961, "height": 900}):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        shown: Any = page.get_by_role(role, name=name).first  # type: ignore[arg-type]
        expect(shown).to_be_visible()
        expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_count(5)
        check_layout(page)


def test_long_names_leave_the_header_its_place(open_page: Open, day: str) -> None:
    page = open_page(day)
    for width in (390, 721, 768, 961, 1024):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.get_by_role("link", name="all runs")).to_be_visible()
        page.evaluate(
            """() => {
                document.querySelector('.brand-ledger').textContent = 'a-ledger-with-a-very-long-name-indeed-eu-west';
                document.querySelector('.who').textContent = 'somebody-with-a-long-name@example.com';
            }"""
        )
        check_layout(page)


def test_the_theme_is_chosen_and_kept(open_page: Open, day: str) -> None:
    page = open_page(day, theme="light")
    button = page.get_by_role("button", name="Theme: system")
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Theme: dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Theme: light").click()
    expect(page.locator("html")).not_to_have_attribute("data-theme", "light")


@pytest.mark.parametrize("path", ["/", "/lanes", "/audit", "/statistics", "/health"])
def test_an_empty_ledger_says_so(open_page: Open, empty: str, path: str) -> None:
    page = open_page(empty + path)
    expect(page.locator(".state.empty").first).to_be_visible()
    check(page)


def test_what_is_not_there_says_so(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/nobody", expected=(404,))
    expect(page.get_by_text("There is no such run")).to_be_visible()
    check(page)
    page.get_by_role("link", name="All runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_a_path_that_is_none_of_the_page_says_so(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run", expected=(404,))
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    check(page)
    page.get_by_role("link", name="All runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_a_service_that_does_not_answer_is_told_and_comes_back(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/health")
    expect(page.get_by_text("All is well")).to_be_visible()
    page.route("**/api/v1/ledger/health", lambda route: route.abort())
    expect(page.get_by_text("The service does not answer", exact=True)).to_be_visible()
    page.unroute("**/api/v1/ledger/health")
    expect(page.get_by_text("All is well")).to_be_visible()


def test_the_keyboard_leads_everywhere_and_tells_how(open_page: Open, day: str) -> None:
    page = open_page(day)
    expect(page.get_by_role("table")).to_be_visible()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keyboard")
    expect(dialog).to_be_visible()
    for text in ("Next run", "Go to Audit", "Search"):
        expect(dialog.get_by_text(text).first).to_be_visible()
    check(page)
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    for key, title in (("l", "Lanes"), ("a", "Audit"), ("s", "Statistics"), ("h", "Health"), ("r", "Runs")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
        expect(page).to_have_title(f"{title} · Execution Ledger")
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="Health")).to_be_visible()


def test_times_are_of_the_readers_zone_with_utc_on_hover(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    time = page.locator(".run-facts time").first
    expect(time).to_be_visible()
    told = page.evaluate(
        """(element) => [element.textContent, element.title, new Date(element.dateTime).toLocaleTimeString('en-GB',
           {timeZone: 'Europe/Berlin'}), element.dateTime.slice(11, 19)]""",
        time.element_handle(),
    )
    assert told[2] in told[0]
    assert told[3] in told[1]
    assert "UTC" in told[1]
