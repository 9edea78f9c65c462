"""The commands that bring in what others recorded: `import ledger`, `import openlineage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Actor, Database, LedgerName, Url, load_settings

imports = typer.Typer(
    help="Bring in what others recorded.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@imports.callback()
def _imports() -> None:
    """Bring in what others recorded."""


@imports.command("openlineage")
def openlineage(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="RunEvents, one JSON object a line.", show_default=False)
    ],
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> int:
    """Record OpenLineage events of files, in their order. Run again, it records nothing twice.

    Lines that are refused are told with their reason, and left out; the exit status is 1 then.
    """
    settings = load_settings(ctx, remote=True, url=url, database_url=database, ledger=ledger, actor=actor)
    from .importing import import_openlineage

    return import_openlineage(settings, files)


@imports.command("ledger")
def ledger_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export ledger` wrote.", show_default=False)],
    database: Database = None,
) -> None:
    """Make the ledger of a backup anew, with its name, its positions, its hashes and its root, on either database.

    The file is checked whole before anything is written. If it is cut short, run it again: it goes on from there.
    """
    settings = load_settings(ctx, database_url=database)
    from .backups import import_ledger

    import_ledger(settings, file)
