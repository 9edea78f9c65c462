"""The commands that read: `status`, `history`, `timeline`, `ledger`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from .options import Database, Job, Json, LedgerName, Url, load_settings


class Notes(StrEnum):
    """How much of the output a timeline shows."""

    SHORT = "short"
    FULL = "full"
    NONE = "none"


def status(
    ctx: typer.Context,
    job: Job,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show what is known of one execution now."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_json, show_status

    found = reading.run(settings, lambda reader: reader.status(job))
    if json:
        show_json.show(show_json.status(found))
    else:
        show_status.show(found)


def history(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only those in this status. Repeatable.", show_default=False),
    ] = None,
    name_prefix: Annotated[
        str | None, typer.Option("--name-prefix", metavar="TEXT", help="Only those so named.", show_default=False)
    ] = None,
    parent: Annotated[
        str | None, typer.Option(metavar="JOB", help="Only those that are part of this run.", show_default=False)
    ] = None,
    ended_since: Annotated[
        str | None,
        typer.Option(
            "--ended-since",
            metavar="TIME",
            help="Only those that ended, at this time or later, or so long ago at most: `24h`, `7d`.",
            show_default=False,
        ),
    ] = None,
    ended_until: Annotated[
        str | None,
        typer.Option(
            "--ended-until",
            metavar="TIME",
            help="Only those that ended, before this time, or longer ago: `24h`.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Executions to show.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where the last page ended.", show_default=False)
    ] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """List executions, the newest first."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_history, show_json
    from .windows import read_time

    since = None if ended_since is None else read_time(ended_since, "--ended-since").isoformat()
    until = None if ended_until is None else read_time(ended_until, "--ended-until").isoformat()
    filters: dict[str, Any] = {
        "status": status or None, "run_name_prefix": name_prefix, "ended_from": since, "ended_before": until,
    }  # fmt: skip

    async def read(reader: reading.Reader) -> reading.History:
        whole = None if parent is None else await reader.job_id(parent)
        return await reader.history(limit, cursor, {**filters, "parent_job_id": whole})

    found = reading.run(settings, read)
    if json:
        show_json.show(show_json.history(found))
    else:
        show_history.show(found)


def timeline(
    ctx: typer.Context,
    job: Job,
    notes: Annotated[
        Notes, typer.Option(help="Notes and output: the first lines of each, everything, or nothing.")
    ] = Notes.SHORT,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Events to show.")] = 200,
    from_version: Annotated[
        int, typer.Option("--from", min=1, metavar="N", help="Begin with the N-th event of the execution.")
    ] = 1,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show what happened in one execution: every event, the time in each status, the steps."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_json, show_timeline

    found = reading.run(settings, lambda reader: reader.timeline(job, limit, from_version))
    if json:
        show_json.show(show_json.timeline(found))
    else:
        show_timeline.show(found, notes.value)


def ledger_(
    ctx: typer.Context, json: Json = False, database: Database = None, url: Url = None, ledger: LedgerName = None
) -> None:
    """Show the ledger in numbers: its size, its executions by status, and the root over all its events."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from . import reading, show_json, show_ledger

    found = reading.run(settings, lambda reader: reader.ledger())
    if json:
        show_json.show(show_json.ledger(found))
    else:
        show_ledger.show(found)
