"""Bars for what takes long: on a terminal, on the error stream, gone at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

_LONG = 1.0
"""Seconds after which somebody who waits should see that something is done."""


def make_progress(*columns: ProgressColumn) -> Progress:
    """A context; where the error stream is no terminal, nothing is shown."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A bar without an end, where the block takes longer than a second and nobody knows how long."""
    bar = make_progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar.add_task(what, total=None)
    lock, over = threading.Lock(), False

    def show() -> None:
        with lock:
            if not over:
                bar.start()

    timer = threading.Timer(_LONG, show)
    timer.daemon = True
    if not bar.disable:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over = True
            if bar.live.is_started:
                bar.stop()
