"""Accessibility, as axe-core judges it, and that a view fits its screen."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, ViewportSize

PHONE: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1440, "height": 900}

_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .map(({id, help, nodes}) => ({id, help, where: nodes.slice(0, 5).map(({html, failureSummary}) => html.slice(0, 300)
    + ' ' + failureSummary)}))"""


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
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
