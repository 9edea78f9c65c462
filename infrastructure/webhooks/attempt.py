"""What became of one try to deliver."""

from __future__ import annotations

import msgspec

_ERROR_LENGTH = 500
_INSTEAD = "\N{REPLACEMENT CHARACTER}"
"""Of NUL, which no database keeps."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an endpoint."""

    delivered: bool
    """Whether it answered 2xx."""
    status: int | None
    """Of the answer; None where there was none."""
    error: str | None
    """Why it was not delivered, in one line."""
    response: str | None
    """The beginning of what it answered then."""
    retry_after: float | None
    """Seconds that it asked to be left alone."""
    seconds: float
    """How long it took."""


def broken(error: Exception, seconds: float = 0.0) -> Attempt:
    """A try that an error ended before there was an answer."""
    return failed(f"{type(error).__name__}: {error}", seconds)


def failed(
    error: str,
    seconds: float,
    *,
    status: int | None = None,
    response: bytes = b"",
    retry_after: float | None = None,
) -> Attempt:
    """A try that came to nothing. Texts are made fit for the database."""
    text = response.decode(errors="replace").replace("\x00", _INSTEAD)
    return Attempt(
        delivered=False,
        status=status,
        error=" ".join(error.replace("\x00", _INSTEAD).split())[:_ERROR_LENGTH] or "no answer",
        response=text or None,
        retry_after=retry_after,
        seconds=seconds,
    )
