"""Extra guards, none of which correctness needs: the database refuses to change events, and the ORM to write history.

A cluster (Citus) takes no triggers; there the events are guarded by GRANT and REVOKE, as docs/operating.md says.
"""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import DDL, event

from ..domain import ReadOnly
from .tables import ExecutionHistory, execution_events

POSTGRESQL_GUARD = (
    """
CREATE FUNCTION execution_events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'execution_events is append-only: % refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER execution_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON execution_events
FOR EACH STATEMENT EXECUTE FUNCTION execution_events_refuse_change()
""",
)

SQLITE_GUARD = (
    """
CREATE TRIGGER execution_events_no_update BEFORE UPDATE ON execution_events
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: UPDATE refused'); END
""",
    """
CREATE TRIGGER execution_events_no_delete BEFORE DELETE ON execution_events
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: DELETE refused'); END
""",
    # INSERT OR REPLACE deletes without firing a DELETE trigger.
    """
CREATE TRIGGER execution_events_no_replace BEFORE INSERT ON execution_events
WHEN EXISTS (
    SELECT 1 FROM execution_events e WHERE e.ledger_id = NEW.ledger_id
    AND (e.position = NEW.position OR (e.execution_id = NEW.execution_id AND e.version = NEW.version))
) OR EXISTS (SELECT 1 FROM execution_events e WHERE e.rowid = NEW.rowid)
BEGIN SELECT RAISE(ABORT, 'execution_events is append-only: REPLACE refused'); END
""",
)


def install_guards() -> None:
    """Make the triggers part of the schema that `metadata.create_all` creates, and the mapped history read-only."""
    for statement in POSTGRESQL_GUARD:
        event.listen(execution_events, "after_create", _literal(statement).execute_if(dialect="postgresql"))
    for statement in SQLITE_GUARD:
        event.listen(execution_events, "after_create", _literal(statement).execute_if(dialect="sqlite"))
    for name in ("before_insert", "before_update", "before_delete"):
        event.listen(ExecutionHistory, name, _refuse)


def _literal(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))


def _refuse(*_: Any) -> NoReturn:
    remedy = "It is projected from events; change it through ExecutionRepository."
    raise ReadOnly(what="execution_history", remedy=remedy)
