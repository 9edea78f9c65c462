"""What `export` does: from a database with a manifest, from a service as it sends it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...domain import InvalidInput
from ...infrastructure import Settings
from ...projections import EventExport, appearing, export_to_file, manifest_path
from . import show_json
from .answers import Exported
from .errors import UsageProblem
from .progress import entered, make_progress, waiting
from .show_text import count, leave_quietly, line, make_console

_FORMATS = ("jsonl", "csv", "parquet")


def export_events(
    settings: Settings,
    file: str,
    format: str | None,
    job: str | None,
    filters: dict[str, Any],
    *,
    overwrite: bool,
    json: bool,
) -> None:
    """Write the file, and tell of it on the error stream, or as JSON."""
    if file == "-" and json:
        raise UsageProblem("--json", "the output is the events themselves", "Name a file, or leave it out.")
    name = format or Path(file).suffix.removeprefix(".")
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise InvalidInput(
            field="FILE", problem=f"{file!r} tells no format", remedy=f"End it in one of {known}, or say --format."
        )
    export = _from_database if settings.url is None else _from_service
    told = asyncio.run(export(settings, file, name, job, filters, overwrite=overwrite))
    if told is not None and json:
        show_json.show(told)
    elif told is not None:
        make_console(stderr=True).print(Text(_sentence(told), "green"), soft_wrap=True)


def _sentence(told: Exported) -> str:
    name, manifest = line(told.file), told.manifest
    if manifest is None:
        return f"{name} holds what the ledger had at {count(told.size, 'event')}"
    return f"{count(manifest.rows, 'event')} of {manifest.size:,} in {name}, manifest {manifest_path(told.file).name}"


async def _from_database(
    settings: Settings, file: str, format: str, job: str | None, filters: dict[str, Any], *, overwrite: bool
) -> Exported | None:
    """With a manifest; None where it went to the output."""
    from ..runtime import open_ledger
    from .database_reader import DatabaseReader

    columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with entered(open_ledger(settings, create=False), waiting("open")) as ledger:
        if job is not None:
            async with ledger.sessions() as session:
                filters = {**filters, "job_id": await DatabaseReader(ledger, session).known_job_id(job)}
        with make_progress(*columns) as bar:
            task = bar.add_task("", total=None)
            options: dict[str, Any] = {
                "ledger": settings.ledger,
                "format": format,
                "on_progress": lambda done: bar.update(task, completed=done.position, total=done.size),
                **filters,
            }
            if file == "-":
                async for chunk in EventExport(ledger.engine, **options).chunks():
                    _write(chunk)
                return None
            manifest = await export_to_file(ledger.engine, file, overwrite=overwrite, **options)
    return Exported(file=file, size=manifest.size, manifest=manifest)


async def _from_service(
    settings: Settings, file: str, format: str, job: str | None, filters: dict[str, Any], *, overwrite: bool
) -> Exported | None:
    """As a download; the size that it holds is told, whose root the service gives."""
    from .service_reader import ServiceReader, open_client

    with make_progress(TextColumn("download"), DownloadColumn()) as bar:
        task = bar.add_task("", total=None)
        async with open_client(settings) as client:
            if job is not None:
                filters = {**filters, "job_id": await ServiceReader(client).known_job_id(job)}
            if file == "-":
                await client.export(_write, format, **filters)
                return None
            with appearing(Path(file), overwrite=overwrite) as part:

                def keep(chunk: bytes) -> None:
                    part.write(chunk)
                    bar.advance(task, len(chunk))

                size = await client.export(keep, format, **filters)
    return Exported(file=file, size=size, manifest=None)


def _write(chunk: bytes) -> None:
    view = memoryview(chunk)
    try:
        while view:  # an output without a buffer takes a part
            view = view[sys.stdout.buffer.write(view) :]
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        leave_quietly()
