"""The command line: `execution-ledger`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from .terminal import (
    export_commands,
    import_commands,
    keys_commands,
    looking_commands,
    reading_commands,
    reap_command,
    record_command,
    service_commands,
    tool_commands,
    upkeep_commands,
    webhooks_commands,
)
from .terminal.errors import explain, print_error
from .terminal.examples import epilog
from .terminal.options import Actor, Database, Given, LedgerName, Url

app = typer.Typer(
    name="execution-ledger",
    help="A ledger of executions: every change appended, nothing overwritten.",
    epilog=epilog(""),
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("execution-ledger"))
        except PackageNotFoundError:  # run from a checkout
            print("unknown: the package is not installed")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar="", help="Show the version and exit.")
    ] = False,
) -> None:
    ctx.obj = Given(database, ledger, actor, url)


app.command(
    "record",
    help=record_command.HELP,
    short_help="Run a command and record it.",
    options_metavar="[OPTIONS] -- COMMAND…",
    # From its first word on, everything belongs to the command.
    context_settings={"allow_extra_args": True, "allow_interspersed_args": False},
)(record_command.record)
app.command("status")(reading_commands.status)
app.command("history")(reading_commands.history)
app.command("timeline")(reading_commands.timeline)
app.command("replay")(looking_commands.replay)
app.command("tail")(looking_commands.tail)
app.command("diff")(looking_commands.diff)
app.command("audit")(looking_commands.audit)
app.command("stats")(looking_commands.stats)
app.command("ledger")(reading_commands.ledger_)
app.command("doctor")(tool_commands.doctor)
app.command("completion")(tool_commands.completion)
app.command("verify", help=upkeep_commands.VERIFY_HELP, short_help="Compare what is derived with the events.")(
    upkeep_commands.verify
)
app.command("rebuild", help=upkeep_commands.REBUILD_HELP, short_help="Build a projection anew and swap it in.")(
    upkeep_commands.rebuild
)
app.command("projections")(upkeep_commands.projections)
app.add_typer(export_commands.exports, name="export")
app.add_typer(import_commands.imports, name="import")
app.add_typer(keys_commands.keys, name="keys")
app.add_typer(webhooks_commands.webhooks, name="webhooks")
app.command("reap", help=reap_command.HELP, short_help="End the runs whose lease expired.")(reap_command.reap)


app.command("migrate")(service_commands.migrate)
app.command("serve")(service_commands.serve)


def _add_examples(group: typer.Typer, path: str = "") -> None:
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        command.epilog = epilog(f"{path} {name}".lstrip())
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        inner.epilog = epilog(f"{path} {inner.name}".lstrip())
        _add_examples(inner.typer_instance, f"{path} {inner.name}".lstrip())


_add_examples(app)


@cache
def command() -> Any:
    """All commands as one; `app` would make them anew for each line that it runs."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and answer its exit status."""
    if tool_commands.COMPLETE_VARIABLE in os.environ:
        # typer does this only where it adds options of its own, and has no public name for it
        from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

        completion_init()
    try:
        status = command()(list(arguments) or ["--help"], prog_name="execution-ledger", standalone_mode=False)
        sys.stdout.flush()  # now, since at the end Python itself would tell of what could not be written
    except typer.Abort:
        return 130
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # of rich, which prints the help
            return _reader_left()
        raise
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:
        status, message = explain(error)
        print_error(message)
    return status if isinstance(status, int) else 0


def _reader_left() -> int:
    from .terminal.show_text import BROKEN_PIPE, discard

    discard(sys.stdout)
    return BROKEN_PIPE


def main() -> None:
    """Run as a program."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another one
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


def _open_standard_streams() -> None:
    """See to it that no pipe or file of ours takes the number of a stream that we were started without."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if __name__ == "__main__":
    main()
