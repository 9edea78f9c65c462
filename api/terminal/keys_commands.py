"""The commands for API keys: `keys create`, `keys list`, `keys rotate`, `keys revoke`."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Actor, Database, Json, LedgerName, actor_of, load_settings

HELP = """API keys of a ledger, for `serve` with EXECUTION_LEDGER_AUTH=on.

A key is shown once, when it is made; the database has only its digest."""

keys = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.", show_default=False)]


@keys.command()
def create(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Recorded as the actor of what is done with it.", show_default=False)
    ],
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="read, write, audit or admin; give it several times.", show_default=False),
    ],
    days: Annotated[
        float | None, typer.Option(metavar="N", min=0, max=36_500, help="Days until it expires; never, if left out.")
    ] = None,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> None:
    """Make a key, and show it once."""
    settings = load_settings(ctx, database_url=database, ledger=ledger, actor=actor)
    from .keys import create_and_show

    create_and_show(settings, name, scope, days, actor_of(settings), json=json)


@keys.command("list")
def list_(ctx: typer.Context, json: Json = False, database: Database = None, ledger: LedgerName = None) -> None:
    """Show all keys that ever were, without their secrets."""
    settings = load_settings(ctx, database_url=database, ledger=ledger)
    from .keys import show_keys

    show_keys(settings, json=json)


@keys.command()
def rotate(
    ctx: typer.Context,
    key_id: KeyId,
    overlap_hours: Annotated[
        float, typer.Option(metavar="N", min=0, max=87_600, help="Hours for which the old key still works.")
    ] = 0,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
    actor: Actor = None,
) -> None:
    """Make another key like this one, in its place."""
    settings = load_settings(ctx, database_url=database, ledger=ledger, actor=actor)
    from .keys import rotate_and_show

    rotate_and_show(settings, key_id, overlap_hours * 3600, actor_of(settings), json=json)


@keys.command()
def revoke(
    ctx: typer.Context, key_id: KeyId, json: Json = False, database: Database = None, ledger: LedgerName = None
) -> None:
    """Have a key work no longer: from then on in the database, within seconds in every running service."""
    settings = load_settings(ctx, database_url=database, ledger=ledger)
    from .keys import revoke_and_show

    revoke_and_show(settings, key_id, json=json)
