"""The command `reap`."""

from __future__ import annotations

from typing import Annotated

import typer

from .errors import explain, print_error
from .options import Database, Given, Json, load_settings

HELP = """End the runs whose lease expired: their `record`, or another worker, is gone.

Each is ended once, however many reapers there are, and with the reason. A worker that comes back late loses nothing: \
its outcome is kept beside that end. `execution-ledger serve` does the same all the time."""


def reap(
    ctx: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", metavar="", help="Go on, every $EXECUTION_LEDGER_REAP_INTERVAL seconds.")
    ] = False,
    json: Json = False,
    database: Database = None,
    ledger: Annotated[
        str | None,
        typer.Option("--ledger", metavar="NAME", help="This ledger only.", show_default="all of the database"),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor",
            metavar="NAME",
            help="Who is recorded as the actor; else $EXECUTION_LEDGER_ACTOR, else `reaper`.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """End the runs whose lease expired."""
    settings = load_settings(ctx, database_url=database, ledger=ledger, actor=actor)
    only = settings.ledger if ledger or (ctx.find_root().obj or Given()).ledger else None
    import asyncio

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from ..reaping import count_due, reap_forever, reap_patiently
    from ..runtime import open_ledger
    from .progress import make_progress
    from .show_reaped import ReapedLines

    lines = ReapedLines(settings.ledger, json=json)

    async def run() -> None:
        async with open_ledger(settings, create=False) as opened:
            if watch:
                await reap_forever(opened, lines.add, lambda error: print_error(explain(error)[1]), only)
            columns = (TextColumn("leases"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with make_progress(*columns) as bar:
                task = bar.add_task("", total=None)
                bar.update(task, total=await count_due(opened, only))
                async for reaped in reap_patiently(opened, only):
                    lines.add(reaped)
                    bar.advance(task)
        lines.close()

    asyncio.run(run())
