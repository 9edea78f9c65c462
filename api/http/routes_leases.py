"""Leases: who works on an execution."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import Field

from ...domain import DEFAULT_TTL, LeaseLost
from ...domain.leases import LEASE_BOUNDS
from ...infrastructure import Lease
from . import problem_docs
from .answers import LeaseAnswer
from .authentication import WRITE
from .dependencies import ExecutionId, Leasing
from .json_route import JsonRoute
from .responses import json_response
from .schemas import Key, StrictBody

router = APIRouter(prefix="/executions/{execution_id}/lease", tags=["leases"], route_class=JsonRoute)

Token = Annotated[
    int, Header(alias="X-Lease-Token", ge=1, le=2**63 - 1, description="As the answer to the taking told.")
]
_Seconds = Annotated[float, Field(ge=LEASE_BOUNDS[0], le=LEASE_BOUNDS[1], description="Seconds that it lasts.")]


class LeaseTake(StrictBody):
    """A lease to take."""

    holder: Key = Field(description="Names the worker; no two alike.", examples=["worker-7"])
    ttl: _Seconds = DEFAULT_TTL


class LeaseRenew(StrictBody):
    """How long it lasts from now on."""

    ttl: _Seconds = DEFAULT_TTL


@router.post(
    "",
    operation_id="take_lease",
    summary="Take its lease",
    dependencies=WRITE,
    response_model=LeaseAnswer,
    responses=problem_docs.LEASE,
)
async def take_lease(execution_id: ExecutionId, body: LeaseTake, executions: Leasing) -> Response:
    """Refused (409) while another holder has it. A run whose lease expires is ended by a reaper."""
    return _response(await executions.take_lease(execution_id, holder=body.holder, ttl=body.ttl))


@router.put(
    "",
    operation_id="renew_lease",
    summary="Renew your lease",
    dependencies=WRITE,
    response_model=LeaseAnswer,
    responses=problem_docs.LEASE,
)
async def renew_lease(
    execution_id: ExecutionId, executions: Leasing, x_lease_token: Token, body: LeaseRenew | None = None
) -> Response:
    """412 where it is lost: stop the work then. The ledger does not grow by it."""
    lease = await executions.find_lease(execution_id, x_lease_token)
    return _response(await executions.renew_lease(lease, ttl=(body or LeaseRenew()).ttl))


@router.delete(
    "",
    status_code=204,
    operation_id="release_lease",
    summary="Give your lease back",
    dependencies=WRITE,
    responses=problem_docs.LEASE_RELEASE,
)
async def release_lease(execution_id: ExecutionId, executions: Leasing, x_lease_token: Token) -> Response:
    """412 where it was lost or given back before."""
    if not await executions.release_lease(await executions.find_lease(execution_id, x_lease_token)):
        raise LeaseLost(key=execution_id, token=x_lease_token)
    return Response(status_code=204)


def _response(lease: Lease) -> Response:
    about = {"ledger": lease.ledger, "job_id": lease.key, "id": lease.id, "stream_id": lease.execution_id}
    held = {"token": lease.token, "holder": lease.holder, "taken_at": lease.taken_at, "expires_at": lease.expires_at}
    return json_response(about | held)
