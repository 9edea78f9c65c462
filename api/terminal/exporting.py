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
from .progress import make_progress
from .show_text import count, line, make_console

_FORMATS = ("jsonl", "csv", "parquet")


def export_events(
    settings: Settings, file: str, format: str | None, filters: dict[str, Any], *, overwrite: bool
) -> None:
    """Write the file, and tell of it on the error stream."""
    name = format or Path(file).suffix.removeprefix(".")
    if name not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise InvalidInput(
            field="FILE", problem=f"{file!r} tells no format", remedy=f"End it in one of {known}, or say --format."
        )
    if settings.url is not None:
        asyncio.run(_from_service(settings, file, name, filters, overwrite=overwrite))
    else:
        asyncio.run(_from_database(settings, file, name, filters, overwrite=overwrite))


async def _from_database(
    settings: Settings, file: str, format: str, filters: dict[str, Any], *, overwrite: bool
) -> None:
    from ..runtime import open_ledger

    columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with open_ledger(settings, create=False) as ledger:
        with make_progress(*columns) as bar:
            task = bar.add_task("", total=None)
            options: dict[str, Any] = {
                "ledger": settings.ledger,
                "format": format,
                "on_progress": lambda done: bar.update(task, completed=done.position, total=done.size),
                **filters,
            }
            if file == "-":
                export = EventExport(ledger.engine, **options)
                async for chunk in export.chunks():
                    _write(chunk)
                manifest = export.manifest
            else:
                manifest = await export_to_file(ledger.engine, file, overwrite=overwrite, **options)
    assert manifest is not None, "it is there once all chunks were read"
    if file != "-":
        told = (
            f"{count(manifest.rows, 'event')} of {manifest.size:,} in {line(file)}, manifest {manifest_path(file).name}"
        )
        make_console(stderr=True).print(Text(told, "green"), soft_wrap=True)


async def _from_service(
    settings: Settings, file: str, format: str, filters: dict[str, Any], *, overwrite: bool
) -> None:
    """As a download; the size that it holds is told, whose root the service gives."""
    from .service_reader import open_client

    with make_progress(TextColumn("download"), DownloadColumn()) as bar:
        task = bar.add_task("", total=None)
        async with open_client(settings) as client:
            if file == "-":
                await client.export(_write, format, **filters)
                return
            with appearing(Path(file), overwrite=overwrite) as part:

                def keep(chunk: bytes) -> None:
                    part.write(chunk)
                    bar.advance(task, len(chunk))

                size = await client.export(keep, format, **filters)
    told = f"{line(file)} holds what the ledger had at {count(size, 'event')}"
    make_console(stderr=True).print(Text(told, "green"), soft_wrap=True)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
