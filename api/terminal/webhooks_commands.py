"""The commands for webhooks: `webhooks add`, `webhooks list`, `webhooks dead` and so on."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Actor, Database, EventTypes, Json, LedgerName, Url, actor_of, load_settings

HELP = """Send the ledger's events to URLs, signed, while `serve` runs.

A secret is shown once, when it is made; whoever receives verifies with it."""

webhooks = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Endpoint = Annotated[str, typer.Argument(metavar="ID", help="As `webhooks list` shows it.", show_default=False)]
Positions = Annotated[
    list[int] | None, typer.Argument(metavar="POSITION…", min=1, help="Of dead letters.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", metavar="", help="All that there are.")]
After = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Begin behind this position: 0 is all.", show_default=False)
]
Description = Annotated[str | None, typer.Option(metavar="TEXT", help="A word for people.", show_default=False)]


@webhooks.command()
def add(
    ctx: typer.Context,
    to: Annotated[str, typer.Argument(metavar="URL", help="Where to: http or https.", show_default=False)],
    type: EventTypes = None,
    description: Description = None,
    after: After = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> None:
    """Send events to a URL from now on, and show its secret once."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger, actor=actor)
    from .webhooks import add_and_show

    add_and_show(settings, to, type, description, after, actor_of(settings), json=json)


@webhooks.command("list")
def list_(
    ctx: typer.Context, json: Json = False, database: Database = None, url: Url = None, ledger: LedgerName = None
) -> None:
    """Show all of them, and how each is doing."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import show_webhooks

    show_webhooks(settings, json=json)


@webhooks.command()
def show(
    ctx: typer.Context,
    endpoint: Endpoint,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show how one is doing: how far it is, what failed, when it is tried again."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import show_webhook

    show_webhook(settings, endpoint, json=json)


@webhooks.command()
def change(
    ctx: typer.Context,
    endpoint: Endpoint,
    to: Annotated[str | None, typer.Option("--to", metavar="URL", help="Where to.", show_default=False)] = None,
    type: EventTypes = None,
    all_types: Annotated[bool, typer.Option("--all-types", metavar="", help="Events of all types.")] = False,
    description: Description = None,
    after: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Go on behind this position, backward or forward.", show_default=False),
    ] = None,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Change where to, what, or from where on."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .errors import UsageProblem
    from .webhooks import change_and_show

    if type and all_types:
        raise UsageProblem("--all-types", "is given beside --type", "Choose one.")
    given = {"url": to, "types": type or None, "description": description, "after": after}
    changes = {name: value for name, value in given.items() if value is not None}
    change_and_show(settings, endpoint, changes | ({"types": None} if all_types else {}), None, json=json)


@webhooks.command()
def enable(
    ctx: typer.Context,
    endpoint: Endpoint,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Go on with one that was switched off, or answered 410, where it was."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import change_and_show

    change_and_show(settings, endpoint, {"enabled": True}, None, json=json)


@webhooks.command()
def disable(
    ctx: typer.Context,
    endpoint: Endpoint,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> None:
    """Send it nothing until it is enabled; nothing is lost."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger, actor=actor)
    from .webhooks import change_and_show

    change_and_show(settings, endpoint, {"enabled": False}, actor_of(settings), json=json)


@webhooks.command()
def remove(
    ctx: typer.Context,
    endpoint: Endpoint,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Forget one, with its dead letters."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import remove_and_tell

    remove_and_tell(settings, endpoint, json=json)


@webhooks.command()
def rotate(
    ctx: typer.Context,
    endpoint: Endpoint,
    overlap_hours: Annotated[
        float, typer.Option(metavar="N", min=0, help="Hours for which the old secret signs, too; 720 at most.")
    ] = 0,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Give one another secret, and show it once."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from ...infrastructure.webhooks.endpoints import LONGEST_OVERLAP
    from .errors import UsageProblem
    from .webhooks import rotate_and_show

    if overlap_hours * 3600 > LONGEST_OVERLAP:
        raise UsageProblem("--overlap-hours", f"is more than {LONGEST_OVERLAP / 3600:g}", "Give the new secret sooner.")
    rotate_and_show(settings, endpoint, overlap_hours * 3600, json=json)


@webhooks.command("test")
def send_test(
    ctx: typer.Context,
    endpoint: Endpoint,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> int:
    """Send it an event that tells of nothing, now; the exit status is 1 where it was not taken."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import test_and_show

    return test_and_show(settings, endpoint, json=json)


@webhooks.command()
def dead(
    ctx: typer.Context,
    endpoint: Endpoint,
    after: Annotated[int, typer.Option(metavar="N", min=0, help="Only those behind this position.")] = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 100,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Show the events that it did not take, and why."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import show_dead_letters

    show_dead_letters(settings, endpoint, after, limit, json=json)


@webhooks.command()
def replay(
    ctx: typer.Context,
    endpoint: Endpoint,
    positions: Positions = None,
    every: All = False,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> int:
    """Send dead letters once more, now; the exit status is 1 where one was not taken."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import replay_and_show

    return replay_and_show(settings, endpoint, _chosen(positions, every), json=json)


@webhooks.command()
def drop(
    ctx: typer.Context,
    endpoint: Endpoint,
    positions: Positions = None,
    every: All = False,
    json: Json = False,
    database: Database = None,
    url: Url = None,
    ledger: LedgerName = None,
) -> None:
    """Forget dead letters; the events stay in the ledger."""
    settings = load_settings(ctx, url=url, database_url=database, ledger=ledger)
    from .webhooks import drop_and_tell

    drop_and_tell(settings, endpoint, _chosen(positions, every), json=json)


def _chosen(positions: list[int] | None, every: bool) -> list[int] | None:
    """Positions, or None for all."""
    from .errors import UsageProblem

    if bool(positions) == every:
        raise UsageProblem("POSITION", "name some, or say --all", "`webhooks dead` shows those that there are.")
    return None if every else positions
