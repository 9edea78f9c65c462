"""What the service tidies up while it runs."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from sqlalchemy import Connection

from ...domain import LedgerError
from ...infrastructure import Reaped
from ...infrastructure.database_errors import translated
from ...projections.ledger_names import ledger_names
from ..reaping import reap_forever
from ..runtime import Ledger

_HOUR = 3600.0

_log = logging.getLogger("execution_ledger.api")


async def forget_receipts_hourly(ledger: Ledger) -> None:
    """Forget old receipts now and every hour. A failure is logged and tried again an hour later."""
    while True:
        try:
            await forget_receipts(ledger)
        except LedgerError as error:
            _log.warning("old receipts were not forgotten: %s", error, extra={"action": "receipts_kept"})
        await asyncio.sleep(_HOUR)


async def reap_regularly(ledger: Ledger) -> None:
    """End the runs whose lease expired, of every ledger, now and every few seconds; each is logged."""

    def tell(reaped: Reaped) -> None:
        if reaped.status is not None:
            about = {"ledger": reaped.ledger, "job_id": reaped.key, "status": reaped.status, "holder": reaped.holder}
            _log.info(
                "%r of ledger %r is %s: the lease of %r expired",
                reaped.key,
                reaped.ledger,
                reaped.status,
                reaped.holder,
                extra={"action": "execution_reaped", **about},
            )

    def complain(error: Exception) -> None:
        unforeseen = not isinstance(error, LedgerError)
        _log.warning(
            "expired leases were not reaped: %s",
            error,
            exc_info=error if unforeseen else None,
            extra={"action": "reaping_failed"},
        )

    await reap_forever(ledger, tell, complain)


async def forget_receipts(ledger: Ledger) -> int:
    """Forget the receipts of every ledger that are older than the setting, and answer how many there were."""
    before = ledger.store.clock() - timedelta(days=ledger.settings.receipt_days)
    forgotten = 0
    async with ledger.sessions() as session:
        names = await ledger_names(session)
    for name in names:

        def forget(connection: Connection, name: str = name) -> int:
            return ledger.store.forget_receipts(connection, name, before)

        with translated():
            async with ledger.engine.begin() as connection:  # a short transaction for each ledger
                forgotten += await connection.run_sync(forget)
    return forgotten
