"""Zooming and panning by wheel and by fingers; rows that are wider than a phone."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from support.day import CLOSE

from .conftest import Open

T = TypeVar("T")
Window = tuple[float, float]
MARGIN = 12  # pixels beside the lanes


def open_lanes(open_page: Open, day: str, *, phone: bool = False) -> tuple[Page, Window]:
    """The lanes of three hours that stand still."""
    end = datetime.now(UTC) - timedelta(minutes=1)
    begin = end - timedelta(hours=3)
    page = open_page(f"{day}/lanes?{urlencode({'from': begin.isoformat(), 'to': end.isoformat()})}", phone=phone)
    expect(page.locator(".lane-chart canvas")).to_be_visible()
    return page, window(page)


def window(page: Page) -> Window:
    """What is seen, in seconds, as the link to the list tells it."""
    query = parse_qs(urlsplit(page.get_by_role("link", name="As a list").get_attribute("href") or "").query)
    begin, end = (datetime.fromisoformat(query[name][0]).timestamp() for name in ("from", "before"))
    return begin, end


def box_of(element: Locator) -> Any:
    box = element.bounding_box()
    assert box is not None
    return box


def time_at(page: Page, seen: Window, x: float) -> float:
    width = box_of(page.locator(".lane-chart canvas"))["width"] - 2 * MARGIN
    return seen[0] + (seen[1] - seen[0]) * (x - MARGIN) / width


def length(seen: Window) -> float:
    return seen[1] - seen[0]


def once_changed(page: Page, read: Callable[[], T], before: T) -> T:
    """What is read once it is another than before."""
    for _ in range(200):
        if (now := read()) != before:
            return now
        page.wait_for_timeout(20)
    raise AssertionError(f"it is still {before}")


def soon(page: Page, holds: Callable[[], bool]) -> None:
    """Wait until it holds, as a browser draws some time after it was told of fingers."""
    once_changed(page, holds, False)


def wheel(page: Page, x: float, y: float, key: str | None = None) -> None:
    if key:
        page.keyboard.down(key)
    page.mouse.wheel(x, y)
    if key:
        page.keyboard.up(key)


def test_the_wheel_zooms_and_pans_the_lanes(open_page: Open, day: str) -> None:
    page, whole = open_lanes(open_page, day)
    page.set_viewport_size({"width": 1200, "height": 480})
    chart = box_of(page.locator(".lane-chart canvas"))
    at = 360 - chart["x"]  # wheels tell whole pixels
    page.mouse.move(chart["x"] + at, chart["y"] + 80)
    wheel(page, 0, -200, "Control")
    nearer = once_changed(page, lambda: window(page), whole)
    assert length(nearer) == pytest.approx(length(whole) * math.exp(-0.6), rel=0.001)
    assert time_at(page, nearer, at) == pytest.approx(time_at(page, whole, at), abs=0.1), "what is pointed at stays"

    per_pixel = length(nearer) / (chart["width"] - 2 * MARGIN)
    wheel(page, 0, 100, "Shift")
    later = once_changed(page, lambda: window(page), nearer)
    assert later == pytest.approx([each + 100 * per_pixel for each in nearer], abs=0.1)
    wheel(page, -60, 0)
    back = once_changed(page, lambda: window(page), later)
    assert back == pytest.approx([each + 40 * per_pixel for each in nearer], abs=0.1)
    wheel(page, -100_000, 0)
    first = once_changed(page, lambda: window(page), back)
    assert first == pytest.approx([whole[0], whole[0] + length(nearer)], abs=0.1), "never outside of what was read"

    drawn = "document.querySelector('.lane-chart canvas').toDataURL()"
    page.mouse.move(chart["x"] + at, chart["y"] + 5)  # no bar, and so no mark of one
    before = page.evaluate(drawn)
    wheel(page, 0, 90)
    once_changed(page, lambda: page.evaluate(drawn), before)
    assert window(page) == first, "by itself it goes up and down"
    wheel(page, 0, 2000, "Control")
    assert once_changed(page, lambda: window(page), first) == pytest.approx(whole, abs=0.1)


class Fingers:
    """Touches of a real screen, as the browser is told them."""

    def __init__(self, page: Page, y: float) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._y = y

    def _send(self, kind: str, *xs: float) -> None:
        points = [{"x": x, "y": self._y + 30 * number, "id": number} for number, x in enumerate(xs)]
        self._cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def move(self, begin: tuple[float, ...], end: tuple[float, ...], steps: int = 6) -> None:
        """Put them down, move all of them, and take them away."""
        self._send("touchStart", *begin)
        for step in range(1, steps + 1):
            self._send("touchMove", *(a + (b - a) * step / steps for a, b in zip(begin, end, strict=True)))
        self._send("touchEnd")


def test_two_fingers_zoom_the_lanes_and_one_pans_them(open_page: Open, day: str) -> None:
    page, whole = open_lanes(open_page, day, phone=True)
    url = page.url
    chart = box_of(page.locator(".lane-chart canvas"))
    middle = chart["width"] * 0.4
    fingers = Fingers(page, chart["y"] + 60)

    def pair(apart: float) -> tuple[float, ...]:
        return chart["x"] + middle - apart / 2, chart["x"] + middle + apart / 2

    fingers.move(pair(60), pair(180))
    soon(page, lambda: length(window(page)) == pytest.approx(length(whole) / 3, rel=0.01))
    nearer = window(page)
    assert time_at(page, nearer, middle) == pytest.approx(time_at(page, whole, middle), abs=2), "it stays between them"

    fingers.move(pair(150), pair(100))
    soon(page, lambda: length(window(page)) == pytest.approx(length(nearer) * 1.5, rel=0.01))
    wider = window(page)
    assert time_at(page, wider, middle) == pytest.approx(time_at(page, nearer, middle), abs=2)

    fingers.move((chart["x"] + 200,), (chart["x"] + 150,))
    per_pixel = length(wider) / (chart["width"] - 2 * MARGIN)
    soon(page, lambda: window(page) == pytest.approx([each + 50 * per_pixel for each in wider], abs=per_pixel))

    fingers.move(pair(180), pair(20))  # never more than what was read
    soon(page, lambda: window(page) == pytest.approx(whole, abs=1))
    for y in range(30, int(chart["height"]) - 30, 12):  # wherever the bars are
        Fingers(page, chart["y"] + y).move(pair(60), pair(60), steps=0)
    assert page.url == url, "two fingers open no run"


def bar(page: Page, row: int) -> tuple[int, int]:
    """Left and right of the bar in a row of a run's timeline, in pixels."""
    found = page.locator(".gantt canvas").evaluate(
        """(canvas, y) => {
            const copy = new OffscreenCanvas(canvas.width, 1).getContext('2d');
            copy.drawImage(canvas, 0, -y);
            const { data } = copy.getImageData(0, 0, canvas.width, 1);
            let [best, left] = [[0, 0], null];
            for (let x = 215; x <= canvas.width; x += 1) {
                const filled = x < canvas.width && data[4 * x + 3] > 0;
                if (filled) left ??= x;
                else if (left !== null) {
                    if (x - left > best[1] - best[0]) best = [left, x];
                    left = null;
                }
            }
            return best;
        }""",
        26 + 30 + 24 * row + 8,
    )
    return found[0], found[1]


