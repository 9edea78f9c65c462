"""What `record` itself says, on the error stream, beside the command's own output."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext, suppress

from rich.text import Text

from ...domain import NoteLevel
from ..terminal.progress import waiting
from ..terminal.show_text import STATUS_STYLES, clean, duration, make_console, symbol
from .writer import LedgerWriter


class Notices:
    """A line at the beginning, a line at the end; with `quiet` only warnings."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._console = make_console(stderr=True)

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """A bar, where the block takes longer than a second."""
        return nullcontext() if self._quiet else waiting(what)

    def began(self, job_id: str) -> None:
        """Say what the run is called, so that others can look it up while it lasts."""
        if not self._quiet:
            self._print(Text.assemble((f"{symbol('running', self._console)} ", "cyan"), ("recording ", "dim"), job_id))

    def ended(
        self,
        job_id: str,
        status: str,
        seconds: float,
        error: str | None,
        writer: LedgerWriter,
        lost_output: str | None,
    ) -> None:
        """Say how it ended, where to look, and what the ledger does not know."""
        if not self._quiet:
            style, after = STATUS_STYLES[status], "in" if status == "completed" else "after"
            line = Text.assemble((f"{symbol(status, self._console)} {status}", style), f" {after} {duration(seconds)}")
            if error:
                line.append(f": {clean(error).splitlines()[0]}")
            hint = f" · execution-ledger timeline {job_id}"
            if line.cell_len + len(hint) > self._console.width:
                hint = "\n" + hint.removeprefix(" · ")
            self._print(line.append(hint, "dim"))
        if writer.ended_by_another:
            ended = writer.ended_by_another
            self._warn(
                f"{job_id} was {ended.status} already; the outcome is kept as its late outcome. {ended.error or ''}"
            )
        if lost_output:
            self._warn(f"output could not be passed on: {lost_output}.")
        if writer.refused:
            self._warn(f"the ledger refused {_entries(len(writer.refused))} of {job_id}: {writer.refused[0]}")
        if len(writer):
            self._warn(
                f"the ledger could not be reached: {_entries(len(writer))} of {job_id}, its outcome among them, "
                f"{'is' if len(writer) == 1 else 'are'} not recorded. {writer.trouble or 'It did not answer in time.'}"
            )

    def _warn(self, message: str) -> None:
        self._print(Text.assemble((f"{NoteLevel.WARNING}: ", "yellow"), " ".join(clean(message).split())))

    def _print(self, line: Text) -> None:
        with suppress(OSError):  # whoever reads no warnings still has a run to record
            os.write(2, self._console.text(line, soft_wrap=True).encode(errors="replace"))


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
