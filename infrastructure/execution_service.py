"""The service of the seed: gives an execution its id and a name, records it, and answers its status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from ..domain import ContextFields, ExecutionStatus, InvalidInput
from .base_repository import WriteOptions
from .event_store import EventStore
from .execution_repository import ExecutionRepository
from .run_names import describe_run

NameRun = Callable[[Any], Awaitable[str]]
"""Names a run, given the configuration as the caller passed it."""


class ExecutionReceipt(TypedDict):
    """What a new execution answers to."""

    execution_id: str
    status: str
    run_name: str | None


class StatusReport(TypedDict):
    """Where an execution stands."""

    execution_id: str
    status: str
    created_at: Any
    result: Any
    run_name: str | None
    error: str | None


class ExecutionService:
    """Executions by the caller's own id (the `job_id`), over the repository. Errors reach the caller as they are."""

    def __init__(
        self,
        db: AsyncSession,
        *,
        ledger: str | None = None,
        store: EventStore | None = None,
        commit: bool = True,
        name_run: NameRun | None = None,
        **context: Unpack[ContextFields],
    ) -> None:
        self.db = db
        self._executions = ExecutionRepository(db, commit=commit, ledger=ledger, store=store, **context)
        self._name_run = name_run

    @staticmethod
    def create_execution_id() -> str:
        """A fresh id: a random UUID."""
        return str(uuid4())

    async def create_execution(
        self,
        config: Any,
        background_tasks: Any = None,
        *,
        execution_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionReceipt:
        """Record a pending execution with `config` (a mapping, dataclass or pydantic model) as its inputs.

        `details` holds further fields, as `trigger_type`; a `run_name` among them is taken as it is. Nothing is run
        here: `background_tasks` is accepted because the seed passes it, and starting the work stays with the caller.
        """
        inputs = _to_inputs(config)
        fields = {"status": ExecutionStatus.PENDING, "inputs": inputs} | dict(details or {})
        if execution_id is not None and fields.setdefault("job_id", execution_id) != execution_id:
            raise InvalidInput(field="job_id", problem="is not the execution_id", remedy="Leave one of them out.")
        repeatable = options.get("command_id") is not None
        if fields.get("run_name") is None:
            if self._name_run is not None and repeatable:
                raise InvalidInput(
                    field="command_id",
                    problem="needs the same command again, and the run would be named anew each time",
                    remedy="Give a run_name in `details`.",
                )
            fields["run_name"] = await self._name_run(config) if self._name_run else describe_run(inputs)
        if not repeatable:  # else the ledger makes the id, so that the same command sent again stays the same
            fields.setdefault("job_id", self.create_execution_id())
        created = await self._executions.create_execution(fields, **options)
        return {"execution_id": created.job_id, "status": created.status, "run_name": created.run_name}

    async def get_status(self, execution_id: str) -> StatusReport | None:
        """Where an execution of this service's ledger stands; None if there is no such execution."""
        return await _report(self._executions, execution_id)

    @staticmethod
    async def get_execution_status(
        db: AsyncSession, execution_id: str, *, ledger: str | None = None
    ) -> StatusReport | None:
        """The same without a service at hand, called as in the seed."""
        return await _report(ExecutionRepository(db, ledger=ledger), execution_id)


async def _report(executions: ExecutionRepository, execution_id: str) -> StatusReport | None:
    run = await executions.get_execution_by_job_id(execution_id)
    if run is None:
        return None
    return {
        "execution_id": run.job_id,
        "status": run.status,
        "created_at": run.created_at,
        "result": run.result,
        "run_name": run.run_name,
        "error": run.error,
    }


def _to_inputs(config: Any) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    dump: Any = getattr(config, "model_dump", None)
    if callable(dump):
        inputs: Any = dump(mode="json")
        return inputs
    if is_dataclass(config) and not isinstance(config, type):
        return asdict(config)
    raise InvalidInput(
        field="config",
        problem=f"{type(config).__name__} is not a configuration",
        remedy="Send a mapping, a dataclass or a pydantic model.",
    )
