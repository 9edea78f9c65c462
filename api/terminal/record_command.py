"""The command `record`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..recording.arguments import Plan, parse_pairs, parse_size, parse_steps
from .errors import explain, print_error
from .options import Actor, Database, LedgerName, Url, actor_of, load_settings

HELP = """Run a command and record it: its start, its output, its steps and how it ended.

The command runs as it would without: its output passes through as it comes, signals reach it, its exit status is \
returned. Ctrl-C is recorded as cancelled. If the ledger cannot be reached at the start, nothing is run; if it goes \
away later, the command goes on, and what waits is written as soon as the ledger is back."""

_ABOUT = "What the ledger is told"
_BOUNDS = "Bounds"


def record(
    ctx: typer.Context,
    step: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Begin a step, whose command follows after `--`. The next `--step NAME --` begins the next one. "
            "A step that fails fails the run, and the later ones are not started.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What people read.", show_default="the command line", rich_help_panel=_ABOUT),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option(
            "--job-id",
            metavar="ID",
            help="A job id of your own.",
            show_default="made from the name",
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            metavar="JOB",
            help="The run that this one is part of; inside another `record` it is known already.",
            show_default=False,
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    attempt: Annotated[
        int, typer.Option(min=1, metavar="N", help="Which attempt this is.", rich_help_panel=_ABOUT)
    ] = 1,
    input: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="An input, beside the command line, folder and host, which are recorded anyway. Repeatable.",
            show_default=False,
            rich_help_panel=_ABOUT,
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="A label of yours. Repeatable.", show_default=False, rich_help_panel=_ABOUT
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why it is run.", show_default=False, rich_help_panel=_ABOUT)
    ] = None,
    max_output: Annotated[
        str,
        typer.Option(
            "--max-output",
            metavar="SIZE",
            help="Output that is kept (64K, 1M …); the rest is passed on and counted. 0 keeps none.",
            rich_help_panel=_BOUNDS,
        ),
    ] = "1M",
    grace: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="From a signal until the command is killed.", rich_help_panel=_BOUNDS
        ),
    ] = 10,
    ledger_wait: Annotated[
        float,
        typer.Option(
            "--ledger-wait",
            min=0,
            metavar="SECONDS",
            help="How long to try, at the end, to reach a ledger that went away.",
            rich_help_panel=_BOUNDS,
        ),
    ] = 30,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing but warnings.")] = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> None:
    """Run a command and record it."""
    plan = Plan(
        steps=parse_steps(step or [], ctx.args),
        job_id=job_id,
        name=name,
        parent=parent,
        attempt=attempt,
        inputs=parse_pairs("--input", input or [], reserved=("argv", "steps", "cwd", "host")),
        attributes=parse_pairs("--attribute", attribute or []),
        reason=reason,
        max_output=parse_size("--max-output", max_output),
        grace=grace,
        ledger_wait=ledger_wait,
        quiet=quiet,
    )
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger, actor=actor)
    import asyncio

    from ..recording.run import NOT_RECORDED, BrokenOff
    from ..recording.run import record as run

    try:
        status = asyncio.run(run(plan, settings, actor_of(settings)))
    except BrokenOff as broken:
        print_error(f"Run {broken.job_id} was begun, but not recorded to its end: {explain(broken.error)[1]}")
        status = NOT_RECORDED
    except Exception as error:
        print_error(f"{explain(error)[1]} (nothing was run)")
        status = NOT_RECORDED
    raise typer.Exit(status)
