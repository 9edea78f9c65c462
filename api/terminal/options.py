"""Options that several commands share. Each stands before or after the name of the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import UsageProblem
from .places import calls_services, path_of, refuse_service

if TYPE_CHECKING:
    from ...infrastructure import Settings

WHERE = "Where and who"
"""The panel of the help that these options stand in."""

Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="`sqlite:///file.db` or `postgresql://…`; else $EXECUTION_LEDGER_DATABASE_URL, "
        "else `execution-ledger.db` in this folder.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="A service to ask in place of a database, as `http://127.0.0.1:8470`; else $EXECUTION_LEDGER_URL. Its key "
        "is $EXECUTION_LEDGER_KEY.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
LedgerName = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="NAME",
        help="The ledger to use; else $EXECUTION_LEDGER_LEDGER, else `default`.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor",
        metavar="NAME",
        help="Who is recorded as the actor; else $EXECUTION_LEDGER_ACTOR, else your login name.",
        rich_help_panel=WHERE,
        show_default=False,
    ),
]
EventTypes = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="EVENT", help="Only these, as `corrected`. Repeatable.", show_default=False),
]
OfJob = Annotated[
    str | None,
    typer.Option("--job", metavar="JOB", help="Only those of this execution, by job id or number.", show_default=False),
]
RecordedSince = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Recorded at this time or later.", show_default=False)
]
RecordedUntil = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Recorded before this time.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON for programs; times are UTC.")]
Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Job id, or the number that `history` shows.", show_default=False)
]


@dataclass(slots=True)
class Given:
    """Options that stood before the name of the command."""

    database: str | None = None
    ledger: str | None = None
    actor: str | None = None
    url: str | None = None


def load_settings(ctx: typer.Context, **options: object) -> Settings:
    """Settings of the environment, under the options of the command line; refused where a service is named in vain."""
    import re

    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from ...infrastructure import Settings

    given: Given = ctx.find_root().obj or Given()
    before = {"database_url": given.database, "ledger": given.ledger, "actor": given.actor, "url": given.url}
    chosen = {name: value for name, value in before.items() if value is not None}
    chosen |= {name: value for name, value in options.items() if value is not None}
    if "database_url" in chosen:
        chosen.setdefault("url", None)  # that of the environment
    try:
        settings = Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = f"--{name.split('_')[0]}" if name in chosen else f"EXECUTION_LEDGER_{name.upper()}"
        raise UsageProblem(where, first["msg"], "See docs/settings.md.") from error
    except SettingsError as error:  # a list, which is decoded before it is validated
        name = re.search(r'field "(\w+)"', str(error))
        where = f"EXECUTION_LEDGER_{name[1].upper()}" if name else "EXECUTION_LEDGER_…"
        raise UsageProblem(where, "is no JSON list", 'Write it as ["one", "two"].') from error
    if settings.url is not None and not calls_services(ctx.command):
        raise refuse_service(path_of(ctx), "--url" if "url" in chosen else "EXECUTION_LEDGER_URL")
    if settings.url is not None and "database_url" in chosen:
        raise UsageProblem("--url", "is given beside --database", "Name one of them.")
    return settings


def actor_of(settings: Settings) -> str:
    """Who is recorded as the actor."""
    import getpass

    if settings.actor is not None:
        return settings.actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        import os

        return f"uid {os.getuid()}"
