"""Signing in at a provider that others wrote, by its own forms, and coming back to the page."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from execution_ledger.api.http.sessions import COOKIE
from execution_ledger.infrastructure import Settings
from support.day import WAITING
from support.http_service import running
from support.provider import PASSWORD, Provider

from .axe import check, check_both_themes
from .conftest import Open


def log_in(page: Page, name: str) -> None:
    """At the provider, which nobody has come to yet."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def agree(page: Page) -> None:
    page.get_by_role("button", name="Authorize").click()


@pytest.mark.parametrize(("theme", "phone"), [("light", False), ("dark", True)])
def test_whoever_signs_in_comes_back_to_where_they_were(
    open_page: Open, offering: str, provider: Provider, theme: str, phone: bool
) -> None:
    place = f"{offering}/run/{WAITING}?at=1"
    page = open_page(place, theme=theme, phone=phone, expected=(401,), elsewhere=provider.url)
    link = page.get_by_role("link", name="Sign in with Acme")
    expect(link).to_be_focused()
    check(page)
    page.keyboard.press("Enter")
    log_in(page, "olga")
    agree(page)
    expect(page.get_by_role("heading", name="payout batch")).to_be_visible()
    assert page.url == place
    expect(page.locator(".who")).to_have_text("olga")
    cookies = {each["name"]: each for each in page.context.cookies(offering)}  # type: ignore[typeddict-item]
    assert (list(cookies), cookies[COOKIE]["sameSite"], cookies[COOKIE]["httpOnly"]) == ([COOKIE], "Strict", True)
    page.goto(f"{offering}/run/{WAITING}")
    page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("as done by olga")
    dialog.get_by_label("Why").fill("checked with the bank")
    dialog.get_by_role("button", name="Approve").click()
    expect(page.locator(".run-title .status")).to_have_attribute("data-status", "running")
    expect(page.get_by_role("button", name=re.compile("approved"))).to_contain_text("olga")
    page.get_by_role("link", name="all runs").click()
    expect(page.locator("[data-job]").first).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(link).to_be_visible()
    page.reload()
    expect(link).to_have_attribute("href", "/api/v1/session/oidc?next=%2F")
    assert page.context.cookies(offering) == []
    link.click()
    agree(page)  # the provider still knows them
    expect(page.locator("[data-job]").first).to_be_visible()


def test_whoever_is_not_signed_in_is_told_why_and_may_try_again(
    open_page: Open, offering: str, provider: Provider
) -> None:
    page = open_page(f"{offering}/audit?actor=ada", expected=(401,), elsewhere=provider.url)
    link, alert = page.get_by_role("link", name="Sign in with Acme"), page.get_by_role("alert")
    link.click()
    log_in(page, "nina")
    page.get_by_role("button", name="Cancel").click()
    expect(alert).to_contain_text("Your identity provider did not sign you in")
    check_both_themes(page)
    link.click()
    agree(page)
    expect(alert).to_contain_text("not for any ledger here")
    told = {"expired": "took too long", "unavailable": "does not answer", "rejected": "was not accepted"}
    for problem, text in told.items():
        page.goto(f"{offering}/login?problem={problem}&next=%2Faudit%3Factor%3Dada")
        expect(alert).to_contain_text(text)
    page.goto(f"{offering}/login?problem=constructor&next=%2F%2Fevil.example")
    expect(link).to_have_attribute("href", "/api/v1/session/oidc?next=%2F")
    expect(alert).to_have_count(0)
    page.goto(f"{offering}/login?problem=refused&next=%2Faudit%3Factor%3Dada")
    page.context.clear_cookies(domain="localhost")
    link.click()
    log_in(page, "vera")
    agree(page)
    expect(page.locator(".audit-table")).to_be_visible()
    assert page.url == f"{offering}/audit?actor=ada"
    page.goto(f"{offering}/login?next=%2Fstatistics")
    page.wait_for_url(f"{offering}/statistics")  # whoever is known already has nothing to do there
    expect(page.get_by_role("heading", name="Statistics")).to_be_visible()


def test_a_provider_that_is_away_is_told_and_tried_again(open_page: Open, offering: str, provider: Provider) -> None:
    provider.stop()
    try:
        page = open_page(f"{offering}/audit", expected=(401,), elsewhere=provider.url)
        link, alert = page.get_by_role("link", name="Sign in with Acme"), page.get_by_role("alert")
        link.click()
        expect(alert).to_contain_text("does not answer")
    finally:
        provider.start()
    link.click()
    log_in(page, "vera")
    agree(page)
    expect(page.locator(".audit-table")).to_be_visible()


def test_a_session_that_is_over_leads_back_to_the_provider(
    open_page: Open, offering_settings: Settings, provider: Provider
) -> None:
    seconds = 15
    with running(offering_settings.model_copy(update={"session_hours": seconds / 3600})) as address:
        page = open_page(f"{address}/statistics", expected=(401,), elsewhere=provider.url)
        link = page.get_by_role("link", name="Sign in with Acme")
        link.click()
        log_in(page, "vera")
        agree(page)
        begun = time.monotonic()
        expect(page.get_by_role("heading", name="Statistics")).to_be_visible()
        page.wait_for_timeout(1000 * (begun + seconds - time.monotonic()))
        page.get_by_role("link", name="Audit", exact=True).click()
        expect(link).to_have_attribute("href", "/api/v1/session/oidc?next=%2Faudit")
        link.click()
        agree(page)
        expect(page.locator(".audit-table")).to_be_visible()
