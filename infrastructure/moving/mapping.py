"""Columns of a table to fields of an execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from ...domain import FIELDS, TERMINAL, ExecutionStatus, InvalidInput, parse_details
from ...domain.details import Details
from ...domain.status import parse_status
from ...domain.values import check_int, shown

_TAKEN = tuple(name for name, field in FIELDS.items() if field.create)


class MappedRow(NamedTuple):
    """What a row tells of an execution."""

    id: int
    details: Details
    """Of its first event, whole."""
    assumed: str | None
    """What it did not tell, and was taken from something else."""


class ColumnMapping:
    """Which column is which field. Columns of the same name are; those that are no field's are kept as attributes."""

    def __init__(
        self,
        columns: tuple[str, ...],
        *,
        id_column: str = "id",
        fields: Mapping[str, str] | None = None,
        ignore: tuple[str, ...] = (),
        statuses: Mapping[str, str] | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        """`fields` maps a field to its column, `statuses` a status of the table to one of ours.

        Times without a zone are of `zone`.
        """
        self._id = id_column
        self._zone = zone
        self._updated = "updated_at" if "updated_at" in columns else None
        self._statuses = {
            name.strip().lower(): parse_status(value, "status").value for name, value in (statuses or {}).items()
        }
        given = dict(fields or {})
        for name, column in given.items():
            if name not in _TAKEN:
                raise InvalidInput(
                    field="map", problem=f"{shown(name)} is no field", remedy=f"Use: id, {', '.join(_TAKEN)}."
                )
            _check_column("map", column, columns)
        for column in ignore:
            _check_column("ignore", column, columns)
        named = {name: name for name in _TAKEN if name in columns and name not in given} | given
        self.fields = {name: column for name, column in named.items() if column not in ignore and column != id_column}
        if "job_id" not in self.fields:
            raise InvalidInput(
                field="map job_id",
                problem="no column is named so",
                remedy=f"Name the column that tells runs apart: --map job_id=COLUMN. There are: {', '.join(columns)}.",
            )
        used = {id_column, *self.fields.values(), *ignore}
        self._converters = [(name, column, self._converter(name)) for name, column in self.fields.items()]
        self.attributes = tuple(column for column in columns if column not in used)

    def map(self, row: Mapping[Any, Any]) -> MappedRow:
        """What a row tells; refused where it tells nothing that an execution could be."""
        data: dict[str, Any] = {}
        for name, column, convert in self._converters:
            if (value := row[column]) is not None:
                data[name] = convert(value)
        if kept := {name: _plain(row[name]) for name in self.attributes if row[name] is not None}:
            own = data.get("attributes")
            data["attributes"] = kept | (own if isinstance(own, dict) else {})
        if data.get("status") is None:
            raise InvalidInput(field="status", problem="is missing", remedy="Set it in the table, or map its column.")
        assumed = self._complete(data, row)
        details = parse_details(data, creating=True)
        if details.status not in TERMINAL and "completed_at" in data:
            raise InvalidInput(
                field="completed_at",
                problem=f"is set while the row is {details.status}",
                remedy="Correct the row: either it has ended, or it has not.",
            )
        id = check_int(row[self._id], "id", 1)
        return MappedRow(id, msgspec.structs.replace(details, id=id), assumed)

    def _complete(self, data: dict[str, Any], row: Mapping[Any, Any]) -> str | None:
        """Fill in the times that must be there, from those that are, and tell which."""
        updated = None if self._updated is None else row[self._updated]
        updated = None if updated is None else self._time("updated_at", updated)
        status, assumed = ExecutionStatus(data["status"]), []
        known = {name: data.get(name) for name in ("completed_at", "started_at", "created_at")}
        if known["created_at"] is None:
            name, data["created_at"] = _first(
                {"started_at": known["started_at"], "completed_at": known["completed_at"], "updated_at": updated},
                "created_at",
            )
            assumed.append(f"created_at was not set, so {name} stands for it")
        if status.is_terminal and known["completed_at"] is None:
            name, data["completed_at"] = _first(
                {"updated_at": updated, "started_at": known["started_at"], "created_at": data["created_at"]},
                "completed_at",
            )
            assumed.append(f"completed_at was not set, so {name} stands for it")
        if status is ExecutionStatus.RUNNING and known["started_at"] is None:
            data["started_at"] = data["created_at"]
            assumed.append("started_at was not set, so created_at stands for it")
        data.setdefault("attempt", 1)
        return "; ".join(assumed) or None

    def _converter(self, name: str) -> Callable[[Any], Any]:
        """What makes a value of a field such as a caller of the repository would give."""
        match FIELDS[name].kind:
            case "status":
                return lambda value: parse_status(self._statuses.get(str(value).strip().lower(), value), name).value
            case "time":
                return lambda value: self._time(name, value)
            case "text":
                return lambda value: value if isinstance(value, str) else str(_plain(value))
            case "integer":
                return lambda value: int(value) if not isinstance(value, bool) and float(value).is_integer() else value
            case "fraction":
                return float
            case _:
                return _json

    def _time(self, name: str, value: Any) -> datetime:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError as error:
                raise InvalidInput(
                    field=name, problem=f"{shown(value)} is no time", remedy="Use ISO 8601, or another column."
                ) from error
        if not isinstance(value, datetime):
            raise InvalidInput(field=name, problem=f"{shown(value)} is no time", remedy="Map a column of times.")
        return value.replace(tzinfo=self._zone).astimezone(UTC) if value.tzinfo is None else value


def _first(times: Mapping[str, Any], field: str) -> tuple[str, Any]:
    for name, time in times.items():
        if time is not None:
            return name, time
    raise InvalidInput(field=field, problem="is missing, as is every other time", remedy="Set it in the table.")


def _check_column(option: str, column: str, columns: tuple[str, ...]) -> None:
    if column not in columns:
        raise InvalidInput(
            field=option, problem=f"there is no column {column!r}", remedy=f"There are: {', '.join(columns)}."
        )


def _json(value: Any) -> Any:
    """JSON that a column keeps as text, decoded; other text stays text."""
    if isinstance(value, bytes | str):
        try:
            return msgspec.json.decode(value)
        except (ValueError, RecursionError):
            return value if isinstance(value, str) else _plain(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value of any driver as JSON has it."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, memoryview):
        value = bytes(value)
    return msgspec.to_builtins(value, str_keys=True)
