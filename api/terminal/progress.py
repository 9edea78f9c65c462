"""Bars for what takes long: on a terminal, on the error stream, gone at the end."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import TypeVar

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from .show_text import hide_bar, make_console, show_bar

_LONG = 1.0
"""Seconds after which somebody who waits should see that something is done."""


_T = TypeVar("_T")


class _Bar(Progress):
    """Lines that are printed meanwhile stand above it."""

    def start(self) -> None:
        super().start()
        if not self.disable:
            show_bar(self.console)

    def stop(self) -> None:
        hide_bar(self.console)
        super().stop()


def make_progress(*columns: ProgressColumn) -> Progress:
    """A context; where the error stream is no terminal, nothing is shown."""
    console = make_console(stderr=True)
    # rich would send the output to the terminal that the bar is at, also where it goes into a pipe or a file.
    return _Bar(*columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False)


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


@asynccontextmanager
async def entered(context: AbstractAsyncContextManager[_T], bar: AbstractContextManager[None]) -> AsyncIterator[_T]:
    """A context, with a bar until it is entered."""
    async with AsyncExitStack() as stack:
        with bar:
            inside = await stack.enter_async_context(context)
        yield inside
