"""Columns of a table to fields of an execution."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from ...domain import FIELDS, TERMINAL, ExecutionStatus, InvalidInput, parse_details
from ...domain.details import Details
from ...domain.status import parse_status
from ...domain.values import check_int, shown
from .columns import Converter, converter, plain, to_time

MOST_ID = 2**62
"""The highest number that is kept, so that the ledger can go on behind it."""
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
        decoded: Collection[str] = (),
        in_utc: Collection[str] = (),
    ) -> None:
        """`fields` maps a field to its column, `statuses` a status of the table to one of ours.

        Times without a zone are of `zone`, but for those of the columns `in_utc`. The values of the columns `decoded`
        are JSON values, and no text of JSON.
        """
        self._id = id_column
        self._zone = zone
        self._in_utc = frozenset(in_utc)
        self._notes: list[str] = []
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
        self._converters = [
            (name, column, self._converter(name, column, column in decoded)) for name, column in self.fields.items()
        ]
        self.attributes = tuple(column for column in columns if column not in used)

    def map(self, row: Mapping[Any, Any]) -> MappedRow:
        """What a row tells; refused where it tells nothing that an execution could be."""
        id = check_int(row[self._id], "id", 1, MOST_ID)
        data: dict[str, Any] = {}
        self._notes = []
        for name, column, convert in self._converters:
            if (value := row[column]) is not None:
                data[name] = convert(value)
        if kept := {name: plain(row[name]) for name in self.attributes if row[name] is not None}:
            own = data.get("attributes")
            data["attributes"] = kept | (own if isinstance(own, dict) else {})
        for name in ("job_id", "status"):
            if name not in data:
                raise InvalidInput(field=name, problem="is missing", remedy="Set it in the table, or map its column.")
        assumed = self._complete(data, row)
        details = parse_details(data, creating=True)
        if details.status not in TERMINAL and "completed_at" in data:
            raise InvalidInput(
                field="completed_at",
                problem=f"is set while the row is {details.status}",
                remedy="Correct the row: either it has ended, or it has not.",
            )
        return MappedRow(id, msgspec.structs.replace(details, id=id), assumed)

    def _complete(self, data: dict[str, Any], row: Mapping[Any, Any]) -> str | None:
        """Fill in the times that must be there, from those that are, and tell which."""
        updated = None if self._updated is None else row[self._updated]
        updated = None if updated is None else self._time("updated_at", "updated_at", updated)
        status, assumed = ExecutionStatus(data["status"]), self._notes
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

    def _converter(self, name: str, column: str, decoded: bool) -> Converter:
        match FIELDS[name].kind:
            case "status":
                return lambda value: parse_status(self._statuses.get(str(value).strip().lower(), value), name).value
            case "time":
                return lambda value: self._time(name, column, value)
            case _:
                return converter(name, decoded=decoded)

    def _time(self, name: str, column: str, value: Any) -> datetime:
        time, doubt = to_time(name, value, UTC if column in self._in_utc else self._zone)
        if doubt is not None:
            self._notes.append(doubt)
        return time


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
