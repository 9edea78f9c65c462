"""What the commands for webhooks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from msgspec.structs import asdict
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.text import Text

from ...domain import LedgerError
from ...infrastructure import Settings
from ...infrastructure.webhooks import Attempt, Endpoint, NewEndpoint
from ...projections.webhooks import WebhookControl
from ..runtime import make_sender, open_ledger
from . import answers, show_json
from .progress import make_progress, waiting
from .service_webhooks import ServiceWebhooks
from .show_text import count, line, make_console
from .show_webhooks import show_attempt, show_endpoint, show_endpoints, show_letters

_T = TypeVar("_T")

_PAGE = 500

Webhooks = WebhookControl | ServiceWebhooks


def add_and_show(
    settings: Settings,
    url: str,
    types: Sequence[str] | None,
    description: str | None,
    after: int | None,
    by: str,
    *,
    json: bool,
) -> None:
    """Make one, and show its secret."""
    given: dict[str, Any] = {"types": types or None, "description": description, "after": after, "created_by": by}
    _show_new(_run(settings, lambda control: control.add(settings.ledger, url, **given)), json=json)


def rotate_and_show(settings: Settings, endpoint_id: str, overlap: float, *, json: bool) -> None:
    """Make another secret, and show it."""
    _show_new(_run(settings, lambda control: control.rotate(settings.ledger, endpoint_id, overlap=overlap)), json=json)


def show_webhooks(settings: Settings, *, json: bool) -> None:
    """A line for each, the newest last."""
    found = _run(settings, lambda control: control.list(settings.ledger))
    if json:
        show_json.show(answers.Webhooks(webhooks=found))
    else:
        show_endpoints(found, settings.ledger)


def show_webhook(settings: Settings, endpoint_id: str, *, json: bool) -> None:
    """All that is known of one."""
    _show(_run(settings, lambda control: control.find(settings.ledger, endpoint_id)), json=json)


def change_and_show(
    settings: Settings, endpoint_id: str, changes: dict[str, Any], by: str | None, *, json: bool
) -> None:
    """Change one, and show it."""
    _show(_run(settings, lambda control: control.change(settings.ledger, endpoint_id, changes, actor=by)), json=json)


def remove_and_tell(settings: Settings, endpoint_id: str, *, json: bool) -> None:
    """Forget one."""
    _run(settings, lambda control: control.remove(settings.ledger, endpoint_id))
    if json:
        show_json.show(answers.RemovedWebhook(endpoint_id=endpoint_id))
        return
    make_console().print(Text(f"Removed: {endpoint_id}", "green"))


def test_and_show(settings: Settings, endpoint_id: str, *, json: bool) -> int:
    """Send it a test; 1 where it was not taken."""
    attempt = _run(settings, lambda control: control.test(settings.ledger, endpoint_id))
    if json:
        show_json.show(attempt)
    else:
        show_attempt("The test", attempt)
    return 0 if attempt.delivered else 1


def show_dead_letters(settings: Settings, endpoint_id: str, after: int, limit: int, *, json: bool) -> None:
    """A line for each, in the order of the ledger."""
    found = _run(settings, lambda control: control.dead_letters(settings.ledger, endpoint_id, after=after, limit=limit))
    if json:
        show_json.show(answers.DeadLetters(dead_letters=list(found)))
    else:
        show_letters(found)


def replay_and_show(settings: Settings, endpoint_id: str, positions: Sequence[int] | None, *, json: bool) -> int:
    """Send each once more; 1 where one was not taken."""
    done: dict[int, Attempt] = {}

    async def replay(control: Webhooks) -> None:
        chosen = await _chosen(control, settings.ledger, endpoint_id, positions)
        with make_progress(TextColumn("dead letters"), BarColumn(), MofNCompleteColumn()) as bar:
            for position in bar.track(chosen):
                done[position] = await control.replay(settings.ledger, endpoint_id, position)
                if not json:
                    show_attempt(f"Event {position:,}", done[position])

    def show_done() -> None:
        replayed = [answers.Replayed(**asdict(each), position=position) for position, each in done.items()]
        show_json.show(answers.ReplayedLetters(replayed=replayed))

    try:
        _run(settings, replay, shows=True)
    except LedgerError:
        if json and done:
            show_done()  # those before are replayed, whatever became of this one
        raise
    if json:
        show_done()
    elif not done:
        make_console().print(Text("There is no dead letter.", "dim"))
    return 0 if all(each.delivered for each in done.values()) else 1


def drop_and_tell(settings: Settings, endpoint_id: str, positions: Sequence[int] | None, *, json: bool) -> None:
    """Forget some, or all."""

    async def drop(control: Webhooks) -> int:
        chosen = await _chosen(control, settings.ledger, endpoint_id, positions)
        return await control.drop(settings.ledger, endpoint_id, chosen)

    dropped = _run(settings, drop)
    if json:
        show_json.show(answers.DroppedLetters(dropped=dropped))
    else:
        make_console().print(Text(f"{count(dropped, 'dead letter')} dropped.", "green" if dropped else "dim"))


async def _chosen(control: Webhooks, ledger: str, endpoint_id: str, positions: Sequence[int] | None) -> Sequence[int]:
    """Those positions; for None all that there are now."""
    if positions is not None:
        return positions
    return [position async for position in _all(control, ledger, endpoint_id)]


async def _all(control: Webhooks, ledger: str, endpoint_id: str) -> AsyncIterator[int]:
    after = 0
    while page := await control.dead_letters(ledger, endpoint_id, after=after, limit=_PAGE):
        for letter in page:
            yield letter.position
        after = page[-1].position


def _show(endpoint: Endpoint, *, json: bool) -> None:
    if json:
        show_json.show(endpoint)
    else:
        show_endpoint(endpoint)


def _show_new(new: NewEndpoint, *, json: bool) -> None:
    if json:
        show_json.show(answers.NewWebhook(webhook=new.endpoint, secret=new.secret))
        return
    console = make_console()
    console.print(Text(f"{new.endpoint.endpoint_id} of ledger {line(new.endpoint.ledger)}: {line(new.endpoint.url)}"))
    console.print(Text(new.secret, "bold green"))
    console.print(Text("Keep it now: it is not shown again. Whoever receives verifies with it.", "dim"))


def _run(settings: Settings, ask: Callable[[Webhooks], Awaitable[_T]], *, shows: bool = False) -> _T:
    async def run() -> _T:
        if settings.url is not None:
            from .service_reader import open_client

            async with open_client(settings) as client:
                return await ask(ServiceWebhooks(client))
        async with open_ledger(settings, create=False) as ledger:
            return await ask(WebhookControl(ledger.engine, make_sender(settings), source=settings.event_source))

    with nullcontext() if shows else waiting("webhooks"):
        return asyncio.run(run())
