"""What `import` does: files line by line, in constant memory, to a database or to a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...domain import (
    Context,
    InvalidInput,
    LedgerBusy,
    LedgerError,
    PayloadTooLarge,
    StoreUnavailable,
    make_context,
)
from ...infrastructure import Settings
from ..http.lineage import record_all
from . import show_json
from .answers import ImportedEvents, RefusedLine
from .options import actor_of
from .progress import entered, make_progress, waiting
from .show_text import count, line, make_console
from .standard_input import is_standard_input, name_of, open_input

_GROUP, _BYTES = 200, 4 * 1024**2
"""Lines that are sent at once, and bytes of them after which no more are added."""
_TOO_LARGE = 413


class _Line(NamedTuple):
    where: str
    event: Any
    """Decoded JSON."""
    end: int
    """Bytes of the file up to its end."""


Send = Callable[[list[Any]], Awaitable[list[str | None]]]
"""Records events, in their order, and tells of each why it was refused."""


def import_openlineage(settings: Settings, files: list[Path], *, json: bool) -> int:
    """Record them; 1 where some were refused."""
    for file in files:
        if is_standard_input(file):
            continue
        if file.is_dir():
            raise InvalidInput(field="FILE", problem=f"{file} is a folder", remedy="Name a file in it.")
        if not file.exists():  # a pipe is as good as a file
            raise InvalidInput(field="FILE", problem=f"there is no file {file}", remedy="Name one that is there.")
    output = make_console()

    def refuse(where: str, problem: str) -> None:
        if json:
            show_json.show_line(RefusedLine(kind="refused", where=where, problem=problem))
        else:
            output.print(Text(f"{where}: {line(problem)}"), soft_wrap=True)

    done, refused = asyncio.run(_import(settings, files, refuse))
    if json:
        show_json.show_line(ImportedEvents(kind="summary", recorded=done - refused, refused=refused))
        return 1 if refused else 0
    told = f"{count(done - refused, 'event')} recorded"
    console = make_console(stderr=True)
    console.print(Text(told + (f", {refused:,} refused" if refused else ""), "yellow" if refused else "green"))
    return 1 if refused else 0


async def _import(settings: Settings, files: list[Path], refuse: Callable[[str, str], object]) -> tuple[int, int]:
    done = refused = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    async with entered(_sender(settings), waiting("open")) as send:
        with make_progress(*columns) as bar:
            for file in files:
                task = bar.add_task(
                    line(Path(name_of(file)).name),
                    total=None if is_standard_input(file) else file.stat().st_size or None,
                )
                for group in _groups(file):
                    well = [each for each in group if not isinstance(each.event, _Broken)]
                    answers = iter(await send([each.event for each in well]) if well else [])
                    for each in group:
                        reason = each.event.reason if isinstance(each.event, _Broken) else next(answers)
                        done += 1
                        if reason is not None:
                            refused += 1
                            refuse(each.where, reason)
                    bar.update(task, completed=group[-1].end)
    return done, refused


class _Broken(NamedTuple):
    reason: str


def _groups(file: Path) -> Iterator[list[_Line]]:
    group: list[_Line] = []
    end = sent = 0
    with open_input(file) as lines:
        for number, text in enumerate(lines, 1):
            end += len(text)
            if not text.strip():
                continue
            try:
                event: Any = msgspec.json.decode(text)
            except (ValueError, RecursionError) as error:
                event = _Broken(f"it is not JSON: {error}")
            group.append(_Line(f"{name_of(file)}:{number}", event, end))
            if len(group) == _GROUP or end - sent >= _BYTES:
                yield group
                group, sent = [], end
    if group:
        yield group


@asynccontextmanager
async def _sender(settings: Settings) -> AsyncIterator[Send]:
    if settings.url is not None:
        from .service_reader import open_client

        async with open_client(settings) as client:

            async def to_service(events: list[Any]) -> list[str | None]:
                try:
                    answer = await client.send_lineage(events)
                except LedgerError as error:
                    if not _is_too_large(error):
                        raise
                    if len(events) == 1:
                        return [str(error)]
                    half = len(events) // 2  # for the service, or for what stands before it
                    return [*await to_service(events[:half]), *await to_service(events[half:])]
                reasons = {each["index"]: each["reason"] for each in answer["failed_events"]}
                if answer["summary"]["retriable"]:
                    raise StoreUnavailable(problem="the service could not record some events")
                return [reasons.get(at) for at in range(len(events))]

            yield to_service
        return
    from ..runtime import open_ledger, open_writer

    context = make_context(Context(), actor=actor_of(settings))
    async with open_ledger(settings) as ledger, open_writer(ledger) as writer:

        async def to_database(events: list[Any]) -> list[str | None]:
            errors = await record_all(writer, settings.ledger, events, context, settings.limits)
            for error in errors:
                if isinstance(error, (StoreUnavailable, LedgerBusy)):
                    raise error
            return [None if error is None else str(error) for error in errors]

        yield to_database


def _is_too_large(error: LedgerError) -> bool:
    from ..client import ServiceError

    return isinstance(error, PayloadTooLarge) or (isinstance(error, ServiceError) and error.status == _TOO_LARGE)
