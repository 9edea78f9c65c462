"""Fold everything once more, and compare it with what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, func, select

from ...domain import check_ledger
from ...infrastructure.database_errors import translated
from ...infrastructure.tables import (
    STATUSES,
    ExecutionHistory,
    execution_events,
    execution_steps,
    execution_streams,
    ledgers,
)
from .differences import Difference, compare_rows
from .folding import Folded, fold_executions, in_range
from .pages import is_long, read_page, snapshot

_HISTORY: Any = ExecutionHistory.__table__


class VerifyProgress(msgspec.Struct, frozen=True):
    """How far a verification is."""

    executions: int
    total: int
    events: int


Progress = Callable[[VerifyProgress], object]


def verify(
    engine: Engine, ledger: str = "default", *, hashes: bool = True, progress: Progress | None = None
) -> Iterator[Difference]:
    """Every difference between the events of a ledger and its other tables: history, streams, steps and the head.

    Also events that are missing, and with `hashes` those that were changed. Writers go on meanwhile: each page of
    executions is compared as of one moment. In constant memory; nothing is written. Nothing different, nothing yielded.
    """
    ledger = check_ledger(ledger)
    with translated():
        with snapshot(engine) as connection:
            total = connection.execute(select(ledgers.c.last_id).where(ledgers.c.ledger_id == ledger)).scalar() or 0
            yield from verify_head(connection, ledger)
        after = done = 0
        seen = _Seen()
        while True:
            with snapshot(engine) as connection:
                page = read_page(connection, ledger, after)
                if not page:
                    break
                yield from _verify_page(connection, ledger, page, hashes, seen)
            after, done = page[-1].id, done + len(page)
            if progress is not None:
                progress(VerifyProgress(done, max(total, done), seen.events))
        with snapshot(engine) as connection:
            yield from _verify_orphans(connection, ledger)


def verify_executions(connection: Connection, ledger: str, page: Sequence[Any], *, hashes: bool) -> list[Difference]:
    """The differences of some executions, whose rows in `execution_streams` these are."""
    return list(_verify_page(connection, ledger, page, hashes, _Seen()))


@dataclass(slots=True)
class _Seen:
    """What was looked at before."""

    events: int = 0
    position: int = 0
    """The last creation's."""


def _verify_page(
    connection: Connection, ledger: str, page: Sequence[Any], hashes: bool, seen: _Seen
) -> Iterator[Difference]:
    after, upto = page[0].id - 1, page[-1].id
    history = {row["id"]: row for row in _select_history(connection, ledger, after, upto).all()}
    steps: dict[Any, dict[str, Any]] = {}
    for row in _select_steps(connection, ledger, after, upto):
        steps.setdefault(row["execution_id"], {})[row["step_id"]] = row
    streams = {row.execution_id: row._mapping for row in page}
    for folded in fold_executions(connection, ledger, in_range(after, upto), hashes=hashes, long=is_long(page)):
        stream = streams.pop(folded.execution_id)
        seen.events += folded.events
        if folded.first_position is not None and folded.given_id is None:
            yield from _verify_order(ledger, folded.id, folded.first_position, seen)
        yield from compare_execution(
            ledger, folded, stream, history.get(stream["id"]), steps.get(folded.execution_id, {})
        )
    for stream in streams.values():
        yield Difference(
            ledger=ledger, table="execution_streams", key=f"id={stream['id']}", column=None, expected=None,
            found=dict(stream),
        )  # fmt: skip


def compare_execution(
    ledger: str, folded: Folded, stream: Any, history: Any, steps: dict[str, Any]
) -> Iterator[Difference]:
    """The differences of one execution."""
    key = f"id={stream['id']}"
    for position, column, expected, found in folded.broken:
        yield Difference(
            ledger=ledger, table="execution_events", key=f"position={position}", column=column, expected=expected,
            found=found,
        )  # fmt: skip
    expected_stream = folded.stream()
    if folded.key is None:  # its payload was erased
        del expected_stream["job_id"]
    yield from compare_rows(ledger, "execution_streams", key, expected_stream, stream)
    yield from compare_rows(ledger, "execution_history", key, folded.history(), history)
    for step_id in folded.steps.keys() | steps.keys():
        expected = folded.steps.get(step_id)
        yield from compare_rows(ledger, "execution_steps", f"{key} step_id={step_id}", expected, steps.get(step_id))


