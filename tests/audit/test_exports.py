"""Exports: what is read back is what the ledger holds, whole or not there, whatever is written meanwhile."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import Create, EventMissing, InvalidInput, Note, Tree, leaf_hash, payload_digest
from execution_ledger.domain.leaf import EventRow
from execution_ledger.infrastructure import compute_root, create_engine
from execution_ledger.projections import EventExport, ExportProgress, Manifest, export_to_file, manifest_path
from execution_ledger.projections.exports import FORMATS, export, unguarded
from execution_ledger.projections.recorded_event import select_events
from support import Database
from support.audits import JOBS, Told, expected, few_filters, histories, new_ledger, write
from support.examples import examples
from support.ledger import execute

TIMES, HASHES = ("recorded_at", "occurred_at"), ("salt", "payload_digest", "leaf_hash")
WHOLE_NUMBERS = ("position", "version", "schema_version")


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ROWS", 4)
    monkeypatch.setattr(export, "_DATA", 200)
    monkeypatch.setattr(export, "_SCAN", 7)


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url)
    yield engine
    await engine.dispose()


def stored(engine: Engine, ledger: str) -> dict[int, dict[str, Any]]:
    """All columns of the events, by position, with payloads as text."""
    with engine.connect() as connection:
        rows = connection.execute(select_events(ledger).add_columns(*export.HASHES))
        return {row.position: dict(row._mapping) | {"execution_id": str(row.execution_id)} for row in rows}


def read_back(format: str, content: bytes) -> list[dict[str, Any]]:
    """The rows of an export, as they are stored."""
    match format:
        case "jsonl":
            rows = []
            for line in content.splitlines():
                row = json.loads(line)
                # The text as it stands there, since the digest is that of the text.
                rest = line.split(b'"data":', 1)[1]
                row["data"] = rest[: rest.index(b',"recorded_at":"')].decode() if row["data"] is not None else None
                rows.append(row)
        case "csv":
            with_header = csv.DictReader(io.StringIO(content.decode(), newline=""))
            rows = [{name: unguarded(cell) if cell else None for name, cell in row.items()} for row in with_header]
            rows = [row | {name: int(row[name]) for name in WHOLE_NUMBERS} for row in rows]
        case _:
            return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    for row in rows:
        row |= {name: row[name] and datetime.fromisoformat(row[name]) for name in TIMES}
        row |= {name: row[name] and bytes.fromhex(row[name]) for name in HASHES}
    return rows


async def read(exported: EventExport) -> bytes:
    return b"".join([chunk async for chunk in exported.chunks()])


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories, filters=few_filters)
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_read_back_is_what_the_ledger_holds(
    database: Database, sync_engine: Engine, format: str, history: Any, filters: Any
) -> None:
    ledger = new_ledger()
    write(sync_engine, ledger, history)
    told: list[ExportProgress] = []

    async def make() -> tuple[bytes, Manifest | None]:
        engine = create_engine(database.url)
        exported = EventExport(engine, ledger=ledger, format=format, on_progress=told.append, **filters)
        content = await read(exported)
        await engine.dispose()
        return content, exported.manifest

    content, manifest = asyncio.run(make())
    events, positions = stored(sync_engine, ledger), expected(sync_engine, ledger, filters)
    assert read_back(format, content) == [events[position] for position in positions]
    assert manifest is not None
    assert (manifest.sha256, manifest.bytes) == (sha256(content).hexdigest(), len(content))
    assert (manifest.size, manifest.rows) == (len(events), len(positions))
    assert (manifest.first_position, manifest.last_position) == (
        min(positions, default=None),
        max(positions, default=None),
    )
    assert set(manifest.filters) == {name for name, value in filters.items() if value is not None}
    with sync_engine.connect() as connection:
        assert manifest.root == compute_root(connection, ledger).root.hex()
    assert told[-1] == (len(events), len(events), len(positions))
    assert [each.position for each in told] == sorted(each.position for each in told)


@pytest.fixture
def ledger(sync_engine: Engine) -> str:
    name = new_ledger()
    notes = [Note.of(f"line {n}") for n in range(30)]
    commands = [Create.of({"job_id": JOBS[0]}), *notes]
    write(sync_engine, name, [Told(JOBS[0], each, 1, None, "=ada", "-1+1\nso", "'quoted", None) for each in commands])
    return name


async def test_an_export_alone_proves_its_events(engine: AsyncEngine, sync_engine: Engine, ledger: str) -> None:
    exported = EventExport(engine, ledger=ledger)
    tree = Tree()
    for row in read_back("jsonl", await read(exported)):
        row["execution_id"] = UUID(row["execution_id"])
        assert payload_digest(row["salt"], row["data"].encode()) == row["payload_digest"]
        event = EventRow(**{name: row[name] for name in EventRow._fields})
        assert leaf_hash(ledger, event) == row["leaf_hash"]
        tree.append(row["leaf_hash"])
    assert exported.manifest is not None
    assert tree.root.hex() == exported.manifest.root


async def test_an_export_ends_where_the_ledger_did_when_it_began(
    engine: AsyncEngine, sync_engine: Engine, ledger: str
) -> None:
    exported = EventExport(engine, ledger=ledger)
    before, content = stored(sync_engine, ledger), b""
    with sync_engine.connect() as connection:
        root = compute_root(connection, ledger).root.hex()
    async for chunk in exported.chunks():
        content += chunk
        # Nothing that is open on the ledger: a writer gets through between any two pages.
        await asyncio.to_thread(
            write, sync_engine, ledger, [Told(JOBS[0], Note.of("more"), 99, 0, None, None, None, None)]
        )
    assert read_back("jsonl", content) == list(before.values())
    assert exported.manifest is not None
    assert (exported.manifest.size, exported.manifest.root) == (len(before), root)


async def test_a_cell_of_a_csv_is_no_formula(engine: AsyncEngine, ledger: str) -> None:
    content = (await read(EventExport(engine, ledger=ledger, format="csv"))).decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert {(row["actor"], row["reason"], row["correlation_id"]) for row in rows} == {
        ("'=ada", "'-1+1\nso", "''quoted")
    }
    assert not [
        cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    ]


async def test_a_file_is_whole_under_its_name_with_its_manifest(
    engine: AsyncEngine, sync_engine: Engine, ledger: str, tmp_path: Path
) -> None:
    path = tmp_path / "events.parquet"
    manifest = await export_to_file(engine, path, ledger=ledger, actor="=ada")
    assert Manifest.from_json(manifest_path(path).read_bytes()) == manifest
    assert (manifest.format, manifest.filters) == ("parquet", {"actor": "=ada"})
    assert sha256(path.read_bytes()).hexdigest() == manifest.sha256
    assert len(read_back("parquet", path.read_bytes())) == 31
    with pytest.raises(InvalidInput, match=r"exists.*overwrite=True"):
        await export_to_file(engine, path, ledger=ledger)
    again = await export_to_file(engine, path, ledger=ledger, format="csv", overwrite=True, type="created")
    assert again.rows == len(read_back("csv", path.read_bytes())) == 1
    assert sorted(each.name for each in tmp_path.iterdir() if "events" in each.name) == [
        path.name,
        manifest_path(path).name,
    ]


async def test_an_export_that_fails_or_is_cancelled_leaves_nothing(
    engine: AsyncEngine, sync_engine: Engine, ledger: str, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "old.csv").write_text("as it was")

    def fail(progress: ExportProgress) -> None:
        if progress.rows > 10:
            assert [each for each in folder.iterdir() if each.name != "old.csv"], "it is being written"
            raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="own"):
        await export_to_file(engine, folder / "old.csv", ledger=ledger, on_progress=fail, overwrite=True)
    reached = asyncio.Event()
    task = asyncio.create_task(
        export_to_file(engine, folder / "new.jsonl", ledger=ledger, on_progress=lambda _: reached.set())
    )
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(each.name, each.read_text()) for each in folder.iterdir()] == [("old.csv", "as it was")]


async def test_a_missing_event_is_told(engine: AsyncEngine, sync_engine: Engine, ledger: str) -> None:
    drop = (
        "DROP TRIGGER execution_events_no_delete"
        if engine.dialect.name == "sqlite"
        else "DROP TRIGGER execution_events_append_only ON execution_events"
    )
    execute(sync_engine, drop, f"DELETE FROM execution_events WHERE ledger_id = '{ledger}' AND position = 17")
    with pytest.raises(EventMissing, match="17"):
        await read(EventExport(engine, ledger=ledger))


async def test_bad_requests_name_the_field_and_the_remedy(
    engine: AsyncEngine, ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=r"format: 'xlsx'.*jsonl, csv, parquet"):
        EventExport(engine, ledger=ledger, format="xlsx")
    with pytest.raises(InvalidInput, match="format: ''"):
        await export_to_file(engine, tmp_path / "events", ledger=ledger)
    with pytest.raises(InvalidInput, match="actors: is not a filter"):
        EventExport(engine, ledger=ledger, actors="ada")  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match=r"path: .*no folder"):
        await export_to_file(engine, tmp_path / "missing" / "events.csv", ledger=ledger)
    with pytest.raises(InvalidInput, match=r"path: .*is a folder"):
        await export_to_file(engine, tmp_path, ledger=ledger, format="csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"pip install execution-ledger\[parquet\]"):
        EventExport(engine, ledger=ledger, format="parquet")


async def test_a_ledger_that_there_never_was_gives_an_empty_export(engine: AsyncEngine) -> None:
    for format in FORMATS:
        exported = EventExport(engine, ledger="nobody's", format=format)
        assert read_back(format, await read(exported)) == []
        assert exported.manifest is not None
        assert (exported.manifest.rows, exported.manifest.size) == (0, 0)
        assert exported.manifest.root == sha256(b"").hexdigest()
