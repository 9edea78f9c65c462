"""Executions by what people call them."""

from __future__ import annotations

from typing import Any

from ..infrastructure import ExecutionHistory


async def find_execution(executions: Any, job: str) -> ExecutionHistory | None:
    """By job id, or by the number that the history shows; `executions` is a repository, or a client of a service."""
    found = await executions.get_execution_by_job_id(job)
    if found is None and job.isdecimal() and len(job) < 19:
        found = await executions.get(int(job))
    return found