def test_the_wheel_zooms_and_pans_a_timeline(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}")
    expect(page.get_by_text("13 steps")).to_be_visible()
    left, right = once_changed(page, lambda: bar(page, 0), (0, 0))
    chart = box_of(page.locator(".gantt canvas"))
    at = left + (right - left) // 4
    page.mouse.move(chart["x"] + at, chart["y"] + 26 + 30 + 12)
    wheel(page, 0, -100, "Control")
    near, far = once_changed(page, lambda: bar(page, 0), (left, right))
    factor = math.exp(0.3)
    assert near == pytest.approx(at - (at - left) * factor, abs=2)
    assert far == pytest.approx(at + (right - at) * factor, abs=2)
    wheel(page, 0, 60, "Shift")
    assert once_changed(page, lambda: bar(page, 0), (near, far))[1] == pytest.approx(far - 30, abs=2)
    wheel(page, 0, 5000, "Control")
    once_changed(page, lambda: abs(bar(page, 0)[0] - left) <= 1, False)
    assert bar(page, 0) == pytest.approx((left, right), abs=1)


def in_sight(element: Locator) -> bool:
    """Whether all of it is, sideways."""
    return element.evaluate("""(element) => {
        const [place, box] = [element.parentElement.getBoundingClientRect(), element.getBoundingClientRect()];
        return box.left >= Math.max(0, place.left) - 1 && box.right <= Math.min(innerWidth, place.right) + 1;
    }""")


def test_a_chosen_status_is_in_sight_on_a_phone(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/", phone=True)
    counts = page.get_by_role("group", name="Filter by status")
    last = counts.get_by_role("button").last
    expect(last).to_contain_text("Cancelled")
    assert not in_sight(last)
    page.goto(f"{day}/?status=cancelled")
    expect(last).to_have_attribute("aria-pressed", "true")
    expect(last).to_contain_text("Cancelled")
    once_changed(page, lambda: in_sight(last), False)
    assert page.evaluate("scrollX") == 0
    page.goto(f"{day}/?status=cancelled&status=pending&status=running")  # the latest choice counts
    running = counts.get_by_role("button", name="Running")
    expect(running).to_have_attribute("aria-pressed", "true")
    once_changed(page, lambda: in_sight(running), False)


def test_a_chosen_tab_is_in_sight_on_a_phone(open_page: Open, day: str) -> None:
    page = open_page(f"{day}/run/{CLOSE}?tab=family", phone=True)
    tab = page.get_by_role("tab", name="Family")
    expect(tab).to_have_attribute("aria-selected", "true")
    once_changed(page, lambda: in_sight(tab), False)
    assert page.locator(".run-page").evaluate("(view) => view.scrollTop") == 0, "the page stays at its top"
    tab.press("ArrowRight")
    expect(page.get_by_role("tab", name="State")).to_be_focused()
    once_changed(page, lambda: in_sight(page.get_by_role("tab", name="State")), False)
    assert not in_sight(tab)
