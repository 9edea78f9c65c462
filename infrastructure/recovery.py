"""Was it committed? What became of an append whose connection broke before the answer came."""

from __future__ import annotations

from sqlalchemy import Connection, select

from .batch import Appended, Batch
from .streams import lock_streams
from .tables import execution_events, execution_streams


def find_batch(connection: Connection, batch: Batch) -> Appended | None:
    """Where a batch with events landed (without rows), or None: leaf hashes are salted, so no other batch has the same.

    A server may be busy with it still. Its locks on streams are waited for here; streams that it was to begin have none
    yet, but to begin them again waits for it, and fails. One that reaches the server only after the batch was appended
    again finds other versions, or keys that exist, and is refused.
    """
    ledger, first = batch.ledger_id, batch.events[0]
    if batch.moved:
        lock_streams(connection, ledger, [state.execution_id for state, _ in batch.moved])
    event, stream = execution_events.c, execution_streams.c
    statement = select(event.position).where(
        event.ledger_id == ledger,
        event.execution_id == first.execution_id,
        event.version == first.version,
        event.leaf_hash == first.leaf_hash,
    )
    position = connection.execute(statement).scalar()
    if position is None:
        return None
    last_id = 0
    if batch.born:
        eldest = batch.born[0].execution_id
        number = select(stream.id).where(stream.ledger_id == ledger, stream.execution_id == eldest)
        last_id = connection.execute(number).scalar_one() - 1
    return Appended(position - 1, last_id, {})
