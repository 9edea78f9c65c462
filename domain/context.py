"""Who did it, why, and in connection with what: the context that every event carries."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

import msgspec

from .errors import InvalidInput
from .limits import KEY_LENGTH, LEDGER_LENGTH, REASON_LENGTH, RESERVED
from .values import check_text, check_time, check_trace_id


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """The circumstances of an event; everything is optional."""

    actor: str | None = None
    """Who caused it."""
    reason: str | None = None
    """Why."""
    correlation_id: str | None = None
    """The piece of work it belongs to, across executions."""
    causation_id: str | None = None
    """What directly led to it: a command or event id of the caller's."""
    trace_id: str | None = None
    """W3C trace id, 32 hexadecimal digits."""
    occurred_at: datetime | None = None
    """When it happened, by the reporter's clock; `recorded_at` is the ledger's own."""


class ContextFields(TypedDict, total=False):
    """Keyword arguments that make a `Context`."""

    actor: str | None
    reason: str | None
    correlation_id: str | None
    causation_id: str | None
    trace_id: str | None
    occurred_at: datetime | str | None


_LENGTHS = {
    "actor": KEY_LENGTH,
    "reason": REASON_LENGTH,
    "correlation_id": KEY_LENGTH,
    "causation_id": KEY_LENGTH,
}


def make_context(base: Context, **fields: Any) -> Context:
    """`base` with the given fields checked and laid over it; None leaves the base's value."""
    checked: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in ContextFields.__annotations__:
            raise InvalidInput(field=name, problem="is not an option of a write", remedy="Leave it out.")
        if value is None:
            continue
        if name == "trace_id":
            checked[name] = check_trace_id(value)
        elif name == "occurred_at":
            checked[name] = check_time(value, name)
        else:
            checked[name] = check_text(value, name, _LENGTHS[name], min_length=1)
    return msgspec.structs.replace(base, **checked) if checked else base


def check_ledger(ledger: Any) -> str:
    """The name of a ledger. Those that begin with `RESERVED` are for what is built beside a ledger."""
    name = check_text(ledger, "ledger", LEDGER_LENGTH, min_length=1)
    if name.startswith(RESERVED):
        raise InvalidInput(field="ledger", problem="begins with a reserved character", remedy="Choose another name.")
    return name
