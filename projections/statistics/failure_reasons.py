"""Error texts made alike, so that failures of one kind are counted as one."""

from __future__ import annotations

import re

MAX_LENGTH = 200
"""Characters of a reason."""

_READ = 2_000
"""Characters of an error that are looked at: one of a hundred megabytes must not hold up the others."""

_TRACEBACK = "Traceback (most recent call last):"

# In this order: what is more special first.
_VARIABLE = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"(?<![\w.<>/])(?:[A-Za-z]:)?(?:[\\/][\w.@%+~-]+){2,}[\\/]?"), "<path>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)


def failure_reason(error: str | None) -> str:
    """The first line of an error (of a Python traceback, the last) without its numbers, ids, times, paths, addresses.

    Empty where there is none.
    """
    text = (error or "").strip()
    lines = text[-_READ:].splitlines()[::-1] if text.startswith(_TRACEBACK) else text[:_READ].splitlines()
    reason = " ".join(lines[0].split()) if lines else ""
    for variable, blot in _VARIABLE:
        reason = variable.sub(blot, reason)
    return reason if len(reason) <= MAX_LENGTH else reason[: MAX_LENGTH - 1].rstrip() + "…"
