"""What the store must know of one kind of entity."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from sqlalchemy import Table
from sqlalchemy.orm import class_mapper

from ..domain import EXECUTION_CATALOG, Catalog, Execution, LedgerAggregate, Payload, row_changes
from .tables import ExecutionHistory
from .types import JsonText, to_json


@dataclass(frozen=True)
class Entity:
    """An aggregate, the catalog its events are read with, and the mapped table its rows are projected to.

    The table has the columns `ledger_id`, `id`, `execution_id`, `version`, `updated_at` beside those that payloads set.
    A ledger holds entities of one kind.
    """

    aggregate: type[LedgerAggregate]
    catalog: Catalog
    model: type[Any]

    @cached_property
    def table(self) -> Table:
        """The projected table."""
        return self.model.__table__

    @cached_property
    def key_column(self) -> Any:
        """The column that holds the caller's key."""
        return self.table.c[self.aggregate.key_field]

    @cached_property
    def json_columns(self) -> frozenset[str]:
        """Columns whose values are written as JSON text."""
        return frozenset(column.name for column in self.table.columns if isinstance(column.type, JsonText))

    @cached_property
    def projected_types(self) -> tuple[str, ...]:
        """Stored names of the events that change the projected row beyond its version."""
        return tuple(
            event.TOPIC for event in self.catalog if event.removes or event.payload.changes is not Payload.changes
        )

    @cached_property
    def _blank(self) -> dict[str, Any]:
        return dict.fromkeys(column.name for column in self.table.columns)

    @cached_property
    def _manager(self) -> Any:
        return class_mapper(self.model).class_manager

    def load(self, row: Mapping[Any, Any]) -> Any:
        """A transient instance of the mapped class with a row's values."""
        # As a query makes it, not by the constructor, which sets one instrumented attribute after the other.
        model = self._manager.new_instance()
        vars(model).update(row)
        return model

    def copy(self, row: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A projected row to hand out: what a caller does to its JSON values must not reach events that still wait."""
        if row is None:
            return None
        json = self.json_columns
        return {name: deepcopy(value) if name in json else value for name, value in row.items()}

    def to_database(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """A projected row with its JSON values as text, for statements that bypass the column types."""
        json = self.json_columns
        return {name: to_json(value) if name in json and value is not None else value for name, value in row.items()}

    def from_database(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The same row with its JSON values decoded, and the caller's to keep."""
        decoded = dict(row)
        for name in self.json_columns:
            if (value := row[name]) is not None:
                decoded[name] = msgspec.json.decode(value)
        return decoded

    def blank(self, ledger: str) -> dict[str, Any]:
        """The projected row of an entity before its first event."""
        return self._blank | {"ledger_id": ledger}

    def advance(self, row: Mapping[str, Any] | None, event: Any) -> dict[str, Any] | None:
        """The projected row, JSON as text, after one more event; None once the entity is removed."""
        return None if event.removes else {**(row or {}), **self.to_database(row_changes(event))}


EXECUTIONS = Entity(Execution, EXECUTION_CATALOG, ExecutionHistory)
