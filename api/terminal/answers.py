"""What commands print with `--json`, as types: the schemas in `docs/schemas` are made from them.

Keys are only ever added. Times are UTC.
"""

from __future__ import annotations

import typing
from datetime import datetime
from typing import Any, Literal

import msgspec

from ...infrastructure import ApiKey, ExecutionHistory
from ...infrastructure.api_keys import KeyState
from ...infrastructure.webhooks import Attempt, DeadLetter, Endpoint
from ...projections import (
    Diff,
    Difference,
    EndedRun,
    EventPage,
    FailureReason,
    LedgerSummary,
    Manifest,
    ProjectionStatus,
    RebuildReport,
    RecordedEvent,
    Statistics,
    StatusSpan,
    StepSpan,
)


def _struct(name: str, text: str, base: type | None = None, /, **fields: Any) -> Any:
    """A struct with these fields, behind those of the base."""
    bases = (msgspec.Struct,) if base is None else (base,)
    named = {"__doc__": text, "__module__": __name__}
    return msgspec.defstruct(name, list(fields.items()), bases=bases, namespace=named, kw_only=True)


def _columns() -> dict[str, Any]:
    hints = typing.get_type_hints(ExecutionHistory)
    return {column.name: typing.get_args(hints[column.name])[0] for column in ExecutionHistory.__table__.columns}


Execution = _struct("Execution", "A row of the history: one execution as it is now.", **_columns())
Status = _struct(
    "Status",
    "An execution, who created it, why, and who changed it last.",
    Execution,
    created_by=str | None,
    reason=str | None,
    changed_by=str | None,
)


class StatusTime(StatusSpan, kw_only=True):
    """The time spent in one status."""

    seconds: float | None  # type: ignore[override]


class StepTime(StepSpan, kw_only=True):
    """A step, with the steps inside it."""

    seconds: float | None  # type: ignore[override]
    steps: list[StepTime]  # type: ignore[override]


class Projection(ProjectionStatus, frozen=True, kw_only=True):
    """How far a projection has read the ledger."""

    lag: int  # type: ignore[override]
    stopped: bool  # type: ignore[override]


class Key(ApiKey, frozen=True, kw_only=True):
    """What is known of an API key."""

    state: KeyState  # type: ignore[override]


class History(msgspec.Struct, kw_only=True):
    """A page of executions, the newest first."""

    executions: list[Execution]  # type: ignore[valid-type]
    total: int
    """How many there are with these filters."""
    next_cursor: str | None
    statuses: dict[str, int]
    """How many executions of the whole ledger are in each status."""


class Timeline(msgspec.Struct, kw_only=True):
    """A page of the events of one execution; spans tell of all its events."""

    job_id: str
    execution: Execution | None  # type: ignore[valid-type]
    """Null where it was deleted."""
    statuses: list[StatusTime]
    steps: list[StepTime]
    events: list[RecordedEvent]
    next_version: int | None


class Ledger(LedgerSummary, frozen=True, kw_only=True):
    """The ledger in numbers, and its root at that size."""

    root: str


class Numbers(msgspec.Struct, kw_only=True):
    """How the runs of a window ended."""

    ended_from: datetime
    ended_before: datetime
    by: str
    whole: Statistics
    groups: list[Statistics]
    truncated: bool
    """Whether there are more groups than these, the first."""
    reasons: list[FailureReason]
    longest: list[EndedRun]


class Frame(msgspec.Struct, kw_only=True):
    """One line of a replay: an event, and the execution right after it."""

    at: datetime
    event: RecordedEvent
    execution: Execution | None  # type: ignore[valid-type]
    """Null once it is deleted."""


class Verified(msgspec.Struct, kw_only=True):
    """What a verification found."""

    ledger: str
    executions: int
    differences: list[Difference]


class Rebuilt(msgspec.Struct, kw_only=True):
    """What became of a rebuild."""

    ledger: str
    projection: str
    outcome: Literal["checked", "swapped in", "kept", "rolled back", "finished"]
    report: RebuildReport | None
    """What differed, where something was built."""
    left: int | None
    """Executions that had gone on since, and were not rolled back."""


class Projections(msgspec.Struct, kw_only=True):
    """The projections of a ledger, the longest lag first."""

    projections: list[Projection]
    retried: bool | None
    """With `--retry`: whether it had stopped."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that `doctor` looked at."""

    subject: str
    verdict: Literal["well", "warning", "wrong"]
    told: str
    remedy: str | None = None


class Findings(msgspec.Struct):
    """What `doctor` found."""

    findings: list[Finding]


class NewKey(msgspec.Struct, kw_only=True):
    """A key that was made, with the secret that is shown once."""

    key: Key
    secret: str


class RevokedKey(msgspec.Struct, kw_only=True):
    """A key that works no longer."""

    key: Key


