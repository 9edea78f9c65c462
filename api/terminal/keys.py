"""What the commands for API keys do, and how they show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from ...infrastructure import ApiKey, NewKey, Settings, create_key, list_keys, revoke_key, rotate_key
from ...infrastructure.database_errors import translated
from ...infrastructure.event_store import utc_now
from ...infrastructure.short_transactions import short_transaction
from . import answers, show_json
from .opened import opened
from .show_text import line, local_time, make_console

_T = TypeVar("_T")


def create_and_show(
    settings: Settings, name: str, scopes: Sequence[str], days: float | None, by: str, *, json: bool
) -> None:
    """Make a key, and show it."""
    now = utc_now()
    end = None if days is None else now + timedelta(days=days)
    _show_new(
        _write(
            settings,
            lambda each: create_key(each, settings.ledger, name, scopes, now=now, expires_at=end, created_by=by),
        ),
        json=json,
    )


def rotate_and_show(settings: Settings, key_id: str, overlap: float, by: str, *, json: bool) -> None:
    """Make another key in the place of one, and show it."""
    now = utc_now()
    _show_new(
        _write(
            settings,
            lambda each: rotate_key(each, settings.ledger, key_id, now=now, overlap=overlap, created_by=by),
        ),
        json=json,
    )


def revoke_and_show(settings: Settings, key_id: str, *, json: bool) -> None:
    """Revoke a key."""
    key = _write(settings, lambda each: revoke_key(each, settings.ledger, key_id, now=utc_now()))
    if json:
        show_json.show(answers.RevokedKey(key=_plain(key)))
        return
    make_console().print(Text(f"Revoked: {line(key.name)} ({key.key_id})", "green"))


def show_keys(settings: Settings, *, json: bool) -> None:
    """A line for each, the newest last."""
    with opened(settings) as engine, translated(), engine.connect() as connection:
        found = list_keys(connection, settings.ledger)
    now = utc_now()
    if json:
        show_json.show(answers.Keys(keys=[_plain(each) for each in found]))
        return
    console = make_console()
    if not found:
        console.print(Text(f"Ledger {line(settings.ledger)} has no key yet.", "dim"))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("key id", "name", "scopes", "state", "created", "expires", "last used"):
        table.add_column(name, no_wrap=True)
    for each in found:
        state = each.state(now)
        times = (each.created_at, each.expires_at, each.used_at)
        table.add_row(
            each.key_id,
            line(each.name),
            " ".join(each.scopes),
            Text(state, "green" if state == "active" else "red"),
            *("never" if time is None else local_time(time) for time in times),
        )
    console.print(table)


def _show_new(new: NewKey, *, json: bool) -> None:
    if json:
        show_json.show(answers.NewKey(key=_plain(new.key), secret=new.secret))
        return
    console = make_console()
    scopes = " ".join(new.key.scopes)
    console.print(Text(f"{line(new.key.name)} ({new.key.key_id}) of ledger {line(new.key.ledger_id)}: {scopes}"))
    console.print(Text(new.secret, "bold green"))
    console.print(Text("Keep it now: it is not shown again. Send it as `Authorization: Bearer …`.", "dim"))


def _plain(key: ApiKey) -> answers.Key:
    return show_json.key(key, utc_now())


def _write(settings: Settings, work: Callable[[Connection], _T]) -> _T:
    with opened(settings) as engine, translated(), short_transaction(engine) as connection:
        return work(connection)
