"""What is recorded, as RunEvents of OpenLineage."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from uuid import UUID

from ...domain import stream_id
from ...domain.status import TARGET_OF
from ...projections import RecordedEvent, ReplayQueries
from .lineage import SOURCE

_PRODUCER = "urn:execution-ledger"
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_TYPES = {
    "running": "RUNNING", "completed": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT", "stopped": "ABORT",
    "rejected": "ABORT",
}  # fmt: skip
"""What it is to OpenLineage that an event leads to a status; whatever else happens is OTHER."""
_COMMAND_ID = re.compile(rf"{SOURCE}-[0-9a-f]{{64}}-\d")


class Subject(NamedTuple):
    """Whose events they are."""

    job: dict[str, Any]
    parent: dict[str, Any] | None
    """The facet, where it is part of another run."""


async def find_subject(replay: ReplayQueries, job_id: str) -> Subject:
    """What is known of an execution now that each of its events tells."""
    row = await _row(replay, job_id)
    parent = row.get("parent_job_id")
    if parent is None:
        return Subject(_job(replay.ledger, job_id, row), None)
    run, job = {"runId": _run_id(replay.ledger, parent)}, _job(replay.ledger, parent, await _row(replay, parent))
    facet = {**_facet("1-2-0/ParentRunFacet"), "run": run, "job": job}
    return Subject(_job(replay.ledger, job_id, row), facet)


async def _row(replay: ReplayQueries, job_id: str) -> dict[str, Any]:
    state = await replay.state_at(job_id)
    return {} if state is None or state.row is None else dict(state.row)


def is_told(event: RecordedEvent) -> bool:
    """Whether it only follows from an event of OpenLineage, which is given itself."""
    return _is_ours(event) and _came(event) is None


def as_lineage(event: RecordedEvent, subject: Subject) -> dict[str, Any]:
    """One event; as it came, where it came as OpenLineage."""
    return _came(event) or _made(event, subject)


def _came(event: RecordedEvent) -> dict[str, Any] | None:
    data = event.data or {}
    told = event.name == "noted" and data.get("source") == SOURCE and isinstance(data.get("data"), dict)
    return data["data"] if told and _is_ours(event) else None


def _is_ours(event: RecordedEvent) -> bool:
    """Whether it was recorded as one of OpenLineage: anybody may name that as the source of a note."""
    return _COMMAND_ID.fullmatch(event.command_id or "") is not None


def _made(event: RecordedEvent, subject: Subject) -> dict[str, Any]:
    data = event.data or {}
    kind = _TYPES.get(data.get("status") or TARGET_OF.get(event.name, ""), "OTHER")
    if event.name == "created" and kind in ("OTHER", "RUNNING"):
        kind = "START"
    facets: dict[str, Any] = {
        "executionLedger_event": {
            "_producer": _PRODUCER,
            "_schemaURL": f"{_PRODUCER}:event",
            "type": event.type,
            "job_id": event.job_id,
            "position": event.position,
            "version": event.version,
            "recorded_at": event.recorded_at,
            "actor": event.actor,
            "reason": event.reason,
            "data": event.data,
        }
    }
    if subject.parent is not None:
        facets["parent"] = subject.parent
    if kind == "FAIL":
        told = {"message": data.get("error") or "", "programmingLanguage": "unknown"}
        facets["errorMessage"] = {**_facet("1-0-1/ErrorMessageRunFacet"), **told}
    return {
        "eventType": kind,
        "eventTime": event.at,
        "run": {"runId": _run_id(event.ledger_id, event.job_id), "facets": facets},
        "job": subject.job,
        "inputs": [],
        "outputs": [],
        "producer": _PRODUCER,
        "schemaURL": _SCHEMA,
    }


def _run_id(ledger: str, job_id: str) -> str:
    """A UUID in any case: the job id where it is one, as of runs that OpenLineage told of."""
    try:
        same = str(UUID(job_id)) == job_id
    except ValueError:
        same = False
    return job_id if same else str(stream_id(ledger, job_id))


def _job(ledger: str, job_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """As OpenLineage named it, where it did."""
    told = row.get("attributes") or {}
    namespace, name = told.get("openlineage_namespace"), told.get("openlineage_job")
    if not (isinstance(namespace, str) and isinstance(name, str)):
        namespace, name = ledger, row.get("run_name") or job_id
    return {"namespace": namespace, "name": name, "facets": {}}


def _facet(name: str) -> dict[str, Any]:
    return {"_producer": _PRODUCER, "_schemaURL": f"{_FACETS}/{name}.json#/$defs/{name.partition('/')[2]}"}
