"""What an export or a scan holds in memory does not grow with the ledger."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from execution_ledger.infrastructure import create_engine
from execution_ledger.projections import AuditQueries, export_to_file
from execution_ledger.projections.exports import FORMATS
from support import Database

SOAK = pytest.mark.soak
SMALL, LARGE = 4_000, 32_000
"""Events of the two ledgers."""


@pytest.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database.url)
    yield engine
    await engine.dispose()


def fill(engine: Engine, ledger: str, size: int) -> None:
    """Events of one execution, by SQL; their hashes prove nothing."""
    name, bytes32 = ("hex(randomblob(16))", "zeroblob(32)") if engine.dialect.name == "sqlite" else (
        "md5(random()::text)", "decode(repeat('00', 32), 'hex')")  # fmt: skip
    columns = (
        "ledger_id, position, execution_id, version, type, schema_version, data, salt, payload_digest, leaf_hash, "
        "recorded_at, reason"
    )
    time = "'2026-01-01 00:00:00.000000'"
    time = time if engine.dialect.name == "sqlite" else f"timestamptz {time}"
    id = "'00000000000000000000000000000001'"
    id = id if engine.dialect.name == "sqlite" else f"uuid {id}"
    with engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO ledgers (ledger_id, size, created_at) VALUES ('{ledger}', {size}, {time})")
        )
        connection.execute(
            text(
                "INSERT INTO execution_streams "
                "(ledger_id, execution_id, id, job_id, version, last_recorded_at, deleted) "
                f"VALUES ('{ledger}', {id}, 1, 'job', {size}, {time}, false)"
            )
        )
        connection.execute(
            text(
                f"INSERT INTO execution_events ({columns}) "
                f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {size}) "
                f"SELECT '{ledger}', n, {id}, n, 'execution.noted', 1, '{{\"text\" : \"' || {name} || '\"}}', "
                f"{bytes32}, {bytes32}, {bytes32}, {time}, 'because ' || n FROM n"
            )
        )


@pytest.mark.parametrize("format", [pytest.param(each, marks=SOAK if each == "csv" else ()) for each in FORMATS])
async def test_an_export_of_eight_times_as_much_needs_no_more_memory(
    engine: AsyncEngine, sync_engine: Engine, tmp_path: Path, format: str
) -> None:
    peaks = []
    for ledger, size in (("warm", 2_500), ("small", SMALL), ("large", LARGE)):
        fill(sync_engine, ledger, size)
        tracemalloc.start()
        manifest = await export_to_file(engine, tmp_path / f"{ledger}.{format}", ledger=ledger)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert manifest.rows == size
    _, small, large = peaks
    assert large < 1.5 * small + (24 << 20 if format == "parquet" else 0), "a group of rows of Parquet is in memory"


async def test_a_scan_that_finds_nothing_needs_no_more_memory(engine: AsyncEngine, sync_engine: Engine) -> None:
    peaks = []
    for ledger, size in (("warm", 2_500), ("small", SMALL), ("large", LARGE)):
        fill(sync_engine, ledger, size)
        async with AsyncSession(engine) as session:
            tracemalloc.start()
            page = await AuditQueries(session, ledger=ledger).events(text="no such words", max_scan=None)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert (page.events, page.scanned) == ([], size)
    _, small, large = peaks
    # What is kept is some ten kilobytes, about what a process allocates meanwhile for other things: so beside the ratio
    # a quarter of a mebibyte is let pass. Events that were kept would be forty times that.
    assert large < 1.5 * small + (256 << 10)
