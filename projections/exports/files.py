"""Exports to files: whole under their name, or not there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Unpack
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from ...domain import InvalidInput
from ..audit import EventFilters
from .export import EventExport, ExportProgress
from .manifest import Manifest


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
    _check_place(target, overwrite)
    beside = target.with_name(f".{target.name}.{uuid4().hex}.part")
    beside_manifest = manifest_path(beside)
    try:
        with beside.open("xb") as file:
            async for chunk in export.chunks():
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(_flush, file)
        manifest = export.manifest
        assert manifest is not None
        with beside_manifest.open("xb") as file:
            file.write(manifest.to_json())
            _flush(file)
        _check_place(target, overwrite)
        manifest_path(target).unlink(missing_ok=True)  # an older one would tell of another file
        beside.replace(target)
        beside_manifest.replace(manifest_path(target))
        _flush_folder(target.parent)
    finally:
        for leftover in (beside, beside_manifest):
            leftover.unlink(missing_ok=True)
    return manifest


def _check_place(target: Path, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise InvalidInput(
            field="path", problem=f"{target.parent} is no folder", remedy="Make it, or name another one."
        )
    if target.is_dir():
        raise InvalidInput(field="path", problem=f"{target} is a folder", remedy="Name a file in it.")
    for each in (target, manifest_path(target)):
        if each.exists() and not overwrite:
            raise InvalidInput(
                field="path", problem=f"{each} exists", remedy="Name another file, or say overwrite=True."
            )


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system opens folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
