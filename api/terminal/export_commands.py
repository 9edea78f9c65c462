"""The commands that write what is recorded to files: `export events`, `export ledger`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    Database,
    EventTypes,
    Json,
    LedgerName,
    OfJob,
    RecordedSince,
    RecordedUntil,
    Url,
    load_settings,
)

exports = typer.Typer(
    help="Write what is recorded to a file.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Overwrite = Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace a file that is there.")]


class Format(StrEnum):
    """What an export is written as."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@exports.callback()
def _exports() -> None:
    """Write what is recorded to a file."""


@exports.command("events")
def events(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to; its ending is the format. `-`: standard output.")
    ],
    format: Annotated[
        Format | None, typer.Option("--format", help="If the name does not tell.", show_default=False)
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--by-actor", metavar="NAME", help="Only what they did.", show_default=False)
    ] = None,
    type: EventTypes = None,
    job: OfJob = None,
    since: RecordedSince = None,
    until: RecordedUntil = None,
    overwrite: Overwrite = False,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Write the ledger's events to a file, in constant memory, with a manifest beside it that proves what they are."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .exporting import export_events

    given: dict[str, Any] = {
        "actor": actor, "type": type or None, "recorded_from": since, "recorded_before": until,
    }  # fmt: skip
    filters = {name: value for name, value in given.items() if value is not None}
    kind = None if format is None else format.value
    export_events(settings, file, kind, job, filters, overwrite=overwrite, json=json)


@exports.command("ledger")
def ledger_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Where to, as `ledger.jsonl.gz`. `-`: standard output.", show_default=False
        ),
    ],
    overwrite: Overwrite = False,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
) -> None:
    """Write all that a ledger holds to one compressed file, which `import ledger` makes the same ledger of.

    Others may go on to write meanwhile: the file holds what there was when this began.
    """
    settings = load_settings(ctx, database_url=database, ledger=ledger)
    from .backups import export_ledger

    export_ledger(settings, file, overwrite=overwrite, json=json)
