"""The HTTP app, put together. Nothing is built at import: call `create_app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from ...infrastructure import Settings
from ..runtime import auditing, open_ledger, open_writer, projecting
from . import problem_docs, routes_commands, routes_executions, routes_ledger
from .housekeeping import forget_receipts_hourly, reap_regularly
from .loopback import LoopbackOnly, RawPaths
from .problems import install_problems

PREFIX = "/api/v1"

_DESCRIPTION = """\
Every change of an execution is an event that is appended and never overwritten. Reads answer from the history.

Errors are RFC 9457 problem details; programs look at `type`. Times are UTC, as ISO 8601. Job ids in paths are
percent-encoded. There is no authentication yet, so the service listens on a loopback address only.
"""
_TAGS = [
    {"name": "executions", "description": "Runs of jobs, by the caller's own job id."},
    {"name": "status", "description": "One command for each change of the status, and corrections."},
    {"name": "steps and notes", "description": "What happens inside a run."},
    {"name": "ledger", "description": "The events, in the one order of their ledger."},
    {"name": "service", "description": "The process itself."},
]


def create_app(settings: Settings) -> FastAPI:
    """An app that opens the database when it starts and closes it when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_ledger(settings) as ledger,
            projecting(ledger, ledger.store) as heads,
            auditing(ledger) as audited,
            open_writer(ledger) as writer,
        ):
            app.state.ledger, app.state.writer, app.state.heads, app.state.audited = ledger, writer, heads, audited
            housekeeping = [asyncio.create_task(work(ledger)) for work in (forget_receipts_hourly, reap_regularly)]
            try:
                yield
            finally:
                for task in housekeeping:
                    task.cancel()
                for task in housekeeping:
                    with suppress(asyncio.CancelledError):
                        await task

    app = FastAPI(
        title="Execution Ledger",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        openapi_tags=_TAGS,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses=problem_docs.EVERYWHERE,
    )
    app.state.settings = settings
    for router in (routes_executions.router, routes_commands.router, routes_ledger.router):
        app.include_router(router, prefix=PREFIX)
    app.include_router(routes_ledger.health)
    install_problems(app)
    problem_docs.document_problems(app)
    app.add_middleware(RawPaths)
    app.add_middleware(LoopbackOnly)
    return app
