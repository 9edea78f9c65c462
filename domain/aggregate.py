"""The base of every aggregate whose events a ledger keeps, on the `eventsourcing` library.

The rule and the assignment stand apart: commands refuse, event handlers only assign, since they run again on every
replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID, uuid5

from eventsourcing.domain import Aggregate
from eventsourcing.utils import resolve_topic

from .commands import Command, Create
from .context import Context
from .errors import DuplicateKey, InvalidInput, LeaseHeld, LeaseLost
from .leases import Held
from .payloads import Nothing, Payload

_NAMESPACE = UUID("6f0e3f6c-2c8e-5d0b-9a53-8f1e0a6f7b11")


def stream_id(ledger: str, key: str) -> UUID:
    """The UUID of the event stream of `key` in `ledger`: a UUIDv5, the same on every machine."""
    # uuid5(uuid5(_NAMESPACE, ledger), key), in two thirds of the time.
    digest = sha1(_namespace(ledger) + key.encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


@lru_cache(maxsize=1024)
def _namespace(ledger: str) -> bytes:
    return uuid5(_NAMESPACE, ledger).bytes


class Step(NamedTuple):
    """What the rules must know of a step: whether it ended, and how."""

    outcome: str | None


class StreamState(NamedTuple):
    """The narrow state of an entity: all that is read to decide, a few dozen bytes."""

    execution_id: UUID
    id: int | None
    """None until the append gave it."""
    key: str
    version: int
    status: str | None
    started_at: datetime | None
    last_recorded_at: datetime
    deleted: bool
    lease_token: int = 0
    """Fencing token of the newest lease; 0 where there never was one."""


class LedgerAggregate(Aggregate):
    """An aggregate that is decided from its narrow state and projected by merging payloads."""

    class Event(Aggregate.Event):
        """A recorded fact; `timestamp` is the ledger's `recorded_at`."""

        context: Context
        data: Any
        payload: ClassVar[type[Payload]] = Nothing
        class_version: ClassVar[int] = 1
        """The schema version of the payload; `upcast_v1_v2(data)` … lead older payloads to it."""
        removes: ClassVar[bool] = False
        """Whether the event takes the entity out of its projected table."""

        def apply(self, aggregate: Any) -> None:
            """Assign what the payload says."""
            aggregate._assign(self.data)
            if self.removes:
                aggregate.deleted = True

    class Created(Event, Aggregate.Created):
        """The first event of every stream."""

        def mutate(self, aggregate: Any) -> Any:
            """The aggregate that begins with it."""
            # As the library does, which for each event filters the arguments of both initializers by their names.
            assert aggregate is None
            kind = resolve_topic(self.originator_topic)
            made = kind.__new__(kind)
            made.__base_init__(self.originator_id, self.originator_version, self.timestamp)
            made.__init__(self.data)
            return made

    # No annotations on these: the library would take them for dataclass fields.
    duplicate_error = DuplicateKey
    key_field = "key"
    """The payload field that names the entity, unique in its ledger for ever."""

    def __init__(self, data: Any) -> None:
        self.key: str = getattr(data, self.key_field, "")  # an erased payload has none
        self.status: str | None = None
        self.started_at: datetime | None = None
        self.deleted = False
        self.lease_token = 0
        self.steps: dict[str, Step] = {}
        self._assign(data)

    def _assign(self, data: Payload) -> None:
        changes = data.changes()
        self.status = changes.get("status", self.status)
        self.started_at = changes.get("started_at", self.started_at)
        if step := data.step():
            self.steps[step["step_id"]] = Step(step.get("outcome"))

    @classmethod
    def restore(cls, state: StreamState, steps: Mapping[str, Step]) -> Self:
        """The aggregate at a version, by the library's snapshot mechanism. `steps` holds those that a command names."""
        snapshot = cls.Snapshot(
            originator_id=state.execution_id,
            originator_version=state.version,
            timestamp=state.last_recorded_at,
            topic=getattr(cls, "TOPIC"),  # noqa: B009 (the library reads it by name, too)
            state={
                "key": state.key,
                "status": state.status,
                "started_at": state.started_at,
                "deleted": state.deleted,
                "lease_token": state.lease_token,
                "steps": dict(steps),
                "_created_on": state.last_recorded_at,
                "_modified_on": state.last_recorded_at,
            },
        )
        return snapshot.mutate(None)  # type: ignore[return-value]

    def state(self, id: int | None) -> StreamState:
        """The narrow state to write back."""
        return StreamState(
            execution_id=self.id,
            id=id,
            key=self.key,
            version=self.version,
            status=self.status,
            started_at=self.started_at,
            last_recorded_at=self.modified_on,
            deleted=self.deleted,
            lease_token=self.lease_token,
        )

    @classmethod
    def decide(
        cls,
        current: Self | None,
        command: Command,
        context: Context,
        now: datetime,
        ledger: str,
        lease: int | None = None,
    ) -> Self:
        """Apply one command: events become pending on the returned aggregate, or a `LedgerError` refuses.

        `now` is the writer's clock; an event is never recorded earlier than the same entity's last one. `lease` is the
        fencing token of a worker that sends the command under its lease.
        """
        if isinstance(command, Create):
            if lease is not None:
                raise InvalidInput(field="lease", problem="is on nothing yet", remedy="Create it, then take a lease.")
            details = cls.complete(command.details, context, now)
            key = getattr(details, cls.key_field)
            if current is not None:
                raise cls.duplicate_error(key=key, ledger=ledger, deleted=current.deleted)
            return cls._create(
                event_class=cls.Created, id=stream_id(ledger, key), timestamp=now, context=context, data=details
            )
        assert current is not None
        now = max(now, current.modified_on)
        if lease is None:
            current.handle(command, context, now)
        else:
            current.handle_leased(command, lease, context, now)
        return current

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, creating: bool) -> Any:
        """The checked payload of a create or an update, from plain fields."""
        raise NotImplementedError

    @classmethod
    def complete(cls, details: Any, context: Context, now: datetime) -> Any:
        """The payload of the first event: what the caller left out is filled in, what cannot be is refused."""
        return details

    def handle(self, command: Command, context: Context, now: datetime) -> None:
        """Decide on a command other than `Create`."""
        raise NotImplementedError

    def handle_leased(self, command: Command, lease: int, context: Context, now: datetime) -> None:
        """Decide on a command that a worker sends under its lease: refused where a newer one was taken since."""
        if lease != self.lease_token:
            raise LeaseLost(key=self.key, token=lease)
        self.handle(command, context, now)

    def grant(self, holder: str, held: Held | None, now: datetime) -> int:
        """The token of a new lease, higher than any before; refused while somebody else's lasts.

        A holder may take its own anew, as after a restart: what still writes under the old token is then fenced off.
        """
        if held is not None and held.holder != holder and not held.is_expired(now):
            raise LeaseHeld(key=self.key, holder=held.holder, until=held.expires_at)
        return self.lease_token + 1

    def record(self, event: type[Event], data: Payload, context: Context, now: datetime) -> None:
        """Make an event of what was decided."""
        self.trigger_event(event, data=data, context=context, timestamp=now)


def fold(events: Iterable[Any]) -> dict[str, Any] | None:
    """The projected row of one entity after these events (all of them, in order): the merge of their payloads.

    None once an event removed the entity. `id` is not in it: the ledger numbers entities in order of creation.
    """
    row: dict[str, Any] | None = {}
    for event in events:
        if row is None or event.removes:
            row = None
            continue
        row |= row_changes(event)
    return row


def row_changes(event: Any) -> dict[str, Any]:
    """Columns of the projected row that one event sets."""
    return event.data.changes() | {
        "execution_id": event.originator_id,
        "version": event.originator_version,
        "updated_at": event.timestamp,
    }
