"""Alembic's environment: runs on the connection that `execution_ledger.infrastructure.migrate` opened."""

from __future__ import annotations

from alembic import context

from execution_ledger.infrastructure.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
    # The caller's transaction: on SQLite, too, a migration happens wholly or not at all.
    transactional_ddl=False,
)
context.run_migrations()
