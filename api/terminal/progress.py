"""Bars for what takes long: on a terminal, on the error stream, gone at the end."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def make_progress(*columns: ProgressColumn) -> Progress:
    """A context; where the error stream is no terminal, nothing is shown."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
