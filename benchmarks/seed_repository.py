"""The baseline: the CRUD repository exactly as the seed document has it, over a table of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Integer, String, Text, desc, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class SeedBase(DeclarativeBase):
    pass


class SeedHistory(SeedBase):
    __tablename__ = "executionhistory"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[str] = mapped_column(String, unique=True, index=True)
    status: Mapped[str] = mapped_column(String, default="pending")
    inputs: Mapped[Any | None] = mapped_column(JSON)
    result: Mapped[Any | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str | None] = mapped_column(Text)
    run_name: Mapped[str | None] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC), index=True)
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SeedRepository:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.model = SeedHistory

    async def get_execution_history(self, limit: int = 100, offset: int = 0) -> tuple[list[SeedHistory], int]:
        query = select(self.model).order_by(desc(self.model.created_at)).offset(offset).limit(limit)
        result = await self.session.execute(query)
        executions = result.scalars().all()
        count_result = await self.session.execute(select(func.count()).select_from(self.model))
        return list(executions), count_result.scalar() or 0

    async def create_execution(self, data: dict[str, Any]) -> SeedHistory:
        execution = self.model(**data)
        self.session.add(execution)
        await self.session.commit()
        await self.session.refresh(execution)
        return execution

    async def update_execution(self, execution_id: int, data: dict[str, Any]) -> SeedHistory | None:
        result = await self.session.execute(select(self.model).where(self.model.id == execution_id))
        execution = result.scalars().first()
        if not execution:
            return None
        for key, value in data.items():
            setattr(execution, key, value)
        await self.session.commit()
        await self.session.refresh(execution)
        return execution
