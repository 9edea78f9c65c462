"""The commands that bring in what others recorded: `import crud`, `import ledger`, `import openlineage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Actor, Database, Json, LedgerName, Url, load_settings

imports = typer.Typer(
    help="Bring in what others recorded.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@imports.callback()
def _imports() -> None:
    """Bring in what others recorded."""


@imports.command("openlineage")
def openlineage(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="RunEvents, one JSON object a line. `-`: standard input.", show_default=False
        ),
    ],
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> int:
    """Record OpenLineage events of files, in their order. Run again, it records nothing twice.

    Lines that are refused are told with their reason, and left out; the exit status is 1 then.
    """
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger, actor=actor)
    from .importing import import_openlineage

    return import_openlineage(settings, files, json=json)


@imports.command("ledger")
def ledger_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What `export ledger` wrote. `-`: standard input.", show_default=False),
    ],
    json: Json = False,
    database: Database = None,
) -> None:
    """Make the ledger of a backup anew, with its name, its positions, its hashes and its root, on either database.

    The file is checked whole before anything is written. If it is cut short, run it again: it goes on from there.
    """
    settings = load_settings(ctx, database_url=database)
    from .backups import import_ledger

    import_ledger(settings, file, json=json)


@imports.command("crud")
def crud(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Database to read: sqlite:///…, postgresql://…, mysql://…", show_default=False
        ),
    ],
    table: Annotated[str, typer.Option("--table", metavar="NAME", help="Table or view; `schema.name`, too.")] = (
        "executionhistory"
    ),
    map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Where names differ. Repeatable.", show_default=False),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="THEIRS=OURS", help="As SUCCESS=completed. Repeatable.", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="Leave it out. Repeatable.", show_default=False),
    ] = None,
    time_zone: Annotated[
        str, typer.Option("--time-zone", metavar="ZONE", help="Of times that name none, as Europe/Berlin.")
    ] = "UTC",
    prefer_table: Annotated[
        bool,
        typer.Option("--prefer-table", metavar="", help="Its rows correct also what the ledger has later news of."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only tell what would become of the rows.")
    ] = False,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> int:
    """Bring in the executions of a table that was changed in place, with their ids and their times.

    Columns that are no field are kept as attributes. Rows that cannot be an execution are told, a line each, and left
    out; the exit status is 1 then. Run again, it brings in what is new or has changed since, and nothing twice.
    """
    settings = load_settings(ctx, database_url=database, ledger=ledger, actor=actor)
    from .crud_imports import CrudOptions, import_crud

    options = CrudOptions(
        source, table, map or [], status or [], tuple(ignore or ()), time_zone, prefer_table, dry_run, json
    )
    return import_crud(settings, options)