def head_as_it_should_be(connection: Connection, ledger: str) -> dict[str, Any]:
    """The head's columns, counted from the events and the streams."""
    event, stream = execution_events.c, execution_streams.c
    last = select(func.coalesce(func.max(event.position), 0)).where(event.ledger_id == ledger)
    expected: dict[str, Any] = {"size": connection.execute(last).scalar_one(), "last_id": 0, "executions": 0}
    expected |= dict.fromkeys(STATUSES, 0)
    groups = select(stream.status, stream.deleted, func.count(), func.max(stream.id)).where(stream.ledger_id == ledger)
    for status, deleted, number, last_id in connection.execute(groups.group_by(stream.status, stream.deleted)):
        expected["last_id"] = max(last_id, expected["last_id"])
        if not deleted:
            expected["executions"] += number
            expected[status] += number
    return expected


def verify_head(connection: Connection, ledger: str) -> Iterator[Difference]:
    """The head against the events and the streams; in a snapshot, or with the head locked."""
    head = connection.execute(select(ledgers).where(ledgers.c.ledger_id == ledger)).mappings().one_or_none()
    expected = head_as_it_should_be(connection, ledger)
    if head is None:
        if expected["size"]:
            yield Difference(ledger=ledger, table="ledgers", key="head", column=None, expected=expected, found=None)
        return
    yield from compare_rows(ledger, "ledgers", "head", expected, head)
    count = connection.execute(select(func.count()).where(execution_events.c.ledger_id == ledger)).scalar_one()
    if count != expected["size"]:
        yield from _missing(connection, ledger)


def _missing(connection: Connection, ledger: str) -> Iterator[Difference]:
    """Positions without an event: the first of each gap."""
    event = execution_events.alias()
    before = execution_events.alias()
    gaps = (
        select(event.c.position)
        .where(
            event.c.ledger_id == ledger,
            event.c.position > 1,
            ~select(1).where(before.c.ledger_id == ledger, before.c.position == event.c.position - 1).exists(),
        )
        .order_by(event.c.position)
        .limit(1_000)
    )
    first = connection.execute(select(func.min(event.c.position)).where(event.c.ledger_id == ledger)).scalar()
    for position in connection.execute(gaps).scalars() if first == 1 else [first, *connection.execute(gaps).scalars()]:
        yield Difference(
            ledger=ledger, table="execution_events", key=f"position={position - 1}", column=None,
            expected="an event", found=None,
        )  # fmt: skip


def _verify_order(ledger: str, id: int, position: int, seen: _Seen) -> Iterator[Difference]:
    """Ids are given in the order of creation, but for those that executions had before."""
    if position < seen.position:
        yield Difference(
            ledger=ledger, table="execution_streams", key=f"id={id}", column="id",
            expected=f"an id below that of the execution created at position {seen.position}", found=id,
        )  # fmt: skip
    seen.position = max(seen.position, position)


def _verify_orphans(connection: Connection, ledger: str) -> Iterator[Difference]:
    """Rows whose execution there is not."""
    stream = execution_streams.c
    known = select(1).where(stream.ledger_id == ledger)
    history = select(_HISTORY.c.id).where(
        _HISTORY.c.ledger_id == ledger, ~known.where(stream.id == _HISTORY.c.id).exists()
    )
    for (id,) in connection.execute(history.order_by(_HISTORY.c.id).limit(1_000)):
        yield Difference(
            ledger=ledger, table="execution_history", key=f"id={id}", column=None, expected=None, found="a row"
        )
    event = execution_events.c
    events = select(event.position).where(
        event.ledger_id == ledger,
        event.version == 1,
        ~known.where(stream.execution_id == event.execution_id).exists(),
    )
    for (position,) in connection.execute(events.order_by(event.position).limit(1_000)):
        yield Difference(
            ledger=ledger, table="execution_streams", key=f"created at position={position}", column=None,
            expected="a row", found=None,
        )  # fmt: skip


def _select_history(connection: Connection, ledger: str, after: int, upto: int) -> Any:
    history = _HISTORY.c
    found = select(_HISTORY).where(history.ledger_id == ledger, history.id > after, history.id <= upto)
    return connection.execute(found).mappings()


def _select_steps(connection: Connection, ledger: str, after: int, upto: int) -> Any:
    step, stream = execution_steps.c, execution_streams.c
    ours = (step.ledger_id == stream.ledger_id) & (step.execution_id == stream.execution_id)
    found = select(execution_steps).join_from(execution_streams, execution_steps, ours)
    return connection.execute(found.where(stream.ledger_id == ledger, stream.id > after, stream.id <= upto)).mappings()
