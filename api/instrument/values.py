"""What a program says, as what every store keeps: bounded text and JSON. None of it raises, whatever it is given."""

from __future__ import annotations

import traceback
from typing import Any

import msgspec

from ...domain.limits import Limits
from ...domain.values import check_json

ERROR, TRACEBACK, NOTE = 4_000, 16_000, 64_000
"""Characters that are kept of an error, of a traceback and of a note."""

VALUE = 16_000
"""Characters of JSON up to which a value is kept as it is."""

WHOLE = Limits().payload_bytes
"""The same for what a program hands over on purpose: the ledger itself says what is too much."""

_SHOWN = 1_000
"""Characters of text that are kept in place of what is no JSON, or too much of it."""

_INSIDE = 5
"""Levels that a value may lie deep in what is recorded."""


def bounded(text: str, length: int) -> str:
    """Text that every store keeps: without NUL and lone surrogates; the middle is left out where it is too long."""
    text = text.encode(errors="replace").decode().replace("\x00", "\u2400")
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]}\n… {len(text) - length:,} characters left out …\n{text[-half:]}"


def label(text: str, length: int = 255) -> str:
    """A name of at most so many characters, on one line."""
    text = " ".join(bounded(text, 4 * length).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plain(value: Any, length: int = VALUE) -> Any:
    """A value as JSON of at most so many characters; as text, cut, where it is none, or more."""
    if isinstance(value, str):
        return bounded(value, length)
    try:
        encoded = msgspec.json.encode(value)
        if len(encoded) > length:
            return bounded(encoded.decode(), min(length, _SHOWN))
        return check_json(msgspec.json.decode(encoded), "value", _INSIDE)
    except Exception:  # objects of any class may be in it
        return _shown(value, min(length, _SHOWN))


def _shown(value: Any, length: int) -> str:
    try:
        return bounded(repr(value), length)
    except Exception as error:  # of a class that cannot show itself
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def describe(error: BaseException) -> str:
    """The kind of an error and its message."""
    try:
        return bounded(f"{type(error).__name__}: {error}", ERROR)
    except Exception:  # of a class that cannot say itself
        return type(error).__name__


def traced(error: BaseException) -> str:
    """An error with its traceback."""
    try:
        return bounded("".join(traceback.format_exception(error)), TRACEBACK)
    except Exception:  # of a class that cannot be shown
        return describe(error)
