"""`ledger`: the ledger in numbers."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from .reading import LedgerFacts
from .show_history import totals
from .show_text import count, line, local_time, make_console, zone


def show(found: LedgerFacts) -> None:
    """Print size, counters and root."""
    console, summary = make_console(), found.summary
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Ledger", Text(line(summary.ledger), "bold"))
    since = f", since {local_time(summary.created_at)} {zone()}" if summary.created_at else ""
    table.add_row("Size", Text.assemble(count(summary.size, "event"), (since, "dim")))
    table.add_row(
        "Executions", Text.assemble(f"{summary.executions:,}", "  " if summary.executions else "", totals(summary))
    )
    table.add_row("Root", Text(found.root.root.hex()))
    console.print(table)
    console.print(Text("The root covers every event up to this size (SHA-256, RFC 9162).", "dim"))
