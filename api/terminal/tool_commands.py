"""The commands around the ledger: `doctor`, `completion`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from .options import Database, Json, LedgerName, Url, load_settings


class Shell(StrEnum):
    """Whose completion it is."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def doctor(
    ctx: typer.Context, json: Json = False, database: Database = None, url: Url = None, ledger: LedgerName = None
) -> int:
    """Look for what is wrong with this installation, and tell the remedy. The exit status is 1 where something is."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
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
