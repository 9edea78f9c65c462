"""Pages of the history: filters, order, cursors and totals. One place for every reader."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

import msgspec
from sqlalchemy import ColumnElement, Select, Table, Text, and_, cast, exists, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from ..domain import InvalidInput, parse_status
from ..domain.limits import KEY_LENGTH
from ..domain.values import check_int, check_json, check_text, check_time
from .history_times import TIMES, hold, of_page
from .tables import ExecutionHistory, ledgers

_HISTORY: Table = ExecutionHistory.__table__  # type: ignore[assignment]


class HistoryFilters(TypedDict, total=False):
    """What a page of the history may be narrowed by; every given filter must hold."""

    status: str | Iterable[str] | None
    """One status or several, in any case."""
    created_from: datetime | str | None
    """Created at this time or later."""
    created_before: datetime | str | None
    """Created before this time."""
    ended_from: datetime | str | None
    """Ended at this time or later."""
    ended_before: datetime | str | None
    """Ended before this time."""
    run_name: str | Iterable[str] | None
    """One name or several; "" for executions without one."""
    execution_type: str | Iterable[str] | None
    """One type or several; "" for executions without one."""
    run_name_prefix: str | None
    job_id_prefix: str | None
    prefix: str | None
    """Of the run's name or of its job id."""
    parent_job_id: str | None
    attributes: Mapping[str, Any] | None
    """Top-level attributes with these plain values."""


class Cursor(NamedTuple):
    """The last row of a page, in the order of the history."""

    created_at: datetime
    id: int

    def encode(self) -> str:
        """An opaque text for the next call."""
        return base64.urlsafe_b64encode(msgspec.json.encode(tuple(self))).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read such a text."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            created_at, id = msgspec.json.decode(raw, type=tuple[datetime, int])
            return cls(check_time(created_at, "cursor"), check_int(id, "cursor", 1))
        except (AttributeError, TypeError, ValueError, binascii.Error, msgspec.MsgspecError) as error:
            raise InvalidInput(
                field="cursor", problem="is not a cursor", remedy="Use the next_cursor of a page as it is."
            ) from error


@dataclass(frozen=True)
class HistoryQuery:
    """A checked set of filters on one ledger."""

    ledger: str
    statuses: tuple[str, ...] | None
    times: Mapping[str, datetime]
    conditions: tuple[ColumnElement[bool], ...]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, ledger: str, filters: Mapping[str, Any]) -> HistoryQuery:
        """Check filters; an unknown or wrong one is refused by name."""
        given = {name: value for name, value in filters.items() if value is not None}
        if unknown := given.keys() - HistoryFilters.__annotations__.keys():
            names = ", ".join(HistoryFilters.__annotations__)
            raise InvalidInput(field=min(unknown), problem="is not a filter", remedy=f"Use: {names}.")
        conditions: list[ColumnElement[bool]] = []
        column = _HISTORY.c
        for name in ("run_name", "execution_type"):
            if name in given:
                conditions.append(_is_one_of(column[name], _texts(given[name], name)))
        for name in ("run_name", "job_id"):
            if given.get(f"{name}_prefix", "") != "":
                prefix = check_text(given[f"{name}_prefix"], f"{name}_prefix", KEY_LENGTH)
                conditions.extend(_starts_with(column[name], prefix))
        if given.get("prefix", "") != "":
            prefix = check_text(given["prefix"], "prefix", KEY_LENGTH)
            conditions.append(or_(*(and_(*_starts_with(column[name], prefix)) for name in ("run_name", "job_id"))))
        if "parent_job_id" in given:
            parent = check_text(given["parent_job_id"], "parent_job_id", KEY_LENGTH)
            conditions.append(column.parent_job_id == parent)
        times = {name: check_time(given[name], name) for name in TIMES if name in given}
        attributes = _attributes(given.get("attributes", {}))
        return cls(ledger, _statuses(given.get("status")), times, tuple(conditions), attributes)

    def page(self, dialect: str, limit: int, *, offset: int = 0, after: Cursor | None = None) -> Select[Any]:
        """Rows in the order created_at DESC, id DESC."""
        column = _HISTORY.c
        created, completed = of_page(self.times, dialect, column.created_at, column.completed_at)
        statement = self._where(select(_HISTORY), dialect, created, completed)
        if after is not None:
            statement = statement.where(tuple_(created, column.id) < tuple_(*after))
        return statement.order_by(created.desc(), column.id.desc()).limit(limit).offset(offset)

    def total(self, dialect: str) -> Select[Any]:
        """How many rows there are in all: read off the head where the filter allows it, counted otherwise."""
        if self.times or self.conditions or self.attributes:
            counted = select(func.count()).select_from(_HISTORY)
            return self._where(counted, dialect, _HISTORY.c.created_at, _HISTORY.c.completed_at)
        counter: Any = ledgers.c.executions
        if self.statuses is not None:
            counter = sum((ledgers.c[status] for status in self.statuses[1:]), ledgers.c[self.statuses[0]])
        return select(counter).where(ledgers.c.ledger_id == self.ledger)

    def _where(
        self,
        statement: Select[Any],
        dialect: str,
        created: ColumnElement[datetime],
        completed: ColumnElement[datetime],
    ) -> Select[Any]:
        column = _HISTORY.c
        conditions = [column.ledger_id == self.ledger, *hold(self.times, created, completed)]
        conditions += self.conditions
        if self.statuses is not None:
            one = len(self.statuses) == 1
            conditions.append(column.status == self.statuses[0] if one else column.status.in_(self.statuses))
        if self.attributes:
            has = _has_attributes_sqlite if dialect == "sqlite" else _has_attributes
            conditions.append(has(self.attributes))
        return statement.where(*conditions)


