"""A look into a ledger, beside whoever writes."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from execution_ledger.infrastructure import ExecutionHistory, ExecutionRepository, create_engine
from execution_ledger.projections import LedgerQueries, RecordedEvent, ReplayQueries, Spans


class Look:
    """Into the default ledger of a database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _ask(self, question: Any) -> Any:
        async def ask() -> Any:
            engine = create_engine(self._url)
            async with AsyncSession(engine) as session:
                answer = await question(session)
            await engine.dispose()
            return answer

        return asyncio.run(ask())

    def runs(self) -> list[ExecutionHistory]:
        return self._ask(lambda session: ExecutionRepository(session).get_all())

    def events(self, job_id: str) -> list[RecordedEvent]:
        return self._ask(lambda session: LedgerQueries(session).events(1000, newest_first=False, job_id=job_id))

    def notes(self, job_id: str) -> list[RecordedEvent]:
        return [event for event in self.events(job_id) if event.name == "noted"]

    def spans(self, job_id: str) -> Spans:
        return self._ask(lambda session: ReplayQueries(session).spans(job_id))
