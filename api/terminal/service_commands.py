"""The commands that make a database ready and serve it: `migrate`, `serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Database, Json, LedgerName, load_settings


def migrate(ctx: typer.Context, json: Json = False, database: Database = None) -> None:
    """Bring the database to the schema of this version, from nothing or from any older one."""
    settings = load_settings(ctx, database_url=database)
    from sqlalchemy import make_url

    from ...infrastructure import migrate as bring_up_to_date
    from ...infrastructure.schema import REVISIONS
    from ..runtime import check_folder
    from . import answers, show_json
    from .progress import waiting
    from .show_text import make_console

    url = settings.database_url
    check_folder(url)
    with waiting("migrate"):
        bring_up_to_date(url)
    shown = make_url(url).render_as_string()
    if json:
        show_json.show(answers.Migrated(database=shown, revision=REVISIONS[-1]))
    else:
        make_console().print(f"The database has the schema of this version: {shown}", soft_wrap=True)


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="An address of this machine.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="0 takes a free one.", show_default="8470")] = None,
    json: Json = False,
    database: Database = None,
    ledger: LedgerName = None,
) -> None:
    """Serve HTTP, keep the projections up to date and reap, until Ctrl-C. Where it listens is told once it does.

    Without EXECUTION_LEDGER_AUTH=on it listens on a loopback address only. Its log goes to the error stream.
    """
    settings = load_settings(ctx, database_url=database, ledger=ledger, host=host, port=port)
    from ..http.server import serve as run
    from . import answers, show_json

    def tell(address: str) -> None:
        show_json.show_line(answers.Serving(address=address, ledger=settings.ledger))

    run(settings, tell if json else None)
