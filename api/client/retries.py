"""When a request is sent again: what the network lost and what the service could not do now, within one patience."""

from __future__ import annotations

import random
import time

import httpx

_PASSING = frozenset({429, 502, 503, 504})
_FIRST = 0.1
_LONGEST = 5.0


class Retries:
    """The tries of one call. Safe for any call that carries an Idempotency-Key, which stays the same."""

    def __init__(self, patience: float) -> None:
        self._ends = time.monotonic() + patience
        self._delay = _FIRST

    def delay(self, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds to wait before the next try; None where the outcome stands."""
        if isinstance(outcome, httpx.Response) and outcome.status_code not in _PASSING:
            return None
        delay = self._delay * random.uniform(0.5, 1)
        self._delay = min(2 * self._delay, _LONGEST)
        if isinstance(outcome, httpx.Response):
            delay = max(delay, _retry_after(outcome))
        return delay if time.monotonic() + delay < self._ends else None


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
