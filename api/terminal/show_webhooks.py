"""Webhooks, what became of their deliveries, and dead letters, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint
from .show_text import count, duration, line, local_time, make_console


def show_endpoints(endpoints: Sequence[Endpoint], ledger: str) -> None:
    """A line for each."""
    console = make_console()
    if not endpoints:
        console.print(Text(f"Ledger {line(ledger)} has no webhook yet.", "dim"))
        return
    table = _table("id", "url", "lag", "dead", "state", right=("lag", "dead"))
    for each in endpoints:
        table.add_row(each.endpoint_id, line(each.url), f"{each.lag:,}", f"{each.dead_letters:,}", _state(each))
    console.print(table)


def show_endpoint(endpoint: Endpoint) -> None:
    """All that is known of one, a line for each."""
    types = "all" if endpoint.types is None else " ".join(each.partition(".")[2] for each in endpoint.types)
    made = f"{local_time(endpoint.created_at)}{f' by {line(endpoint.created_by)}' if endpoint.created_by else ''}"
    rows: dict[str, str | Text | None] = {
        "id": endpoint.endpoint_id,
        "url": line(endpoint.url),
        "description": None if endpoint.description is None else line(endpoint.description),
        "events": types,
        "state": _state(endpoint),
        "delivered up to": f"{endpoint.position:,}, {count(endpoint.lag, 'event')} behind",
        "dead letters": f"{endpoint.dead_letters:,}",
        "last delivery": None if endpoint.delivered_at is None else local_time(endpoint.delivered_at),
        "last failure": _failure(endpoint),
        "made": made,
        "old secret until": None
        if endpoint.earlier_secret_until is None
        else local_time(endpoint.earlier_secret_until),
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, value)
    make_console().print(table)


def show_letters(letters: Sequence[DeadLetter]) -> None:
    """A line for each."""
    console = make_console()
    if not letters:
        console.print(Text("There is no dead letter.", "dim"))
        return
    table = _table("position", "event", "job", "tries", "failed", "error", right=("position", "tries"))
    for each in letters:
        table.add_row(
            f"{each.position:,}",
            each.type.partition(".")[2],
            line(each.job_id),
            f"{each.tries:,}",
            local_time(each.failed_at),
            Text(line(each.error), "red"),
        )
    console.print(table)


def show_attempt(what: str, attempt: Attempt) -> None:
    """What came of a request."""
    took = duration(attempt.seconds)
    if attempt.delivered:
        told = Text(f"{what} was taken: {attempt.status}, {took}", "green")
    else:
        answer = "" if attempt.response is None else f": {line(attempt.response)[:200]}"
        told = Text(f"{what} was not taken: {line(attempt.error or '')}{answer} ({took})", "red")
    make_console().print(told, soft_wrap=True)


def _state(endpoint: Endpoint) -> Text:
    if not endpoint.enabled:
        return Text(f"off: {line(endpoint.disabled_reason or '')}", "red")
    if endpoint.failures:
        when = "soon" if endpoint.next_try_at is None else local_time(endpoint.next_try_at)
        return Text(
            f"failed {count(endpoint.failures, 'time')}, again {when}: {line(endpoint.last_error or '')}", "yellow"
        )
    if endpoint.lag and endpoint.next_try_at is not None:
        return Text(f"behind, as it asked to be left alone until {local_time(endpoint.next_try_at)}", "yellow")
    return Text("up to date" if not endpoint.lag else "behind", "green" if not endpoint.lag else "")


def _failure(endpoint: Endpoint) -> str | None:
    if endpoint.last_failed_at is None:
        return None
    return f"{local_time(endpoint.last_failed_at)}: {line(endpoint.last_error or '')}"


def _table(*names: str, right: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name not in ("state", "error"))
    return table
