"""The HTTP app, put together. Nothing is built at import: call `create_app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import cache
from importlib.util import find_spec

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute

from ...domain import InvalidInput
from ...infrastructure import GroupReader, Settings
from ...infrastructure.event_store import utc_now
from ...projections import Feed, ProjectionControl
from ...projections.webhooks import WebhookControl
from ..page import router as page
from ..runtime import (
    PROJECTIONS,
    auditing,
    delivering,
    engine_for_threads,
    make_sender,
    open_ledger,
    open_writer,
    projecting,
)
from . import (
    problem_docs,
    routes_audit,
    routes_batch,
    routes_cloudevents,
    routes_commands,
    routes_executions,
    routes_feed,
    routes_leases,
    routes_ledger,
    routes_lineage,
    routes_replay,
    routes_service,
    routes_session,
    routes_sign_in,
    routes_statistics,
    routes_webhooks,
)
from .authentication import Authentication, Authenticator
from .document import complete_document
from .envelope import Envelope
from .housekeeping import forget_receipts_hourly, reap_regularly
from .loopback import LoopbackOnly, RawPaths
from .metrics import Metrics
from .problems import install_problems
from .rate_limit import RateLimit
from .sign_in import SignIn
from .tokens import Tokens

PREFIX = "/api/v1"

_DESCRIPTION = """\
Every change of an execution is an event that is appended and never overwritten. Reads answer from the history.

Errors are RFC 9457 problem details; programs look at `type`. Times are UTC, as ISO 8601. Job ids in paths are
percent-encoded. Bodies are JSON, and may be sent with `Content-Encoding: gzip`. Where the service asks for credentials,
they are an API key or an OIDC token, each of one ledger.
"""
_ROUTES = (
    routes_executions,
    routes_commands,
    routes_leases,
    routes_batch,
    routes_replay,
    routes_lineage,
    routes_ledger,
    routes_feed,
    routes_cloudevents,
    routes_webhooks,
    routes_audit,
    routes_statistics,
    routes_session,
    routes_sign_in,
)
_TAGS = [
    {"name": "executions", "description": "Runs of jobs, by the caller's own job id."},
    {"name": "status", "description": "One command for each change of the status, and corrections."},
    {"name": "steps and notes", "description": "What happens inside a run."},
    {"name": "leases", "description": "Who works on a run, and until when."},
    {"name": "batches", "description": "Many at once, with an answer for each."},
    {"name": "lineage", "description": "OpenLineage, in and out."},
    {"name": "audit", "description": "Who did what, when and why; what it changed; downloads."},
    {"name": "statistics", "description": "How runs ended, how long they took, why they failed."},
    {"name": "ledger", "description": "The events, in the one order of their ledger."},
    {"name": "cloudevents", "description": "The events as CloudEvents 1.0."},
    {"name": "webhooks", "description": "Where events are sent, signed, and what became of them."},
    {"name": "service", "description": "The process itself."},
]


def create_app(settings: Settings) -> FastAPI:
    """An app that opens the database when it starts and closes it when it ends."""
    tokens = Tokens.of(settings)
    sign_in = SignIn.of(settings, tokens)
    _check_telemetry(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_ledger(settings) as ledger, AsyncExitStack() as stack:
            engine = stack.enter_context(engine_for_threads(settings))
            app.state.ledger = ledger
            app.state.reader = await stack.enter_async_context(aclosing(GroupReader(ledger.engine)))
            app.state.authenticator = Authenticator(ledger, tokens)
            app.state.projections = ProjectionControl(engine, PROJECTIONS)
            heads = app.state.heads = await stack.enter_async_context(projecting(ledger, engine))
            app.state.feed = await stack.enter_async_context(aclosing(Feed(ledger.engine, heads)))
            sender = make_sender(settings)
            app.state.webhooks = WebhookControl(ledger.engine, sender, source=settings.event_source)
            await stack.enter_async_context(delivering(ledger, heads, sender, app.state.metrics.count_delivery))
            app.state.audited = await stack.enter_async_context(auditing(ledger, engine))
            app.state.writer = await stack.enter_async_context(open_writer(ledger))
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
        telemetry={"auto_configure": settings.telemetry, "operation_spans": False},
    )
    app.state.settings, app.state.metrics, app.state.stopping = settings, Metrics(), asyncio.Event()
    app.state.started_at, app.state.sign_in = utc_now(), sign_in
    app.router.routes.extend(_routes())
    install_problems(app)
    complete_document(app)
    _surround(app, settings)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """All apps of a process share them: FastAPI works out what each needs at the first request, which takes long."""
    router = APIRouter(responses=problem_docs.EVERYWHERE)
    for routes in _ROUTES:
        router.include_router(routes.router, prefix=PREFIX)
    router.include_router(routes_service.router)
    router.include_router(page)
    return router.routes


def _check_telemetry(settings: Settings) -> None:
    if settings.telemetry and find_spec("opentelemetry.sdk") is None:
        raise InvalidInput(
            field="telemetry",
            problem="is on, and OpenTelemetry is not installed",
            remedy="Install it: pip install 'execution-ledger[otel]'.",
        )


def _surround(app: FastAPI, settings: Settings) -> None:
    """Add the middleware, from the inside to the outside."""
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)
    if settings.rate_limit:
        app.add_middleware(RateLimit, rate=settings.rate_limit)
    app.add_middleware(Authentication)
    app.add_middleware(RawPaths)
    if not settings.auth:
        app.add_middleware(LoopbackOnly, origins=frozenset(settings.cors_origins))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Link", "Location", "Retry-After", "X-Position", "X-Request-Id"],
        )
    app.add_middleware(Envelope)
