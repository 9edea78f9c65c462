"""A bound on how fast one caller may ask: a bucket for each, which fills again at the rate."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from starlette.types import ASGIApp, Receive, Scope, Send

from .problem_kinds import TOO_MANY_REQUESTS
from .problems import problem_response

_BURST = 10.0
"""Seconds' worth of requests that may come at once."""
_CALLERS = 10_000


class Buckets:
    """What each caller has left. Callers that have not asked for longest are forgotten; they would have all again."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """0 where the caller may go on, else the seconds until then."""
        most = max(1.0, self._rate * _BURST)
        left, since = self._left.pop(caller, (most, now))
        left = min(most, left + (now - since) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[caller] = (left - 1 if not wait else left, now)
        if len(self._left) > _CALLERS:
            self._left.popitem(last=False)
        return wait


class RateLimit:
    """Answers 429 with Retry-After to whoever asks too fast."""

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self.app = app
        self._buckets = Buckets(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        principal = scope.get("state", {}).get("principal") if scope["type"] == "http" else None
        if principal is not None and (wait := self._buckets.take(principal.name, time.monotonic())):
            headers = {"Retry-After": str(math.ceil(wait))}
            refusal = problem_response(TOO_MANY_REQUESTS, TOO_MANY_REQUESTS.title, headers=headers)
            return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)
