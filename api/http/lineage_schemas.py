"""OpenLineage events, as far as they are looked into; whatever else they hold is kept as it came."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...domain.limits import KEY_LENGTH
from .schemas import Time

MOST = 1_000
"""Events of one batch."""


_HEX = "[0-9a-fA-F]"
RunId = Annotated[str, Field(pattern=f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class RunReference(_Part):
    """Another run."""

    runId: RunId


class RootFacet(_Part):
    """The outermost run."""

    run: RunReference


class ParentFacet(_Part):
    """The run that this one belongs to."""

    run: RunReference
    root: RootFacet | None = None


class ErrorMessageFacet(_Part):
    """Why it failed."""

    message: str
    programmingLanguage: str | None = None
    stackTrace: str | None = None


class RunFacets(_Part):
    """What is said of a run."""

    parent: ParentFacet | None = None
    errorMessage: ErrorMessageFacet | None = None


class LineageRun(_Part):
    """A run."""

    runId: RunId = Field(description="The job id of its execution.")
    facets: RunFacets = Field(default_factory=RunFacets)


class JobTypeFacet(_Part):
    """What kind of job it is."""

    integration: str | None = Field(None, min_length=1, max_length=KEY_LENGTH)
    """None where the facet says that it is `_deleted`."""
    jobType: str | None = None


class JobFacets(_Part):
    """What is said of a job."""

    jobType: JobTypeFacet | None = None


class LineageJob(_Part):
    """A job."""

    namespace: str
    name: str
    facets: JobFacets = Field(default_factory=JobFacets)


class Dataset(_Part):
    """What a run reads or writes."""

    namespace: str
    name: str


def _has(*parts: str) -> dict[str, Any]:
    return {"required": [*parts], "properties": {part: {"type": "object"} for part in parts}}


def _of_no_run(part: str) -> dict[str, Any]:
    about = _has(part)
    none = {"run": {"type": "null"}, "eventType": {"enum": ["OTHER", None]}}
    return {**about, "properties": {**about["properties"], **none}}


class LineageEvent(_Part):
    """A RunEvent of OpenLineage; also a JobEvent or a DatasetEvent, which is of no run and leaves nothing."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "eventType": "START",
                    "eventTime": "2026-01-31T08:00:00Z",
                    "run": {"runId": "018d5f3c-0000-7000-8000-000000000001"},
                    "job": {"namespace": "warehouse", "name": "nightly_load"},
                    "producer": "https://example.com/scheduler",
                }
            ],
            "anyOf": [
                {**_has("run", "job"), "title": "RunEvent"},
                {**_of_no_run("job"), "title": "JobEvent"},
                {**_of_no_run("dataset"), "title": "DatasetEvent"},
            ],
        },
    )

    eventType: Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"] | None = None
    eventTime: Time
    run: LineageRun | None = None
    job: LineageJob | None = None
    dataset: Dataset | None = None
    inputs: list[Dataset] = []
    outputs: list[Dataset] = []
    producer: str | None = None

    def is_of_no_run(self) -> bool:
        """Whether it is a JobEvent or a DatasetEvent, and no RunEvent that lacks its run."""
        return self.run is None and (self.job or self.dataset) is not None and self.eventType in (None, "OTHER")


def datasets(sets: list[Dataset]) -> list[dict[str, Any]]:
    """Their names alone; the facets are in the note of the event."""
    return [{"namespace": each.namespace, "name": each.name} for each in sets]
