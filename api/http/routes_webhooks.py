"""Webhooks: where the ledger's events are sent, and what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from ...domain import UnknownDeadLetter
from ...projections.webhooks import WebhookControl
from . import problem_docs
from .answers import DeadLetters, DeliveryAnswer, NewWebhook, WebhookAnswer, WebhookList
from .authentication import ADMIN
from .dependencies import CallContext, LedgerName
from .json_route import JsonRoute
from .query_schemas import DeadLettersQuery
from .responses import json_response
from .webhook_schemas import SecretRotation, WebhookCreate, WebhookUpdate

PATH = "/api/v1/webhooks"

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=JsonRoute, dependencies=ADMIN)

EndpointId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The `endpoint_id` of a webhook.")]
Position = Annotated[int, Path(ge=1, le=2**63 - 1, description="Of the event in the ledger.")]


async def get_webhooks(request: Request) -> WebhookControl:
    """What can be done with them."""
    return request.app.state.webhooks


Webhooks = Annotated[WebhookControl, Depends(get_webhooks)]


@router.get("", operation_id="list_webhooks", summary="The webhooks of the ledger", response_model=WebhookList)
async def list_webhooks(webhooks: Webhooks, ledger: LedgerName) -> Response:
    """Each with how far it is behind, and what kept it."""
    return json_response({"webhooks": await webhooks.list(ledger)})


@router.post(
    "",
    status_code=201,
    operation_id="create_webhook",
    summary="Send events to a URL",
    response_model=NewWebhook,
    responses=problem_docs.WEBHOOK_CREATE,
)
async def create_webhook(body: WebhookCreate, webhooks: Webhooks, ledger: LedgerName, context: CallContext) -> Response:
    """From now on, or all behind `after`. The secret that signs them is told this once."""
    made = await webhooks.add(ledger, **body.model_dump(), created_by=context.get("actor"))
    location = {"Location": f"{PATH}/{made.endpoint.endpoint_id}"}
    return json_response({"webhook": made.endpoint, "secret": made.secret}, 201, location)


@router.get(
    "/{endpoint_id}",
    operation_id="get_webhook",
    summary="How a webhook is doing",
    response_model=WebhookAnswer,
    responses=problem_docs.WEBHOOK,
)
async def get_webhook(endpoint_id: EndpointId, webhooks: Webhooks, ledger: LedgerName) -> Response:
    """How far it is, what failed last, and when it is tried again."""
    return json_response(await webhooks.find(ledger, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    operation_id="update_webhook",
    summary="Change a webhook",
    response_model=WebhookAnswer,
    responses=problem_docs.WEBHOOK_CHANGE,
)
async def update_webhook(
    endpoint_id: EndpointId, body: WebhookUpdate, webhooks: Webhooks, ledger: LedgerName, context: CallContext
) -> Response:
    """What is left out stays. Whatever but the description changes, the event that is next is tried at once."""
    changes = body.model_dump(exclude_unset=True)
    return json_response(await webhooks.change(ledger, endpoint_id, changes, actor=context.get("actor")))


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    operation_id="delete_webhook",
    summary="Send nothing there any more",
    responses=problem_docs.WEBHOOK,
)
async def delete_webhook(endpoint_id: EndpointId, webhooks: Webhooks, ledger: LedgerName) -> Response:
    """Its dead letters go with it."""
    await webhooks.remove(ledger, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook another secret",
    response_model=NewWebhook,
    responses=problem_docs.WEBHOOK_CHANGE,
)
async def rotate_webhook_secret(
    endpoint_id: EndpointId, webhooks: Webhooks, ledger: LedgerName, body: SecretRotation | None = None
) -> Response:
    """For `overlap` seconds messages carry a signature by the old one, too."""
    made = await webhooks.rotate(ledger, endpoint_id, overlap=(body or SecretRotation()).overlap)
    return json_response({"webhook": made.endpoint, "secret": made.secret})


@router.post(
    "/{endpoint_id}/test",
    operation_id="test_webhook",
    summary="Send a webhook a test",
    response_model=DeliveryAnswer,
    responses=problem_docs.WEBHOOK,
)
async def test_webhook(endpoint_id: EndpointId, webhooks: Webhooks, ledger: LedgerName) -> Response:
    """An event that tells of nothing, once and now. The answer says what came back."""
    return json_response(await webhooks.test(ledger, endpoint_id))


@router.get(
    "/{endpoint_id}/dead-letters",
    operation_id="list_dead_letters",
    summary="Events that a webhook did not take",
    response_model=DeadLetters,
    responses=problem_docs.WEBHOOK,
)
async def list_dead_letters(
    endpoint_id: EndpointId, query: Annotated[DeadLettersQuery, Query()], webhooks: Webhooks, ledger: LedgerName
) -> Response:
    """In the order of their positions, with the last error of each."""
    found = await webhooks.dead_letters(ledger, endpoint_id, after=query.after, limit=query.limit + 1)
    page = found[: query.limit]
    return json_response({"dead_letters": page, "next_after": page[-1].position if len(found) > len(page) else None})


@router.post(
    "/{endpoint_id}/dead-letters/{position}/replay",
    operation_id="replay_dead_letter",
    summary="Send a dead letter once more",
    response_model=DeliveryAnswer,
    responses=problem_docs.DEAD_LETTER,
)
async def replay_dead_letter(
    endpoint_id: EndpointId, position: Position, webhooks: Webhooks, ledger: LedgerName
) -> Response:
    """Once and now. Taken, it is a dead letter no longer; else it stays one, with the new error."""
    return json_response(await webhooks.replay(ledger, endpoint_id, position))


@router.delete(
    "/{endpoint_id}/dead-letters/{position}",
    status_code=204,
    operation_id="drop_dead_letter",
    summary="Forget a dead letter",
    responses=problem_docs.DEAD_LETTER,
)
async def drop_dead_letter(
    endpoint_id: EndpointId, position: Position, webhooks: Webhooks, ledger: LedgerName
) -> Response:
    """The event stays in the ledger."""
    if not await webhooks.drop(ledger, endpoint_id, [position]):
        raise UnknownDeadLetter(position=position, endpoint_id=endpoint_id)
    return Response(status_code=204)
