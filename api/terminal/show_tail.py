"""`tail`: events as they come."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rich.text import Text

from ...projections import RecordedEvent
from . import show_json
from .show_text import LedgerConsole, line, make_console
from .show_timeline import describe


async def follow(events: AsyncGenerator[RecordedEvent, None], *, json: bool) -> None:
    """Print each at once, until the reader has enough."""
    console = make_console()
    async with aclosing(events):
        async for event in events:
            if json:
                show_json.show_line(event)
            else:
                console.print(event_line(event, console), soft_wrap=True)
                sys.stdout.flush()


def event_line(event: RecordedEvent, console: LedgerConsole) -> Text:
    """`08:00:00  nightly-1  failed  disk full  (ada)`."""
    name, details = describe([event], 1)
    when = f"{event.recorded_at.astimezone():%H:%M:%S}"
    text = Text.assemble((f"{when}  ", "dim"), (f"{line(event.job_id)}  ", "bold"), name)
    if details:
        text.append("  ").append_text(Text(line(details.plain)))
    if event.reason:
        text.append(f"  why: {line(event.reason)}", "italic")
    return text.append(f"  ({line(event.actor)})", "dim") if event.actor else text
