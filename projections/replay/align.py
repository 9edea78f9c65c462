"""Which step of one run is which of another: by name, kind, nesting and the how-manieth it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar


class Alignable(Protocol):
    """What is asked of a step."""

    step_id: str
    name: str
    kind: str | None
    parent_step_id: str | None
    started_at: datetime
    finished_at: datetime | None


_Step = TypeVar("_Step", bound=Alignable)


def align(left: Sequence[_Step], right: Sequence[_Step]) -> Iterator[tuple[_Step | None, _Step | None, bool]]:
    """Pairs in the order of the left run, and whether each was moved. Steps come in the order of their start.

    A step that only the right run has stands behind the one that it followed there.
    """
    known: dict[Any, int] = {}
    left_keys, right_keys = _keys(left, known), _keys(right, known)
    in_left, at_right = set(left_keys), {key: at for at, key in enumerate(right_keys)}
    behind: dict[int | None, list[_Step]] = {}
    anchor: int | None = None
    for key, step in zip(right_keys, right, strict=True):
        if key in in_left:
            anchor = key
        else:
            behind.setdefault(anchor, []).append(step)
    for step in behind.get(None, ()):
        yield None, step, False
    furthest: tuple[_Step, int] | None = None
    for key, step in zip(left_keys, left, strict=True):
        at = at_right.get(key)
        other = None if at is None else right[at]
        moved = False
        if other is not None and at is not None:
            if furthest is None or at > furthest[1]:
                furthest = (step, at)
            else:
                moved = _is_before(furthest[0], step) and _is_before(other, right[furthest[1]])
        yield step, other, moved
        for only in behind.get(key, ()):
            yield None, only, False


def _keys(steps: Sequence[_Step], known: dict[Any, int]) -> list[int]:
    """A number for each step, the same in both runs where the steps are the same."""
    numbers: dict[str | None, int] = {}
    seen: dict[Any, int] = {}
    keys: list[int] = []
    for step in steps:
        place = (numbers.get(step.parent_step_id), step.name, step.kind)
        seen[place] = seen.get(place, 0) + 1
        key = known.setdefault((*place, seen[place]), len(known))
        numbers[step.step_id] = key
        keys.append(key)
    return keys


def _is_before(step: Alignable, other: Alignable) -> bool:
    return step.finished_at is not None and step.finished_at <= other.started_at
