"""What bodies about webhooks may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ...domain.limits import REASON_LENGTH
from ...infrastructure.webhooks.endpoints import LONGEST_OVERLAP, URL_LENGTH
from .query_schemas import EventType
from .schemas import Natural, StrictBody

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=URL_LENGTH,
        description="Where to: http or https, a public address unless others are allowed, no credentials in it.",
        json_schema_extra={"format": "uri", "pattern": "^https?://"},
    ),
]
Types = Annotated[
    list[EventType] | None,
    Field(min_length=1, description="Only events of these types, `execution.` may be left out; null for all."),
]
Description = Annotated[str | None, Field(max_length=REASON_LENGTH, description="A word for people.")]


class WebhookCreate(StrictBody):
    """A URL that events are sent to."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "https://example.com/hooks", "types": ["execution.failed"]}]}
    )

    url: Url
    types: Types = None
    description: Description = None
    after: Natural | None = Field(
        None, description="Begin behind this position: 0 sends all that was ever recorded. From now on, if left out."
    )


class WebhookUpdate(StrictBody):
    """What changes."""

    # Defaults that the document does not tell: what is not sent is not set.
    url: Url = Field(default_factory=str)
    types: Types = None
    description: Description = None
    enabled: bool = Field(default_factory=bool, description="Whether anything is sent. One that answered 410 is off.")
    after: Natural = Field(
        default_factory=int,
        description="Go on behind this position, backward or forward; dead letters behind it are sent again so.",
    )


class SecretRotation(StrictBody):
    """How to change over."""

    overlap: float = Field(
        default=0.0,
        ge=0,
        le=LONGEST_OVERLAP,
        description="Seconds for which messages are signed with the old secret, too.",
    )
