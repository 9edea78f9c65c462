"""Which commands work on a database alone: those that have no `--url`, and why."""

from __future__ import annotations

from typing import Any

from .errors import UsageProblem

DATABASE_ONLY = {
    "import crud": "it loads executions with ids of their own",
    "export ledger": "it copies hashes and salts, which no service tells",
    "import ledger": "it loads hashes and salts as they are",
    "keys": "whoever has the database makes its keys",
    "migrate": "it changes tables",
    "reap": "a service ends such runs by itself",
    "rebuild": "it makes tables anew",
    "serve": "it is the service",
    "verify": "it compares rows of tables",
}
"""Command or group → why it calls no service."""


def calls_services(command: Any) -> bool:
    """Whether a command takes the URL of a service."""
    return any(parameter.name == "url" for parameter in command.params)


def path_of(ctx: Any) -> str:
    """The words that name a command, as `keys create`."""
    return " ".join(ctx.command_path.split()[1:])


def why_database(path: str) -> str | None:
    """Why a command calls no service; None where nobody has said."""
    return DATABASE_ONLY.get(path) or DATABASE_ONLY.get(path.partition(" ")[0])


def refuse_service(path: str, where: str) -> UsageProblem:
    """What is raised where a service is named for such a command."""
    why = why_database(path)
    problem = f"`{path}` works on a database" + (f": {why}" if why else "")
    return UsageProblem(where, problem, "Name the database with --database.")


def refuse_unknown_option(error: Any) -> UsageProblem | None:
    """The same where `--url` stands behind the name of such a command; None for any other error."""
    if not hasattr(error, "possibilities") or error.option_name != "--url":
        return None
    path = path_of(error.ctx)
    return refuse_service(path, "--url") if why_database(path) else None
