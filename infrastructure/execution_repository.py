"""`ExecutionRepository`: the interface of the CRUD repository, unchanged, over the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Unpack

from sqlalchemy.orm import Session

from ..domain import (
    Command,
    Correct,
    ExecutionStatus,
    FinishStep,
    Note,
    ReportLateOutcome,
    StartStep,
    Update,
)
from .base_repository import WriteOptions
from .entity import EXECUTIONS
from .history_query import Cursor, HistoryFilters, HistoryQuery, check_page
from .lease_repository import LeaseRepository
from .tables import ExecutionHistory


class HistoryPage(NamedTuple):
    """One page by cursor."""

    executions: list[ExecutionHistory]
    next_cursor: str | None
    """For the page that follows; None on the last one."""


class ExecutionRepository(LeaseRepository[ExecutionHistory]):
    """Executions of one ledger. Where a method takes an id, the job id (a string) does as well."""

    entity = EXECUTIONS

    async def get_execution_by_job_id(self, job_id: str) -> ExecutionHistory | None:
        """The execution with this job id, or None."""
        return await self._read(lambda session: self._find(session, self._key(job_id)))

    async def get_execution_history(
        self, limit: int = 100, offset: int = 0, **filters: Unpack[HistoryFilters]
    ) -> tuple[list[ExecutionHistory], int]:
        """A page ordered by created_at and id, newest first, and how many there are in all.

        Without filters, or with one on the status alone, the total costs one row whatever the size of the ledger.
        What waits with `commit=False` is flushed first, as a session does; such pages are best read before the changes.
        """
        limit, offset = check_page(limit, offset)
        query = HistoryQuery.of(self.ledger, filters)

        def read(session: Session) -> tuple[list[ExecutionHistory], int]:
            dialect = session.get_bind().dialect.name
            page = self._load_all(session, query.page(dialect, limit, offset=offset))
            return page, session.execute(query.total(dialect)).scalar() or 0

        return await self._read(read)

    async def get_execution_page(
        self, limit: int = 100, cursor: str | None = None, **filters: Unpack[HistoryFilters]
    ) -> HistoryPage:
        """The page after `cursor` (the first one without), in the same order; no total, any depth costs the same.

        Flushes first, as `get_execution_history` does.
        """
        limit, _ = check_page(limit)
        query = HistoryQuery.of(self.ledger, filters)
        after = None if cursor is None else Cursor.decode(cursor)

        def read(session: Session) -> HistoryPage:
            # One row more than asked tells whether another page follows.
            rows = self._load_all(session, query.page(session.get_bind().dialect.name, limit + 1, after=after))
            page = rows[:limit]
            more = page and len(rows) > limit
            return HistoryPage(page, Cursor(page[-1].created_at, page[-1].id).encode() if more else None)

        return await self._read(read)

    async def create_execution(self, data: Mapping[str, Any], **options: Unpack[WriteOptions]) -> ExecutionHistory:
        """Record a new execution: pending unless `data` says otherwise, with a made-up job id if it has none."""
        return await self.create(data, **options)

    async def update_execution(
        self, execution_id: int | str, data: Mapping[str, Any], **options: Unpack[WriteOptions]
    ) -> ExecutionHistory | None:
        """Change fields. A status among them is a transition, and obeys the table of transitions."""
        return await self.update(execution_id, data, **options)

    async def mark_execution_completed(
        self, execution_id: int | str, result: Any = None, **options: Unpack[WriteOptions]
    ) -> ExecutionHistory | None:
        """Complete it; without a result, an earlier one stays."""
        data: dict[str, Any] = {"status": ExecutionStatus.COMPLETED}
        if result:
            data["result"] = result
        return await self.update_execution(execution_id, data, **options)

    async def mark_execution_failed(
        self, execution_id: int | str, error: str, **options: Unpack[WriteOptions]
    ) -> ExecutionHistory | None:
        """Fail it; an earlier result stays."""
        return await self.update_execution(execution_id, {"status": ExecutionStatus.FAILED, "error": error}, **options)

    async def transition(
        self,
        execution_id: int | str,
        event: str,
        data: Mapping[str, Any] | None = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionHistory | None:
        """Make the transition that `event` names in the table ("approved", "stop_requested" …), with further fields."""
        return await self._command(execution_id, Update.by(event, data), options)

    async def correct_execution(
        self, execution_id: int | str, data: Mapping[str, Any], **options: Unpack[WriteOptions]
    ) -> ExecutionHistory | None:
        """Set fields in spite of the transition table. It needs a `reason`."""
        return await self._command(execution_id, Correct.of(data), options)

    async def report_late_outcome(
        self,
        execution_id: int | str,
        status: str,
        result: Any = None,
        error: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionHistory | None:
        """Keep what a worker reports after its run was ended; the status stays."""
        return await self._command(execution_id, ReportLateOutcome.of(status, result, error), options)

    async def start_step(
        self,
        execution_id: int | str,
        step_id: str,
        name: str | None = None,
        *,
        kind: str | None = None,
        parent_step_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        started_at: Any = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionHistory | None:
        """Begin a step, inside `parent_step_id` where that is given."""
        command = StartStep.of(
            step_id, name, kind=kind, parent_step_id=parent_step_id, attributes=attributes, started_at=started_at
        )
        return await self._command(execution_id, command, options)

    async def finish_step(
        self,
        execution_id: int | str,
        step_id: str,
        outcome: str = "completed",
        *,
        result: Any = None,
        error: str | None = None,
        finished_at: Any = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionHistory | None:
        """End a step."""
        command = FinishStep.of(step_id, outcome, result=result, error=error, finished_at=finished_at)
        return await self._command(execution_id, command, options)

    async def add_note(
        self,
        execution_id: int | str,
        text: str,
        *,
        level: str = "info",
        source: str | None = None,
        step_id: str | None = None,
        data: Any = None,
        **options: Unpack[WriteOptions],
    ) -> ExecutionHistory | None:
        """Keep a remark, a line of output, a traceback."""
        command = Note.of(text, level=level, source=source, step_id=step_id, data=data)
        return await self._command(execution_id, command, options)

    async def _command(
        self, execution_id: int | str, command: Command, options: WriteOptions
    ) -> ExecutionHistory | None:
        return await self._write(self._target(execution_id), command, options)
