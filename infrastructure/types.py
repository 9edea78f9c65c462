"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import DateTime, Dialect, Text, TypeDecorator


class UTCDateTime(TypeDecorator[datetime]):
    """A timezone-aware UTC time with microseconds; SQLite keeps it as sortable text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """JSON kept as text, so that it reads back as it was written: key order, 1.0 and all. None is SQL NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else msgspec.json.decode(value)


def to_json(value: Any) -> str:
    """Compact JSON text."""
    return msgspec.json.encode(value).decode()


def to_sqlite(values: Iterable[Any]) -> tuple[Any, ...]:
    """Parameters for a statement that bypasses the column types, as those would write them."""
    return tuple(_SQLITE[type(value)](value) if type(value) in _SQLITE else value for value in values)


_SQLITE: dict[type, Callable[[Any], Any]] = {
    datetime: lambda time: time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds"),
    UUID: lambda uuid: uuid.hex,
}
