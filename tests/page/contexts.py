"""Browser contexts for one test after the other: to make one takes longer than most tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error

_FORGET = "() => { try { localStorage.clear(); } catch {} return !Date.isFake; }"
"""Drops what is stored; whether the clock is the browser's own: one that a test has set cannot be taken back."""


class Contexts:
    """Lends contexts without the pages, cookies and stored values of who had them before; the browser keeps its files.

    What a test does to the context itself (a route, a script for every page) it has to take back.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: defaultdict[str, list[BrowserContext]] = defaultdict(list)

    @contextmanager
    def lend(self, **options: Any) -> Iterator[BrowserContext]:
        """One with these options, to nobody else meanwhile."""
        free = self._free[repr(sorted(options.items()))]
        context = free.pop() if free else self._browser.new_context(**options)
        cleared = False
        try:
            yield context
            cleared = _clear(context)
        finally:
            if cleared:
                free.append(context)
            else:
                context.close()


def _clear(context: BrowserContext) -> bool:
    """Close its pages and have it forget; whether it has."""
    forgotten = True
    try:
        for page in context.pages:
            forgotten &= bool(page.evaluate(_FORGET))
            page.close()
        context.clear_cookies()
    except Error:
        return False
    return forgotten
