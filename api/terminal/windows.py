"""Stretches of time as people say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ...domain.values import check_time
from .errors import UsageProblem
from .reading import Window

_AGO = re.compile(r"(\d{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


def read_time(text: str, option: str, end: datetime | None = None) -> datetime:
    """A time, or how long before `end` it was: `24h`, `7d`; before now, without one."""
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return (end or datetime.now(UTC)) - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        return check_time(text, option)
    except OverflowError as error:
        raise UsageProblem(option, f"{text} ago there was no calendar", "Name a later time.") from error


def make_window(since: str, until: str | None, by: str, run_name: str | None, now: datetime | None = None) -> Window:
    """Whole hours: those that `since` and `until` lie in are taken along."""
    now = now or datetime.now(UTC)
    end = now if until is None else check_time(until, "--until")
    begin = read_time(since, "--since", end)
    whole = timedelta(hours=1)
    first, last = _hour(begin), _hour(end - timedelta(microseconds=1)) + whole
    if first >= last:
        raise UsageProblem("--until", "is not after --since", "Name a later time.")
    return Window(first, last, by, run_name)


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)
