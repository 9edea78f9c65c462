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
from .progress import waiting
from .show_text import GAP, giving_way, line, local_time, make_console

_T = TypeVar("_T")
_NAME = 12
"""Columns that a name has at least."""


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
    with waiting("keys"), opened(settings) as engine, translated(), engine.connect() as connection:
        found = list_keys(connection, settings.ledger)
    now = utc_now()
    if json:
        show_json.show(answers.Keys(keys=[_plain(each) for each in found]))
        return
    console = make_console()
    if not found:
        console.print(Text(f"Ledger {line(settings.ledger)} has no key yet.", "dim"))
        return
    names = ("key id", "name", "scopes", "state", "created", "expires", "last used")
    rows = [[Text(name) for name in names]]
    for each in found:
        state = each.state(now)
        times = (each.created_at, each.expires_at, each.used_at)
        rows.append(
            [
                Text(each.key_id),
                Text(line(each.name)),
                Text(" ".join(each.scopes)),
                Text(state, "green" if state == "active" else "red"),
                *(Text("never" if time is None else local_time(time)) for time in times),
            ]
        )
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    name, widths[1] = widths[1], min(widths[1], _NAME)
    # The id is to be typed; of what is left out, --json tells.
    out = giving_way(
        widths, console.width, [names.index(name) for name in ("scopes", "created", "last used", "expires")]
    )
    room = console.width - sum(width + GAP for at, width in enumerate(widths) if at not in out) + GAP
    widths[1] = max(min(name, widths[1] + room), _NAME)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for at, title in enumerate(names):
        if at not in out:
            table.add_column(title, no_wrap=True, overflow="ellipsis", width=widths[at])
    for row in rows[1:]:
        table.add_row(*(cell for at, cell in enumerate(row) if at not in out))
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
    with waiting("keys"), opened(settings) as engine, translated(), short_transaction(engine) as connection:
        return work(connection)
