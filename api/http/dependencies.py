"""What routes are given: a session, the repository and the queries over it, and the circumstances of a command."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Request
from pydantic import AfterValidator
from sqlalchemy.ext.asyncio import AsyncSession

from ...domain import ContextFields, InvalidInput
from ...domain.limits import KEY_LENGTH, LEDGER_LENGTH, REASON_LENGTH
from ...domain.values import check_text
from ...infrastructure import ExecutionRepository, WriteOptions
from ...infrastructure.database_errors import translated
from ...projections import AuditQueries, LedgerQueries, ProjectionControl, ReplayQueries, StatisticsQueries
from ...projections.engine.fresh import Freshness, wait_until_fresh
from ..runtime import Ledger
from .authentication import CurrentPrincipal
from .problem_kinds import ACTOR_KNOWN, FOREIGN_LEDGER
from .problems import Problem
from .schemas import Body

# Paths come as they were sent (`RawPaths`), so that an escaped slash stays inside the id.
_Id = AfterValidator(unquote)
ExecutionId = Annotated[str, Path(description="The caller's job id, percent-encoded (`/` as `%2F`)."), _Id]
StepId = Annotated[str, Path(description="The caller's step id, percent-encoded."), _Id]


def _text_header(name: str, description: str, longest: int = KEY_LENGTH) -> Any:
    """A header whose bounds are documented here, and checked by `_text`, which counts characters, not bytes."""
    return Header(alias=name, description=description, json_schema_extra={"minLength": 1, "maxLength": longest})


_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=$|-)")
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


def get_ledger_name(
    request: Request,
    principal: CurrentPrincipal,
    x_ledger: Annotated[
        str | None,
        _text_header(
            "X-Ledger",
            "The ledger to use in place of the service's own; with a key or token, only its own.",
            LEDGER_LENGTH,
        ),
    ] = None,
) -> str:
    """The name of the ledger that a request is about: the credentials bound it."""
    own = principal.ledger or get_ledger(request).settings.ledger
    name = _text(x_ledger, "X-Ledger", LEDGER_LENGTH)
    if principal.ledger is not None and name not in (None, own):
        raise Problem(FOREIGN_LEDGER)
    return name or own


LedgerName = Annotated[str, Depends(get_ledger_name)]


def get_context(
    request: Request,
    principal: CurrentPrincipal,
    x_actor: Annotated[
        str | None,
        _text_header("X-Actor", "Who did it, where nobody needs a key: else it is whose key that is."),
    ] = None,
    x_reason: Annotated[str | None, _text_header("X-Reason", "Why.", REASON_LENGTH)] = None,
    x_correlation_id: Annotated[
        str | None,
        _text_header(
            "X-Correlation-Id", "The piece of work it belongs to, across executions; the X-Request-Id, if left out."
        ),
    ] = None,
    x_causation_id: Annotated[str | None, _text_header("X-Causation-Id", "What directly led to it.")] = None,
    prefer: Annotated[  # applied by `JsonRoute`
        str | None, Header(description="`return=minimal`: answer a write with its headers alone (RFC 7240).")
    ] = None,
    traceparent: Annotated[
        str | None, Header(description="W3C trace context: its trace id is recorded. Ignored if it is malformed.")
    ] = None,
) -> ContextFields:
    """Who, why and in connection with what, as the headers tell."""
    trace = _TRACEPARENT.match(traceparent or "")
    actor = _text(x_actor, "X-Actor")
    if principal.actor is not None and actor not in (None, principal.actor):
        raise Problem(ACTOR_KNOWN)
    return {
        "actor": principal.actor or actor or get_ledger(request).settings.actor,
        "reason": _text(x_reason, "X-Reason", REASON_LENGTH),
        "correlation_id": _text(x_correlation_id, "X-Correlation-Id") or request.state.given_id,
        "causation_id": _text(x_causation_id, "X-Causation-Id"),
        "trace_id": trace[1] if trace else None,
    }


CallContext = Annotated[ContextFields, Depends(get_context)]


async def get_freshness(
    db: Db,
    ledger: LedgerName,
    min_position: Annotated[
        int | None,
        Header(
            alias="X-Min-Position",
            ge=0,
            le=2**63 - 1,
            description="Answer not before this position is known: `X-Position` of a write (503 after 5 s).",
        ),
    ] = None,
) -> int | None:
    """The position that an answer must know of, once the database does."""
    await wait_until_fresh(db, ledger, Freshness.of(min_position, 5.0))
    return min_position


MinPosition = Annotated[int | None, Depends(get_freshness)]


def get_reader(request: Request, db: Db, ledger: LedgerName, _: MinPosition) -> ExecutionRepository:
    """The repository, for reading."""
    return ExecutionRepository(db, ledger=ledger, store=get_ledger(request).store)


def get_writer(request: Request, db: Db, ledger: LedgerName, context: CallContext) -> ExecutionRepository:
    """The repository, for writing in groups with whoever else writes."""
    return ExecutionRepository(db, ledger=ledger, writer=request.app.state.writer, **context)


def get_leasing(request: Request, db: Db, ledger: LedgerName, context: CallContext) -> ExecutionRepository:
    """The repository, for leases: each is a short transaction of its own."""
    return ExecutionRepository(db, ledger=ledger, store=get_ledger(request).store, **context)


def get_queries(db: Db, ledger: LedgerName, _: MinPosition) -> LedgerQueries:
    """Questions to the ledger."""
    return LedgerQueries(db, ledger=ledger)


def get_replay(db: Db, ledger: LedgerName, _: MinPosition) -> ReplayQueries:
    """Questions about how executions were."""
    return ReplayQueries(db, ledger=ledger)


def get_audit(db: Db, ledger: LedgerName, _: MinPosition) -> AuditQueries:
    """Questions of an audit."""
    return AuditQueries(db, ledger=ledger)


def get_statistics(db: Db, ledger: LedgerName, min_position: MinPosition) -> StatisticsQueries:
    """Questions about how runs ended."""
    return StatisticsQueries(db, ledger=ledger, min_position=min_position)


def get_projections(request: Request) -> ProjectionControl:
    """How projections are doing: to be asked in a thread."""
    return request.app.state.projections


Control = Annotated[ProjectionControl, Depends(get_projections)]
Reader = Annotated[ExecutionRepository, Depends(get_reader)]
Writer = Annotated[ExecutionRepository, Depends(get_writer)]
Queries = Annotated[LedgerQueries, Depends(get_queries)]
Replay = Annotated[ReplayQueries, Depends(get_replay)]
Audit = Annotated[AuditQueries, Depends(get_audit)]
Statistics = Annotated[StatisticsQueries, Depends(get_statistics)]
Leasing = Annotated[ExecutionRepository, Depends(get_leasing)]


def get_command_id(
    idempotency_key: Annotated[
        str | None,
        _text_header(
            "Idempotency-Key", "The same key with the same command records nothing again, however often it is sent."
        ),
    ] = None,
) -> WriteOptions:
    """Options of a write that creates."""
    key = _text(idempotency_key, "Idempotency-Key")
    if key is None:
        return {}
    quoted = len(key) > 2 and key[0] == key[-1] == '"'  # the draft RFC has it quoted, most clients do not
    return {"command_id": key[1:-1] if quoted else key}


def get_options(
    command: Annotated[WriteOptions, Depends(get_command_id)],
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description='The ETag of an answer, as `"7"`: refuse (412) if the execution has changed since.',
            json_schema_extra={"pattern": r'^((W/)?"[0-9]{1,18}"|[*])$'},
        ),
    ] = None,
    x_lease_token: Annotated[
        int | None,
        Header(
            alias="X-Lease-Token",
            ge=1,
            le=2**63 - 1,
            description="The token of your lease: refuse (412) once a newer one was taken.",
        ),
    ] = None,
) -> WriteOptions:
    """Options of a write that changes."""
    if x_lease_token is not None:
        command = {**command, "lease": x_lease_token}
    if if_match is None or if_match.strip() == "*":
        return command
    tag = _ETAG.fullmatch(if_match.strip())
    if tag is None:
        raise InvalidInput(
            field="If-Match",
            problem=f"{if_match[:40]!r} is not a version",
            remedy='Send the ETag of an answer, as "7".',
        )
    return {**command, "expected_version": int(tag[1])}


CreateOptions = Annotated[WriteOptions, Depends(get_command_id)]
ChangeOptions = Annotated[WriteOptions, Depends(get_options)]


def with_body(options: WriteOptions, body: Body | None) -> WriteOptions:
    """The options, with what the body says of the circumstances."""
    if body is None:
        return options
    return {**options, "reason": body.reason, "occurred_at": body.occurred_at}


def _text(value: str | None, name: str, longest: int = KEY_LENGTH) -> str | None:
    """A header's value as UTF-8, which is what clients send; the server hands it on as Latin-1."""
    if value is None:
        return None
    try:
        text = value.encode("latin-1").decode()
    except UnicodeError as error:
        raise InvalidInput(field=name, problem="is not UTF-8", remedy="Send UTF-8.") from error
    return check_text(text, name, longest, min_length=1)