class Keys(msgspec.Struct, kw_only=True):
    """All keys of a ledger."""

    keys: list[Key]


class ReapedRun(msgspec.Struct, kw_only=True):
    """One line of `reap`: a run that was ended since its lease had expired."""

    ledger: str
    id: int
    job_id: str
    status: str
    token: int
    holder: str
    expired_at: datetime
    at: datetime
    """When it was seen to be expired."""


class Exported(msgspec.Struct, kw_only=True):
    """Events that were written to a file."""

    file: str
    size: int
    """Events that the ledger had when the export began."""
    manifest: Manifest | None
    """As it is written beside the file; null for what came from a service."""


class BackedUp(msgspec.Struct, kw_only=True):
    """A ledger that was written to a file."""

    file: str
    ledger: str
    size: int
    root: str


class Restored(msgspec.Struct, kw_only=True):
    """A ledger that was made from a file."""

    ledger: str
    size: int
    root: str
    loaded: int
    """Events that were not there before."""


class RefusedLine(msgspec.Struct, kw_only=True):
    """One line of `import openlineage`: an event that was not recorded."""

    kind: Literal["refused"]
    where: str
    """File and number of its line."""
    problem: str


class ImportedEvents(msgspec.Struct, kw_only=True):
    """The last line of `import openlineage`."""

    kind: Literal["summary"]
    recorded: int
    refused: int


class CrudRow(msgspec.Struct, kw_only=True):
    """One line of `import crud`: a row that somebody should look at."""

    kind: Literal["refused", "went_on", "assumed"]
    id: Any
    problem: str


class ImportedRows(msgspec.Struct, kw_only=True):
    """The last line of `import crud`: how many rows became what."""

    kind: Literal["summary"]
    dry_run: bool
    rows: int
    imported: int
    corrected: int
    unchanged: int
    went_on: int
    refused: int
    assumed: int


class Migrated(msgspec.Struct, kw_only=True):
    """A database that has the schema of this version."""

    database: str
    """Its URL, without a password."""
    revision: str


class Serving(msgspec.Struct, kw_only=True):
    """The line that `serve` prints once it listens."""

    address: str
    """Of the API."""
    ledger: str
    """Where none is named."""


class Webhooks(msgspec.Struct, kw_only=True):
    """The webhooks of a ledger."""

    webhooks: list[Endpoint]


class NewWebhook(msgspec.Struct, kw_only=True):
    """A webhook, with a secret that is shown once."""

    webhook: Endpoint
    secret: str


class RemovedWebhook(msgspec.Struct, kw_only=True):
    """A webhook that is no more."""

    endpoint_id: str


class DeadLetters(msgspec.Struct, kw_only=True):
    """Events that a webhook did not take."""

    dead_letters: list[DeadLetter]


class Replayed(Attempt, frozen=True, kw_only=True):
    """A dead letter that was sent once more, and what came of it."""

    position: int


class ReplayedLetters(msgspec.Struct, kw_only=True):
    """What became of each."""

    replayed: list[Replayed]


class DroppedLetters(msgspec.Struct, kw_only=True):
    """How many dead letters were forgotten."""

    dropped: int


ANSWERS: dict[str, tuple[Any, ...]] = {
    "audit": (EventPage,),
    "diff": (Diff,),
    "doctor": (Findings,),
    "export events": (Exported,),
    "export ledger": (BackedUp,),
    "history": (History,),
    "import crud": (CrudRow, ImportedRows),
    "import ledger": (Restored,),
    "import openlineage": (RefusedLine, ImportedEvents),
    "keys create": (NewKey,),
    "keys list": (Keys,),
    "keys revoke": (RevokedKey,),
    "keys rotate": (NewKey,),
    "ledger": (Ledger,),
    "migrate": (Migrated,),
    "projections": (Projections,),
    "reap": (ReapedRun,),
    "rebuild": (Rebuilt,),
    "replay": (Frame,),
    "serve": (Serving,),
    "stats": (Numbers,),
    "status": (Status,),
    "tail": (RecordedEvent,),
    "timeline": (Timeline,),
    "verify": (Verified,),
    "webhooks add": (NewWebhook,),
    "webhooks change": (Endpoint,),
    "webhooks dead": (DeadLetters,),
    "webhooks disable": (Endpoint,),
    "webhooks drop": (DroppedLetters,),
    "webhooks enable": (Endpoint,),
    "webhooks list": (Webhooks,),
    "webhooks remove": (RemovedWebhook,),
    "webhooks replay": (ReplayedLetters,),
    "webhooks rotate": (NewWebhook,),
    "webhooks show": (Endpoint,),
    "webhooks test": (Attempt,),
}
"""Command → what it prints with `--json`."""

LINES = frozenset({"import crud", "import openlineage", "reap", "replay", "tail"})
"""Commands that print an object a line, of any of their types; the others print one object."""
