"""Exports to files: whole under their name, or not there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from sqlalchemy.ext.asyncio import AsyncEngine

from ..audit import EventFilters
from .export import EventExport, ExportProgress
from .manifest import Manifest
from .places import beside_of, check_place, clearing, flush, flush_folder


def manifest_path(path: str | os.PathLike[str]) -> Path:
    """Where the manifest of an export lies: beside it, as `events.jsonl.manifest.json`."""
    return Path(f"{os.fspath(path)}.manifest.json")


async def export_to_file(
    engine: AsyncEngine,
    path: str | os.PathLike[str],
    *,
    ledger: str = "default",
    format: str | None = None,
    overwrite: bool = False,
    on_progress: Callable[[ExportProgress], None] | None = None,
    **filters: Unpack[EventFilters],
) -> Manifest:
    """Write an export and its manifest; `format` is what the name ends in, unless given.

    Both are written beside their place, flushed to the disk and renamed, the manifest last: where it is, all is there.
    What fails or is cancelled leaves nothing.
    """
    target = Path(path)
    export = EventExport(
        engine,
        ledger=ledger,
        format=target.suffix.removeprefix(".") if format is None else format,
        on_progress=on_progress,
        **filters,
    )
    places = (target, manifest_path(target))
    check_place(*places, overwrite=overwrite)
    beside = beside_of(target)
    beside_manifest = manifest_path(beside)
    with clearing(target, beside, beside_manifest):
        with beside.open("xb") as file:
            async for chunk in export.chunks():
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(flush, file)
        manifest = export.manifest
        assert manifest is not None
        with beside_manifest.open("xb") as file:
            file.write(manifest.to_json())
            flush(file)
        check_place(*places, overwrite=overwrite)
        manifest_path(target).unlink(missing_ok=True)  # an older one would tell of another file
        beside.replace(target)
        beside_manifest.replace(manifest_path(target))
        flush_folder(target.parent)
    return manifest
