"""The service keeps the projections up to date."""

from __future__ import annotations

import asyncio

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.infrastructure import create_engine
from execution_ledger.projections import StatisticsQueries

from .conftest import Service


async def test_what_is_written_over_http_is_counted_soon(client: httpx.Client, service: Service) -> None:
    created = await asyncio.to_thread(client.post, "/executions", json={"job_id": "a", "status": "completed"})
    assert created.status_code == 201
    engine = create_engine(service.database_url)
    async with AsyncSession(engine) as session:
        queries = StatisticsQueries(session, ledger=service.ledger, min_position=1, wait=30)
        (found,) = await queries.statistics("2020-01-01", "2040-01-01")
    await engine.dispose()
    assert (found.runs, found.outcomes["completed"]) == (1, 1)
