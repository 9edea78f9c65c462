"""What is asked of a store, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from uuid import UUID

import msgspec

from ..domain import Command, CommandIdReused, Context, Create
from .batch import Row


@dataclass(frozen=True, slots=True)
class Request:
    """One command for one entity of a ledger."""

    ledger: str
    target: int | str | None
    """The entity's id or its key; None for a `Create` that leaves the key to the ledger."""
    command: Command
    context: Context = field(default_factory=Context)
    expected_version: int | None = None
    """Refuse unless the entity is at this version; 0 for one that must not exist."""
    command_id: str | None = None
    """The same id with the same command is answered with the first outcome, and appends nothing."""
    lease: int | None = None
    """The token of the lease that a worker sends it under; no part of what makes two commands the same."""

    def fingerprint(self) -> bytes:
        """What makes two commands for the same entity the same: command, actor, reason and expected version."""
        parts = [self.command, self.context.actor, self.context.reason, self.expected_version]
        return sha256(msgspec.json.encode(parts, order="deterministic")).digest()

    def with_key(self, key: str) -> Request:
        """The same, where the ledger chose this key: sent again it cannot create a second entity."""
        return replace(self, target=key) if self.target is None else self


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    execution_id: UUID
    id: int
    version: int
    first_position: int | None
    """Position of its first event; None where it gave none."""
    event_count: int
    row: Row | None
    """The projected row; None once the entity is deleted."""
    replayed: bool = False
    """Whether an earlier command with the same id had this outcome already."""

    @property
    def position(self) -> int | None:
        """Position of its last event, for reads that must not be older; None where it gave none."""
        return None if self.first_position is None else self.first_position + self.event_count - 1


def check_same_command(request: Request, fingerprint: bytes, id: int | None, key: str) -> None:
    """Refuse a command id that was used for something else; `id` and `key` are those of the entity it was used on."""
    same_entity = isinstance(request.command, Create) or request.target in (id, key)
    if not same_entity or request.fingerprint() != fingerprint:
        raise CommandIdReused(command_id=request.command_id)
