"""When an event that was not taken is sent again."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MOST_PATIENT = 86_400.0
"""Seconds for which an endpoint may ask to be left alone, at most."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Twice as long after each try, up to a bound, and never as long as others that failed at the same moment."""

    tries: int = 12
    """After so many, an event is a dead letter."""
    first: float = 5.0
    """Seconds after the first one."""
    longest: float = 3_600.0

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds to wait after the try that was the `failures`-th to fail; longer where the endpoint asked for it."""
        planned = min(self.first * 2 ** min(failures - 1, 60), self.longest) * random.uniform(0.5, 1)
        return max(planned, self.rest(retry_after))

    def rest(self, retry_after: float | None) -> float:
        """Seconds for which an endpoint that asked for it is left alone, be there another try of the event or not."""
        return min(retry_after or 0.0, _MOST_PATIENT)
