"""The app itself: the seed's own route works in it, and every error is answered by the table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.api.http.app import create_app
from execution_ledger.api.http.dependencies import get_db
from execution_ledger.api.http.problem_kinds import ERRORS, Kind, find_kind
from execution_ledger.domain import (
    DuplicateJobId,
    EngineNotConfigured,
    LedgerBusy,
    LedgerError,
    SchemaNotReady,
    StoreError,
    StoreUnavailable,
    UnknownEventType,
)
from execution_ledger.infrastructure import Settings
from execution_ledger.infrastructure.execution_service import ExecutionService


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_a_route_written_as_in_the_seed_works(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/runs/{execution_id}")
    async def get_execution_status(execution_id: str, db: AsyncSession = Depends(get_db)) -> object:  # noqa: B008
        execution_data = await ExecutionService.get_execution_status(db, execution_id)
        if not execution_data:
            raise HTTPException(status_code=404, detail="Execution not found")
        return execution_data

    async with app.router.lifespan_context(app), calling(app) as client:
        await client.post("/api/v1/executions", json={"job_id": "j"})
        assert (await client.get("/runs/j")).json()["status"] == "pending"
        missing = await client.get("/runs/nobody")
        assert (missing.status_code, missing.json()["detail"]) == (404, "Execution not found")


SECRET = 'SELECT 1 FROM "ledgers" WHERE password at 10.0.0.1'
RAISED: list[LedgerError] = [
    LedgerBusy(problem=SECRET, remedy=SECRET),
    StoreUnavailable(problem=SECRET),
    SchemaNotReady(problem=SECRET),
    StoreError(problem=SECRET),
    EngineNotConfigured(missing=SECRET),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_what_the_database_says_stays_in_the_log(error: LedgerError, caplog: pytest.LogCaptureFixture) -> None:
    answer = await raised(error)
    kind = find_kind(type(error))
    assert answer.status_code == kind.status
    assert SECRET not in answer.text.replace('\\"', '"')
    assert SECRET in caplog.text
    assert answer.headers.get("retry-after") == (str(kind.retry_after) if kind.status == 503 else None)


async def test_an_error_of_the_domain_says_what_and_what_to_do() -> None:
    answer = await raised(DuplicateJobId(key="j", ledger="default", deleted=False))
    assert answer.status_code == 409
    assert answer.json() == {
        "type": "urn:execution-ledger:problem:duplicate-job-id",
        "title": "The job id is taken",
        "status": 409,
        "detail": "job_id 'j' is taken in ledger 'default'. Choose another one: a job_id is never used again.",
        "remedy": "Choose another job id.",
        "deleted": False,
    }
    answer = await raised(UnknownEventType(topic="execution.\ud800", schema_version=7))
    assert (answer.status_code, answer.json()["remedy"]) == (500, "Upgrade execution-ledger.")


async def test_an_unexpected_error_tells_nothing() -> None:
    answer = await raised(RuntimeError(SECRET))
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:execution-ledger:problem:internal-error")
    assert SECRET not in answer.text


def test_an_error_without_a_row_takes_that_of_its_base() -> None:
    class Unheard(DuplicateJobId):
        pass

    class New(LedgerError):
        pass

    assert find_kind(Unheard) == find_kind(DuplicateJobId)
    assert find_kind(New) == ERRORS[LedgerError]
    assert isinstance(find_kind(New), Kind)


async def raised(error: Exception) -> httpx.Response:
    app = create_app(Settings())

    @app.get("/raise")
    async def fail() -> None:
        raise error

    async with calling(app) as client:
        return await client.get("/raise")
