"""One small tree of errors, in words of the domain.

Every error carries its data as attributes, so that a layer above can answer with it without parsing a message.
The docstring of a class is the template of its message.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self


class LedgerError(Exception):
    """The ledger refused."""

    def __init__(self, **details: Any) -> None:
        self.details = details
        for name, value in details.items():
            setattr(self, name, value)
        super().__init__((type(self).__doc__ or "").format(**details))

    @classmethod
    def told(cls, message: str, details: dict[str, Any]) -> Self:
        """The error as another process told of it: with its message, and attributes as far as it told them."""
        error = cls.__new__(cls, message)
        error.details = details
        for name, value in details.items():
            setattr(error, name, value)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).told, (str(self), self.details)


class InvalidInput(LedgerError):
    """{field}: {problem}. {remedy}"""

    field: str
    problem: str
    remedy: str


class PayloadTooLarge(InvalidInput):
    """{field}: {problem}. {remedy}"""


class IllegalTransition(LedgerError):
    """Execution {job_id!r} is {source}: {problem}. {remedy}"""

    job_id: str
    source: str
    problem: str
    remedy: str


class DuplicateKey(LedgerError):
    """{key!r} is taken in ledger {ledger!r}{note}. Choose another one: a key is never used again."""

    key: str
    ledger: str
    deleted: bool

    def __init__(self, *, key: str, ledger: str, deleted: bool, **_: Any) -> None:
        note = " by an entry that was deleted" if deleted else ""
        super().__init__(key=key, ledger=ledger, deleted=deleted, note=note)


class DuplicateJobId(DuplicateKey):
    """job_id {key!r} is taken in ledger {ledger!r}{note}. Choose another one: a job_id is never used again."""


class UnknownStep(LedgerError):
    """Execution {job_id!r} has no step {step_id!r}. Start the step first."""

    job_id: str
    step_id: str


class StepConflict(LedgerError):
    """Step {step_id!r} of execution {job_id!r}: {problem}. {remedy}"""

    job_id: str
    step_id: str
    problem: str
    remedy: str


class VersionConflict(LedgerError):
    """{key!r} is at version {actual}, not {expected}. Read it again, then decide again."""

    key: str
    expected: int
    actual: int


class UnknownExecution(LedgerError):
    """There is no execution {target!r} in ledger {ledger!r}. Create it first, or look for it in another ledger."""

    ledger: str
    target: int | str


class LeaseHeld(LedgerError):
    """{key!r} is leased to {holder!r} until {until}. Try again then, or let the holder release it."""

    key: str
    holder: str
    until: datetime


class LeaseLost(LedgerError):
    """The lease on {key!r} with token {token} is lost: it was released, or it expired and somebody else has taken or \
ended the run. Stop the work; an outcome is still kept where the run has ended."""

    key: str
    token: int


class CommandIdReused(LedgerError):
    """command_id {command_id!r} was used for another command. Give every command an id of its own."""

    command_id: str


class LedgerBusy(LedgerError):
    """The ledger is busy: {problem}. {remedy}"""

    problem: str
    remedy: str


class UnitRefused(LedgerError):
    """What this session decided was refused when it was to be appended: {problem} Roll back before you go on."""

    problem: str


class StoreUnavailable(LedgerError):
    """The database did not answer: {problem}. Check that it runs and can be reached, then try again."""

    problem: str


class StoreFull(StoreUnavailable):
    """The database has no room left: {problem}. Nothing of this was recorded. Make room, then send it again."""


class OutcomeUnknown(StoreUnavailable):
    """The connection was lost while the ledger committed, so nobody knows yet whether it did: {problem} Look, or send \
the same command again with the command_id that it had."""


class WriterClosed(LedgerError):
    """The writer is closed: nothing was recorded. Open another one."""


class StoreError(LedgerError):
    """The database refused: {problem}. {remedy}"""

    problem: str
    remedy: str

    def __init__(self, *, problem: str, remedy: str = "Ask whoever runs it; its log may say more.", **_: Any) -> None:
        super().__init__(problem=problem, remedy=remedy)


class SchemaNotReady(LedgerError):
    """{problem}. Run `execution-ledger migrate`, or call `execution_ledger.infrastructure.migrate(url)`."""

    problem: str


class SchemaTooNew(LedgerError):
    """The database's schema ({revision}) is of a later version of execution-ledger. Upgrade execution-ledger."""

    revision: str


class EngineNotConfigured(LedgerError):
    """This SQLite connection lacks {missing}. Call `configure_sqlite(engine)` once after you create your engine, or \
use `create_engine` of execution_ledger.infrastructure."""

    missing: str


class UnknownEventType(LedgerError):
    """Event type {topic!r} (schema version {schema_version}) is not in the catalog. Upgrade execution-ledger."""

    topic: str
    schema_version: int


class EventMissing(LedgerError):
    """Event {position} of the {size} in ledger {ledger!r} is missing: somebody removed it. Restore it from a backup."""

    ledger: str
    position: int
    size: int


class ReadOnly(LedgerError):
    """{what} is read-only. {remedy}"""

    what: str
    remedy: str


class NotProjected(LedgerError):
    """Ledger {ledger!r}: {what} has read up to position {position}, not yet up to {min_position}. Try again later; if \
that does not help, see whether it is run and what its status says."""

    ledger: str
    what: str
    position: int
    min_position: int


class RebuildRefused(LedgerError):
    """The rebuild of {projection!r} in ledger {ledger!r}: {problem}. {remedy}"""

    projection: str
    ledger: str
    problem: str
    remedy: str


class UnknownProjection(LedgerError):
    """There is no projection {name!r} here. There are: {known}."""

    name: str
    known: str


class UnknownKey(LedgerError):
    """There is no API key {key_id!r} in ledger {ledger!r}. `execution-ledger keys list` shows those that there are."""

    key_id: str
    ledger: str


class UnknownWebhook(LedgerError):
    """There is no webhook {endpoint_id!r} in ledger {ledger!r}. `execution-ledger webhooks list` shows those that \
there are."""

    endpoint_id: str
    ledger: str


class UnknownDeadLetter(LedgerError):
    """The event at position {position} is no dead letter of webhook {endpoint_id!r}. `execution-ledger webhooks dead` \
shows those that are."""

    position: int
    endpoint_id: str
