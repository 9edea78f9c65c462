"""The commands that keep what is derived in order: `verify`, `rebuild`, `projections`."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Database, Json, LedgerName, Url, load_settings

VERIFY_HELP = """Compare history, streams, steps and counters with the events, and the events with their hashes.

Each difference is a line. The exit status is 1 where there is one, so that a script can tell."""

REBUILD_HELP = """Build a projection of the ledger anew, beside the live one, and swap it in.

Readers and writers go on meanwhile, and nobody sees a part of it. What would change is told before the swap. Killed, \
it goes on where it was."""


def verify(
    ctx: typer.Context,
    hashes: Annotated[
        bool, typer.Option("--hashes/--no-hashes", metavar="", help="Compute each event's hashes, too.")
    ] = True,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
) -> int:
    """Compare what is derived with the events."""
    settings = load_settings(ctx, database_url=database, ledger=ledger)
    from .upkeep import verify_and_show

    return verify_and_show(settings, hashes=hashes, json=json)


def rebuild(
    ctx: typer.Context,
    projection: Annotated[
        str, typer.Argument(metavar="PROJECTION", help="One that `projections` shows.", show_default=True)
    ] = "execution_history",
    check: Annotated[
        bool, typer.Option("--check", metavar="", help="Only tell what would change; the exit status is 1 then.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", metavar="", help="Keep what is replaced, for `--roll-back`.")] = False,
    roll_back: Annotated[
        bool, typer.Option("--roll-back", metavar="", help="Put back what the last rebuild with --keep replaced.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", metavar="", help="Forget what it replaced, or give up one that was killed.")
    ] = False,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
) -> int:
    """Build a projection anew, and swap it in."""
    settings = load_settings(ctx, database_url=database, ledger=ledger)
    from .errors import UsageProblem
    from .upkeep import end_rebuild, rebuild_and_show

    if sum((check, keep, roll_back, finish)) > 1:
        raise UsageProblem("options", "only one of --check, --keep, --roll-back, --finish", "Choose one.")
    if roll_back or finish:
        return end_rebuild(settings, projection, roll_back=roll_back, json=json)
    return rebuild_and_show(settings, projection, check=check, keep=keep, json=json)


def projections(
    ctx: typer.Context,
    retry: Annotated[
        str | None,
        typer.Option(metavar="PROJECTION", help="Have one that has stopped try again.", show_default=False),
    ] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show how far each projection has read the ledger."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .upkeep import show_projections

    show_projections(settings, retry, json=json)
