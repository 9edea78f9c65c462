"""What routes are given: a session, the repository and the queries over it, and the circumstances of a command."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path, Request
from pydantic import AfterValidator
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import ContextFields, InvalidInput
from ...infrastructure import ExecutionHistory, ExecutionRepository, WriteOptions
from ...infrastructure.database_errors import translated
from ...projections import AuditQueries, LedgerQueries, ProjectionControl, ReplayQueries, StatisticsQueries
from ...projections.engine.fresh import Freshness, wait_until_fresh
from ..runtime import Ledger
from .headers import integer_header, reads, text_header
from .problem_kinds import ACTOR_KNOWN, FOREIGN_LEDGER
from .problems import Problem
from .schemas import Body

# Paths come as they were sent (`RawPaths`), so that an escaped slash stays inside the id.
_Id = AfterValidator(unquote)
_ENCODED = "percent-encoded: `/` as `%2F`; `.` and `..` alone, which clients take for folders, as `=.` and `=..`."
ExecutionId = Annotated[str, Path(description=f"The caller's job id, {_ENCODED}"), _Id]
StepId = Annotated[str, Path(description=f"The caller's step id, {_ENCODED}"), _Id]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=$|-)")
Find = Callable[[str], Awaitable[ExecutionHistory | None]]
_PATIENCE = 5.0
"""Seconds that an answer waits for a position at most."""
_ETAG = re.compile(r'(?:W/)?"(\d{1,18})"')


def get_ledger(request: Request) -> Ledger:
    """The open ledger of the app."""
    return request.app.state.ledger


async def get_db(request: Request) -> AsyncIterator[AsyncSession]:
    """A session of the request's own."""
    with translated():
        async with get_ledger(request).sessions() as session:
            yield session


# "function": the connection goes back before the answer is sent, however slowly that is read.
Db = Annotated[AsyncSession, Depends(get_db, scope="function")]


@reads("X-Ledger")
async def get_ledger_name(request: Request) -> str:
    """The name of the ledger that a request is about: the credentials bound it."""
    return _ledger_name(request)


LedgerName = Annotated[str, Depends(get_ledger_name)]


def _ledger_name(request: Request) -> str:
    bound = request.state.principal.ledger
    own = bound or get_ledger(request).settings.ledger
    name = text_header(request, "X-Ledger")
    if bound is not None and name not in (None, own):
        raise Problem(FOREIGN_LEDGER)
    return name or own


_CONTEXT = ("X-Actor", "X-Reason", "X-Correlation-Id", "X-Causation-Id", "traceparent")


@reads(*_CONTEXT)
async def get_context(request: Request) -> ContextFields:
    """Who, why and in connection with what, as the headers tell."""
    return _context(request)


CallContext = Annotated[ContextFields, Depends(get_context)]


def _context(request: Request) -> ContextFields:
    trace = _TRACEPARENT.match(request.headers.get("traceparent", ""))
    known, actor = request.state.principal.actor, text_header(request, "X-Actor")
    if known is not None and actor not in (None, known):
        raise Problem(ACTOR_KNOWN)
    return {
        "actor": known or actor or get_ledger(request).settings.actor,
        "reason": text_header(request, "X-Reason"),
        "correlation_id": text_header(request, "X-Correlation-Id") or request.state.given_id,
        "causation_id": text_header(request, "X-Causation-Id"),
        "trace_id": trace[1] if trace else None,
    }


async def _fresh_ledger(request: Request) -> str:
    """The name of the ledger, once the database knows the position that the answer must know of."""
    ledger, least = _ledger_name(request), integer_header(request, "X-Min-Position")
    if least:
        async with get_ledger(request).sessions() as session:
            await wait_until_fresh(session, ledger, Freshness.of(least, _PATIENCE))
    return ledger


_READING = ("X-Ledger", "X-Min-Position")


@reads(*_READING)
async def get_reader(request: Request, db: Db) -> ExecutionRepository:
    """The repository, for reading."""
    return ExecutionRepository(db, ledger=await _fresh_ledger(request), store=get_ledger(request).store)


@reads(*_READING)
async def get_finder(request: Request) -> Find:
    """Finds single executions by job id, together with whoever else looks for some."""
    return partial(request.app.state.reader.find, await _fresh_ledger(request))


