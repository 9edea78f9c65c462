"""What a reaper did, a line for each run that it ended."""

from __future__ import annotations

from rich.text import Text

from ...infrastructure import Reaped
from . import show_json
from .show_text import STATUS_STYLES, clean, local_time, make_console, symbol


class ReapedLines:
    """Printed as they come; `ledger` is the one that need not be named. With `json`, one object a line."""

    def __init__(self, ledger: str, *, json: bool) -> None:
        self._ledger = ledger
        self._json = json
        self._console = make_console()
        self._count = 0

    def add(self, reaped: Reaped) -> None:
        """Tell of one; a lease that was merely left behind by a run that had ended is not worth a line."""
        if reaped.status is None:
            return
        self._count += 1
        if self._json:
            show_json.show_line(show_json.reaped(reaped))
            return
        where = "" if reaped.ledger == self._ledger else f" in ledger {clean(reaped.ledger)}"
        line = Text.assemble(
            (f"{symbol(reaped.status, self._console)} {reaped.status}", STATUS_STYLES[reaped.status]),
            f" {clean(reaped.key)}{where}",
            (f" · the lease of {clean(reaped.holder)} expired {local_time(reaped.expired_at)}", "dim"),
        )
        self._console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Say so where there was nothing to do."""
        if not self._count and not self._json:
            self._console.print("No run's lease has expired.")
