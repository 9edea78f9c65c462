"""The commands around the ledger: `export`, `doctor`, `completion`."""

from __future__ import annotations

import sys
from enum import StrEnum
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


class Format(StrEnum):
    """What an export is written as."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Shell(StrEnum):
    """Whose completion it is."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def export(
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
    overwrite: Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace a file that is there.")] = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Write the ledger's events to a file, in constant memory, with a manifest beside it that proves what they are."""
    settings = load_settings(ctx, remote=True, url=url, database_url=database, ledger=ledger)
    from .exporting import export_events

    given: dict[str, Any] = {
        "actor": actor, "type": type or None, "job_id": job, "recorded_from": since, "recorded_before": until,
    }  # fmt: skip
    filters = {name: value for name, value in given.items() if value is not None}
    export_events(settings, file, None if format is None else format.value, filters, overwrite=overwrite)


def doctor(
    ctx: typer.Context, json: Json = False, database: Database = None, url: Url = None, ledger: LedgerName = None
) -> int:
    """Look for what is wrong with this installation, and tell the remedy. The exit status is 1 where something is."""
    settings = load_settings(ctx, remote=True, url=url, database_url=database, ledger=ledger)
    from .examine import examine_and_show

    return examine_and_show(settings, json=json)


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print what makes a shell complete commands and options: `eval "$(execution-ledger completion bash)"`."""
    # typer offers it as an option of every command, or under this name
    from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

    name = "execution-ledger"
    script = get_completion_script(prog_name=name, complete_var=COMPLETE_VARIABLE, shell=shell.value)
    sys.stdout.write(script + "\n")


COMPLETE_VARIABLE = "_EXECUTION_LEDGER_COMPLETE"
"""Set by the shell when it asks for completions."""
