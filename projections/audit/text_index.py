"""Free text: reasons, errors, messages and notes. Scanned in bounds, or found by trigrams where PostgreSQL has them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, func, literal_column, text
from sqlalchemy.exc import DBAPIError

from ...infrastructure.database_errors import sqlstate, translated
from .filters import SEPARATOR

NAME = "execution_events_text"
_MEMBERS = ("error", "message", "stop_reason", "text")
_LEAST = 3
"""Fewer characters hold no trigram."""
_MAY_NOT = ("42501", "0A000", "58P01", "42704")
"""Not allowed, not available, its files are missing, no such operator class."""


class TextIndex(NamedTuple):
    """Whether there is an index of free text, and if not, why."""

    present: bool
    problem: str | None = None


def _document(dialect: str) -> str:
    if dialect == "sqlite":
        each = ["reason", *(f"json_extract(data, '$.{name}')" for name in _MEMBERS)]
        separator = f"char({ord(SEPARATOR)})"
    else:
        each = ["reason", *(f"(data::json ->> '{name}')" for name in _MEMBERS)]
        separator = f"chr({ord(SEPARATOR)})"
    joined = f" || {separator} || ".join(f"coalesce({part}, '')" for part in each)
    # Only ASCII letters have a lower case then, on both databases and whatever their locale.
    return f"lower({joined})" if dialect == "sqlite" else f'lower(({joined}) COLLATE "C")'


def matches(phrase: str, dialect: str) -> ColumnElement[bool]:
    """Whether one of an event's texts holds a phrase."""
    lower = "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in phrase)
    document: ColumnElement[str] = literal_column(_document(dialect))
    if dialect == "sqlite":
        return func.instr(document, lower) > 0
    escaped = lower.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return document.like(f"%{escaped}%")


def is_indexed(connection: Connection, phrase: str) -> bool:
    """Whether a phrase can be found by the index."""
    if connection.dialect.name != "postgresql" or len(phrase) < _LEAST:
        return False
    return bool(connection.execute(_VALID, {"name": NAME}).scalar())


def create_text_index(engine: Engine) -> TextIndex:
    """Index free text by trigrams, without stopping writers; where that cannot be, say why: texts are scanned then.

    It needs PostgreSQL with pg_trgm, and a role that owns the table and may create the extension or finds it there. It
    makes every event with long texts dearer to write: see `docs/audit.md`.
    """
    if engine.dialect.name != "postgresql":
        return TextIndex(False, "SQLite has no index of free text; it is scanned")
    with translated(), engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            if not connection.execute(_VALID, {"name": NAME}).scalar():
                # What an interrupted attempt left is of no use.
                connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}"))
                connection.exec_driver_sql(
                    f"CREATE INDEX CONCURRENTLY {NAME} ON execution_events "
                    f"USING gin (({_document('postgresql')}) gin_trgm_ops)"
                )
        except DBAPIError as error:
            if sqlstate(error) not in _MAY_NOT:
                raise
            return TextIndex(False, f"{' '.join(str(error.orig).split())}; free text is scanned")
    return TextIndex(True)


def drop_text_index(engine: Engine) -> None:
    """Remove the index; the extension stays, since others may use it."""
    if engine.dialect.name == "postgresql":
        with translated(), engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}"))


_VALID = text(
    "SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indisvalid AND c.relname = :name AND i.indrelid = to_regclass('execution_events'))"
)