def check_page(limit: Any, offset: Any = 0) -> tuple[int, int]:
    """The bounds of a page; a library bounds no one, the service does."""
    return check_int(limit, "limit", 0, 2**62), check_int(offset, "offset", 0)


def _statuses(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(dict.fromkeys(parse_status(each).value for each in _values(value, "status")))


def _texts(value: Any, name: str) -> list[str]:
    return [check_text(each, name, KEY_LENGTH) for each in _values(value, name)]


def _values(value: Any, name: str) -> list[Any]:
    """One or several, as several."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    values: list[Any] = list(value) if several else [value]
    if not values:
        raise InvalidInput(field=name, problem="is empty", remedy="Name one, or leave it out.")
    return values


def _is_one_of(column: ColumnElement[Any], texts: list[str]) -> ColumnElement[bool]:
    return or_(column.in_(texts), column.is_(None)) if "" in texts else column.in_(texts)


def _attributes(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(field="attributes", problem="is not an object", remedy="Send a dict of names and values.")
    checked = check_json(dict(value), "attributes")
    for name, item in checked.items():
        if isinstance(item, (dict, list)):
            raise InvalidInput(
                field=f"attributes.{name}",
                problem="is not a plain value",
                remedy="Filter by text, number, boolean or null.",
            )
    return checked


def _starts_with(column: Any, prefix: str) -> Iterable[ColumnElement[bool]]:
    """A prefix as a range of the index: names compare byte by byte, and UTF-8 keeps the order of code points."""
    yield column >= prefix
    for at in range(len(prefix) - 1, -1, -1):
        if prefix[at] < "\U0010ffff":
            following = ord(prefix[at]) + 1
            yield column < prefix[:at] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)
            return


def _has_attributes(attributes: Mapping[str, Any]) -> ColumnElement[bool]:
    # The expression of the GIN index, to the letter.
    wanted = literal(msgspec.json.encode(attributes).decode(), Text())
    return cast(_HISTORY.c.attributes, JSONB).op("@>")(cast(wanted, JSONB))


def _has_attributes_sqlite(attributes: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(_has_attribute_sqlite(name, value) for name, value in attributes.items()))


def _has_attribute_sqlite(name: str, value: Any) -> ColumnElement[bool]:
    # Not by a path: versions of SQLite differ in how a path names a key with a quote or a backslash.
    each = func.json_each(_HISTORY.c.attributes).table_valued("key", "type", "atom")
    conditions: list[ColumnElement[bool]] = [each.c.key == name]
    if value is None:
        conditions.append(each.c.type == "null")
    elif isinstance(value, bool):
        conditions.append(each.c.type == ("true" if value else "false"))
    else:
        conditions += [
            each.c.type.in_(("text",) if isinstance(value, str) else ("integer", "real")),
            each.c.atom == value,
        ]
    return exists().where(*conditions)
