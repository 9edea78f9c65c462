"""Accessibility, as axe-core judges it, and that a view fits its screen without one thing upon another."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect

PHONE: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1440, "height": 900}

_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .map(({id, help, nodes}) => ({id, help, where: nodes.slice(0, 5).map(({html, failureSummary}) => html.slice(0, 300)
    + ' ' + failureSummary)}))"""

TABLET: ViewportSize = {"width": 768, "height": 1024}
LAPTOP: ViewportSize = {"width": 1024, "height": 768}

_OVERLAPS = """() => {
    const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length;
    const inside = (bar) => [...document.querySelectorAll(bar)].flatMap((each) =>
        [...each.querySelectorAll('a, button, input, select, h1, .status, .live, .who, .brand-name')]).filter(shown);
    const found = [];
    for (const bar of ['.bar', '.page-head', '.run-head']) {
        const elements = inside(bar);
        for (const one of elements) for (const other of elements) {
            if (one === other || one.contains(other) || other.contains(one)) continue;
            const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
            const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (width > 1 && height > 1) found.push(`${one.outerHTML.slice(0, 80)} on ${other.outerHTML.slice(0, 80)}`);
        }
    }
    return found;
}"""

_NARROW = """() => [...document.querySelectorAll('td, tbody th, [role="cell"]')]
    .filter((cell) => cell.checkVisibility() && cell.textContent.trim().length > 4)
    .map((cell) => [cell.getBoundingClientRect().width, cell])
    .filter(([width, cell]) => width < (cell.matches('.changes, .run-name, .reason') ? 140 : 30))
    .map(([width, cell]) => `${width} ${cell.outerHTML.slice(0, 80)}`).slice(0, 5)"""


@cache
def _axe() -> str:
    return (Path(__file__).parent / "axe.min.js").read_text()


def violations(page: Page) -> list[Any]:
    """What axe-core finds in what is shown now."""
    page.evaluate(_axe())
    return page.evaluate(_RUN)


def check(page: Page) -> None:
    """Fail where anything is found, or where the page can be scrolled sideways."""
    found = violations(page)
    assert not found, json.dumps(found, indent=1)
    check_layout(page)


def check_both_themes(page: Page) -> None:
    """The same in light and then in dark, which the page takes from the system of whoever looks."""
    for theme, background in (("light", "rgb(245, 246, 248)"), ("dark", "rgb(13, 16, 20)")):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("body")).to_have_css("background-color", background)
        check(page)


def check_layout(page: Page) -> None:
    """Fail where the page can be scrolled sideways, boxes of a header overlap, or a column holds no word."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
    assert page.evaluate(_OVERLAPS) == []
    assert page.evaluate(_NARROW) == []
