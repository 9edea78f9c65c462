"""The readable difference of two rows: field by field and, inside JSON values, path by path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, cast

import msgspec

from ...infrastructure.entity import EXECUTIONS

Path = tuple[str | int, ...]
Row = Mapping[str, Any]

BOOKKEEPING = frozenset({"version", "updated_at"})
"""Columns that every event changes."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One value that differs."""

    path: Path
    """The column and, inside a JSON value, keys and indexes: `("result", "rows", 0)`."""
    kind: Literal["set", "changed", "removed"]
    """set: there was none before; removed: there is none any more. A column that is null has no value."""
    before: Any = None
    after: Any = None

    @property
    def field(self) -> str:
        """The path as people write it: `result.rows[0]`."""
        first, *rest = self.path
        return str(first) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)


class RowDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What leads from one row to another."""

    changes: list[Change]
    before_exists: bool
    after_exists: bool
    """Whether there is such a row at all: none before the creation, none after a deletion."""


def diff_rows(before: Row | None, after: Row | None) -> RowDiff:
    """The difference, in the order of the columns."""
    old, new = before or {}, after or {}
    changes = [change for name in {**old, **new} for change in _column(name, old.get(name), new.get(name))]
    return RowDiff(changes=changes, before_exists=before is not None, after_exists=after is not None)


def apply_diff(older: Row | None, diff: RowDiff) -> dict[str, Any] | None:
    """The newer row: `apply_diff(older, diff_rows(older, newer)) == newer`. `older` stays as it is."""
    if not diff.after_exists:
        return None
    row = dict.fromkeys(EXECUTIONS.table.columns.keys()) if older is None else dict(older)
    copied: set[str] = set()
    for change in _innermost_last_first(diff.changes):
        name = str(change.path[0])
        if len(change.path) == 1:
            row[name] = None if change.kind == "removed" else change.after
            continue
        if name not in copied:
            row[name] = deepcopy(row[name])
            copied.add(name)
        _apply(row[name], change)
    return row


def _column(name: str, old: Any, new: Any) -> Iterator[Change]:
    if old is None or new is None:
        yield from _whole((name,), old, new, was=old is not None, is_=new is not None)
    else:
        yield from _values((name,), old, new)


def _whole(path: Path, old: Any, new: Any, *, was: bool, is_: bool) -> Iterator[Change]:
    if was and is_:
        yield Change(path=path, kind="changed", before=old, after=new)
    elif was:
        yield Change(path=path, kind="removed", before=old)
    elif is_:
        yield Change(path=path, kind="set", after=new)


def _values(path: Path, old: Any, new: Any) -> Iterator[Change]:
    """Of two values that are both there. JSON is nested no deeper than a hundred levels."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key in old and key in new:
                yield from _values((*path, key), old[key], new[key])
            else:
                yield from _whole((*path, key), old.get(key), new.get(key), was=key in old, is_=key in new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(path, old, new)
    elif not same(old, new):
        yield Change(path=path, kind="changed", before=old, after=new)


def _lists(path: Path, old: list[Any], new: list[Any]) -> Iterator[Change]:
    both = min(len(old), len(new))
    for at in range(both):
        yield from _values((*path, at), old[at], new[at])
    for at in range(both, len(new)):
        yield Change(path=(*path, at), kind="set", after=new[at])
    for at in range(both, len(old)):
        yield Change(path=(*path, at), kind="removed", before=old[at])


def same(old: Any, new: Any) -> bool:
    """Whether two values are the same as JSON: 1, 1.0 and true are three, and so are 0.0 and -0.0."""
    if isinstance(old, (dict, list)) or isinstance(new, (dict, list)):
        return type(old) is type(new) and not any(_values((), old, new))
    return type(old) is type(new) and old == new and (not isinstance(old, float) or repr(old) == repr(new))


def _innermost_last_first(changes: Sequence[Change]) -> Iterable[Change]:
    """Elements of a list are removed from its end."""
    removed = [each for each in changes if each.kind == "removed" and isinstance(each.path[-1], int)]
    yield from (each for each in changes if not (each.kind == "removed" and isinstance(each.path[-1], int)))
    yield from reversed(removed)


def _apply(value: Any, change: Change) -> None:
    way, last = change.path[1:-1], cast(Any, change.path[-1])
    for part in way:
        value = value[part]
    if change.kind == "removed":
        del value[last]
    elif isinstance(value, list) and last == len(value):
        value.append(deepcopy(change.after))
    else:
        value[last] = deepcopy(change.after)
