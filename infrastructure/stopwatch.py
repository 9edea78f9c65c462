"""How long ago something was, for those who must not believe it was sooner than it was."""

from __future__ import annotations

import time


class Stopwatch:
    """Counts from when it was made, by whichever clock runs ahead.

    In a suspended machine the monotonic clock stands still on some systems, and the wall clock can be set back.
    """

    def __init__(self) -> None:
        self._monotonic, self._wall = time.monotonic(), time.time()

    @property
    def seconds(self) -> float:
        """Seconds since then, rather too many than too few."""
        return max(time.monotonic() - self._monotonic, time.time() - self._wall)
