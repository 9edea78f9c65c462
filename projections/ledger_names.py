"""Which ledgers a database holds."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ..infrastructure.database_errors import translated
from ..infrastructure.tables import ledgers


async def ledger_names(session: AsyncSession) -> list[str]:
    """The names of all ledgers that were ever written to, in order."""
    with translated():
        return list(await session.scalars(select(ledgers.c.ledger_id).order_by(ledgers.c.ledger_id)))