@asynccontextmanager
async def replaying(request: Request) -> AsyncIterator[ReplayQueries]:
    """Questions about how executions were, for a route that seldom has any."""
    ledger = await _fresh_ledger(request)
    with translated():
        async with get_ledger(request).sessions() as session:
            yield ReplayQueries(session, ledger=ledger)


@reads("X-Ledger", *_CONTEXT, "Prefer")
async def get_writer(request: Request) -> ExecutionRepository:
    """The repository, for writing in groups with whoever else writes: its session never connects."""
    session, writer = get_ledger(request).sessions(), request.app.state.writer
    return ExecutionRepository(session, ledger=_ledger_name(request), writer=writer, **_context(request))


@reads("X-Ledger", *_CONTEXT)
async def get_leasing(request: Request, db: Db) -> ExecutionRepository:
    """The repository, for leases: each is a short transaction of its own."""
    store = get_ledger(request).store
    return ExecutionRepository(db, ledger=_ledger_name(request), store=store, **_context(request))


@reads(*_READING)
async def get_queries(request: Request, db: Db) -> LedgerQueries:
    """Questions to the ledger."""
    return LedgerQueries(db, ledger=await _fresh_ledger(request))


@reads(*_READING)
async def get_replay(request: Request, db: Db) -> ReplayQueries:
    """Questions about how executions were."""
    return ReplayQueries(db, ledger=await _fresh_ledger(request))


@reads(*_READING)
async def get_audit(request: Request, db: Db) -> AuditQueries:
    """Questions of an audit."""
    return AuditQueries(db, ledger=await _fresh_ledger(request))


@reads(*_READING)
async def get_statistics(request: Request, db: Db) -> StatisticsQueries:
    """Questions about how runs ended; they wait for their own projection."""
    least = integer_header(request, "X-Min-Position")
    return StatisticsQueries(db, ledger=_ledger_name(request), min_position=least)


async def get_projections(request: Request) -> ProjectionControl:
    """How projections are doing: to be asked in a thread."""
    return request.app.state.projections


Control = Annotated[ProjectionControl, Depends(get_projections)]
Finder = Annotated[Find, Depends(get_finder)]
Reader = Annotated[ExecutionRepository, Depends(get_reader)]
Writer = Annotated[ExecutionRepository, Depends(get_writer)]
Queries = Annotated[LedgerQueries, Depends(get_queries)]
Replay = Annotated[ReplayQueries, Depends(get_replay)]
Audit = Annotated[AuditQueries, Depends(get_audit)]
Statistics = Annotated[StatisticsQueries, Depends(get_statistics)]
Leasing = Annotated[ExecutionRepository, Depends(get_leasing)]


@reads("Idempotency-Key")
async def get_create_options(request: Request) -> WriteOptions:
    """Options of a write that creates."""
    return _create_options(request)


def _create_options(request: Request) -> WriteOptions:
    key = text_header(request, "Idempotency-Key")
    if key is None:
        return {}
    quoted = len(key) > 2 and key[0] == key[-1] == '"'  # the draft RFC has it quoted, most clients do not
    return {"command_id": key[1:-1] if quoted else key}


@reads("Idempotency-Key", "If-Match", "X-Lease-Token")
async def get_change_options(request: Request) -> WriteOptions:
    """Options of a write that changes."""
    options = _create_options(request)
    lease = integer_header(request, "X-Lease-Token")
    if lease is not None:
        options["lease"] = lease
    if_match = request.headers.get("If-Match", "*").strip()
    if if_match != "*":
        tag = _ETAG.fullmatch(if_match)
        if tag is None:
            raise InvalidInput(
                field="If-Match",
                problem=f"{if_match[:40]!r} is not a version",
                remedy='Send the ETag of an answer, as "7".',
            )
        options["expected_version"] = int(tag[1])
    return options


CreateOptions = Annotated[WriteOptions, Depends(get_create_options)]
ChangeOptions = Annotated[WriteOptions, Depends(get_change_options)]


def with_body(options: WriteOptions, body: Body | None) -> WriteOptions:
    """The options, with what the body says of the circumstances."""
    if body is None:
        return options
    return {**options, "reason": body.reason, "occurred_at": body.occurred_at, "trace_id": body.trace_id}
