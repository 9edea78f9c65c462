"""The statuses of an execution and the one table of the changes between them.

Code, documentation and tests read `TRANSITIONS`; nothing else says what may follow what.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, NamedTuple

from .errors import InvalidInput
from .values import shown


class ExecutionStatus(StrEnum):
    """Canonical values are lower case; input in any case is accepted."""

    PENDING = "pending"
    PREPARING = "preparing"
    RUNNING = "running"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing may follow."""
        return self in TERMINAL


class Transition(NamedTuple):
    """From `source` to `target` by the event `execution.<event>`."""

    source: ExecutionStatus
    target: ExecutionStatus
    event: str


_S = ExecutionStatus

TRANSITIONS: tuple[Transition, ...] = (
    Transition(_S.PENDING, _S.PREPARING, "prepared"),
    Transition(_S.PENDING, _S.RUNNING, "started"),
    Transition(_S.PENDING, _S.WAITING_FOR_APPROVAL, "approval_requested"),
    Transition(_S.PENDING, _S.STOPPING, "stop_requested"),
    Transition(_S.PENDING, _S.STOPPED, "stopped"),
    Transition(_S.PENDING, _S.COMPLETED, "completed"),
    Transition(_S.PENDING, _S.FAILED, "failed"),
    Transition(_S.PENDING, _S.CANCELLED, "cancelled"),
    Transition(_S.PREPARING, _S.RUNNING, "started"),
    Transition(_S.PREPARING, _S.WAITING_FOR_APPROVAL, "approval_requested"),
    Transition(_S.PREPARING, _S.STOPPING, "stop_requested"),
    Transition(_S.PREPARING, _S.STOPPED, "stopped"),
    Transition(_S.PREPARING, _S.COMPLETED, "completed"),
    Transition(_S.PREPARING, _S.FAILED, "failed"),
    Transition(_S.PREPARING, _S.CANCELLED, "cancelled"),
    Transition(_S.RUNNING, _S.WAITING_FOR_APPROVAL, "approval_requested"),
    Transition(_S.RUNNING, _S.STOPPING, "stop_requested"),
    Transition(_S.RUNNING, _S.STOPPED, "stopped"),
    Transition(_S.RUNNING, _S.COMPLETED, "completed"),
    Transition(_S.RUNNING, _S.FAILED, "failed"),
    Transition(_S.RUNNING, _S.CANCELLED, "cancelled"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.RUNNING, "approved"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.REJECTED, "rejected"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.STOPPING, "stop_requested"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.STOPPED, "stopped"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.FAILED, "failed"),
    Transition(_S.WAITING_FOR_APPROVAL, _S.CANCELLED, "cancelled"),
    Transition(_S.STOPPING, _S.STOPPED, "stopped"),
    # A run can end by itself before it notices the request to stop; the ledger keeps what really happened.
    Transition(_S.STOPPING, _S.COMPLETED, "completed"),
    Transition(_S.STOPPING, _S.FAILED, "failed"),
    Transition(_S.STOPPING, _S.CANCELLED, "cancelled"),
)

_BY_TARGET = {(row.source, row.target): row for row in TRANSITIONS}

TERMINAL: frozenset[ExecutionStatus] = frozenset(ExecutionStatus) - {row.source for row in TRANSITIONS}
"""The statuses that nothing leaves: derived from the table, so that there is one definition of "terminal"."""

TARGET_OF: dict[str, ExecutionStatus] = {row.event: row.target for row in TRANSITIONS}
"""The status that each transition event leads to."""


def find_transition(source: ExecutionStatus, target: ExecutionStatus) -> Transition | None:
    """The row of the table that leads from `source` to `target`, if there is one."""
    return _BY_TARGET.get((source, target))


def targets(source: ExecutionStatus) -> list[ExecutionStatus]:
    """What may follow `source`, in the order of the table."""
    return [row.target for row in TRANSITIONS if row.source is source]


def parse_status(value: Any, field: str = "status") -> ExecutionStatus:
    """The status that a string (any case) or an enum member with such a value names."""
    raw = value.value if isinstance(value, Enum) else value
    if isinstance(raw, str):
        try:
            return ExecutionStatus(raw.strip().lower())
        except ValueError:
            pass
    names = ", ".join(ExecutionStatus)
    raise InvalidInput(field=field, problem=f"{shown(raw)} is not a status", remedy=f"Use one of: {names}.")
