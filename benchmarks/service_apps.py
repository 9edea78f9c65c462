"""Baselines of the service, as a team would write them: each is served by uvicorn in a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from .seed_repository import SeedHistory, SeedRepository

_URL = "BENCHMARK_DATABASE_URL"
_POOL = 10


def bare() -> FastAPI:
    """One route that answers with the row that its SELECT finds."""
    url = make_url(os.environ[_URL]).set(drivername="postgresql").render_as_string(hide_password=False)
    pool = AsyncConnectionPool(url, min_size=_POOL, max_size=_POOL, open=False, kwargs={"row_factory": dict_row})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/executions/{job_id}")
    async def get_execution(job_id: str) -> dict[str, Any]:
        async with pool.connection() as connection:
            found = await connection.execute(
                "SELECT * FROM execution_history WHERE ledger_id = 'default' AND job_id = %s", [job_id]
            )
            row = await found.fetchone()
        if row is None:
            raise HTTPException(404, "Execution not found")
        return row

    return app


class _Change(BaseModel):
    message: str


def crud() -> FastAPI:
    """The seed's repository behind one route that reads and one that changes."""
    engine = create_async_engine(make_url(os.environ[_URL]), pool_size=64, max_overflow=0)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI()

    def told(execution: SeedHistory | None) -> dict[str, Any]:
        if execution is None:
            raise HTTPException(404, "Execution not found")
        return {column.name: getattr(execution, column.name) for column in SeedHistory.__table__.columns}

    @app.patch("/executions/{execution_id}")
    async def update_execution(execution_id: int, change: _Change) -> dict[str, Any]:
        async with sessions() as session:
            return told(await SeedRepository(session).update_execution(execution_id, change.model_dump()))

    return app
