"""Several commands in one transaction: each is decided on what the one before left, and answered as if alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from execution_ledger.domain import (
    CommandIdReused,
    Context,
    Correct,
    Create,
    DuplicateJobId,
    FinishStep,
    IllegalTransition,
    InvalidInput,
    StartStep,
    StepConflict,
    UnknownStep,
    Update,
    VersionConflict,
)
from execution_ledger.infrastructure import Outcome, Request
from execution_ledger.infrastructure.tables import command_receipts
from support import Database, ledger
from support.writers import WatchedWriter, create, delete, held, note, queue, update, watch_appends


def brief(answers: Sequence[Any]) -> list[Any]:
    """Version, first position and number of events of each outcome; the kind of each refusal; None."""
    return [
        (each.version, each.first_position, each.event_count) if isinstance(each, Outcome) else each and type(each)
        for each in answers
    ]


def rows(answers: Sequence[Any], *names: str) -> list[Any]:
    """These columns of the row of each outcome."""
    return [each.row and tuple(each.row[name] for name in names) for each in answers]


async def test_commands_that_waited_together_go_into_one_transaction(writer: WatchedWriter, database: Database) -> None:
    for name in ("a", "b", "c"):
        await writer.execute(create(name))
    writer.watch.clear()
    sizes = watch_appends(writer)
    with held(database):
        first = await queue(writer, update("a", message="first"))
        await writer.watch.sent()
        writer.watch.clear()
        others = await queue(writer, update("a", message="second"), update("b", message="m"), update(3, message="m"))
    (outcome,) = await first[0]
    outcomes = [(await each)[0] for each in others]
    assert brief([outcome, *outcomes]) == [(2, 4, 1), (3, 5, 1), (2, 6, 1), (2, 7, 1)]
    assert rows(outcomes, "id", "message") == [(1, "second"), (2, "m"), (3, "m")]
    assert sizes == [1, 3]


async def test_a_refused_command_fails_alone(writer: WatchedWriter, engine: AsyncEngine) -> None:
    answers = await writer.execute_together(
        [
            create("a"),
            create("b", status="completed"),
            update("a", status="running"),
            update("b", status="running"),
            update("a", status="pending"),
            Request("default", "a", Correct.of({"message": "without a reason"})),
            update("a", status="completed"),
        ]
    )
    assert brief(answers) == [
        (1, 1, 1),
        (1, 4, 1),
        (2, 2, 1),
        IllegalTransition,
        IllegalTransition,
        InvalidInput,
        (3, 3, 1),
    ]
    assert await ledger.types(engine) == ["created", "started", "completed", "created"]


async def test_each_answer_shows_the_row_as_its_command_left_it(writer: WatchedWriter) -> None:
    await writer.execute(create("old", message="0", inputs={"a": [1.0, None]}))
    for _ in range(2):  # the second time the row before is remembered, not read
        answers = await writer.execute_together(
            [
                update("old", message="1"),
                update("old", message="1"),
                update(1, progress=0.5),
                note("old", "text"),
                update("old", message="2", inputs=[]),
                update(1, inputs={"a": [1.0, None]}, progress=0.25),
            ],
            rows=True,
        )
        first = answers[0].version
        assert [each.version - first for each in answers] == [0, 1, 2, 3, 4, 5]
        assert rows(answers[:2], "message") == [("1",), ("1",)]
        assert rows(answers[2:], "message", "progress", "inputs") == [
            ("1", 0.5, {"a": [1.0, None]}),
            ("1", 0.5, {"a": [1.0, None]}),
            ("2", 0.5, []),
            ("2", 0.25, {"a": [1.0, None]}),
        ]
        assert {each.row["id"] for each in answers} == {1}
        assert [each.row["version"] for each in answers] == [each.version for each in answers]
        times = [each.row["updated_at"] for each in answers]
        assert times == sorted(times)


async def test_a_change_to_one_answer_reaches_no_other_answer(writer: WatchedWriter) -> None:
    answers = [
        *await writer.execute_together([create("a", inputs={"k": [1]}), update("a", message="1")], rows=True),
        *await writer.execute_together([update("a", message="2"), update("a", message="3")], rows=True),
    ]
    answers.append(await writer.execute(update("a", message="4")))
    answers.append(await writer.execute(update("a", message="5")))
    for answer in answers:
        assert answer.row["inputs"] == {"k": [1]}
        answer.row["inputs"]["k"].append("mine")


async def test_a_new_execution_can_be_changed_and_deleted_in_the_group_that_creates_it(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    await writer.execute(create("first"))
    answers = await writer.execute_together(
        [
            update("a", status="running"),
            create("a"),
            create("b", message="m"),
            update("a", status="running"),
            update("first", message="m"),
            update("b", message="n"),
            create("a"),
            delete("a"),
            update("a", message="too late"),
            delete("a"),
            create("a"),
            create(message="nameless"),
        ],
        rows=True,
    )
    assert brief(answers) == [
        None,
        (1, 3, 1),
        (1, 6, 1),
        (2, 4, 1),
        (2, 2, 1),
        (2, 7, 1),
        DuplicateJobId,
        (3, 5, 1),
        None,
        None,
        DuplicateJobId,
        (1, 8, 1),
    ]
    assert [each.deleted for each in answers if isinstance(each, DuplicateJobId)] == [False, True]
    done = [each for each in answers if isinstance(each, Outcome)]
    assert [each.id for each in done] == [2, 3, 2, 1, 3, 2, 4]
    assert rows(done, "id", "status", "message") == [
        (2, "pending", None),
        (3, "pending", "m"),
        (2, "running", None),
        (1, "pending", "m"),
        (3, "pending", "n"),
        None,
        (4, "pending", "nameless"),
    ]
    assert await ledger.types(engine) == [
        "created", "details_changed", "created", "started", "deleted", "created", "details_changed", "created",
    ]  # fmt: skip


async def test_what_is_deleted_in_a_group_was_there_for_the_commands_before(writer: WatchedWriter) -> None:
    await writer.execute_together([create("a"), create("b")])
    answers = await writer.execute_together([note("a", "t"), delete(1), note("a", "t"), note("b", "t")], rows=True)
    assert brief(answers) == [(2, 3, 1), (3, 4, 1), None, (2, 5, 1)]
    assert rows([answers[0], answers[1], answers[3]], "version") == [(2,), None, (2,)]


async def test_steps_are_known_to_the_commands_that_follow_in_the_group(writer: WatchedWriter) -> None:
    def start(step: str, parent: str | None = None, target: int | str = "a") -> Request:
        return Request("default", target, StartStep.of(step, parent_step_id=parent))

    def finish(step: str, outcome: str = "completed") -> Request:
        return Request("default", "a", FinishStep.of(step, outcome))

    first = await writer.execute_together(
        [create("a"), finish("s"), start("s"), start("s"), start("inner", "s"), finish("inner"), start("open")]
    )
    assert brief(first) == [(1, 1, 1), UnknownStep, (2, 2, 1), StepConflict, (3, 3, 1), (4, 4, 1), (5, 5, 1)]
    second = await writer.execute_together(
        [
            *(start("inner"), finish("inner"), finish("inner", "failed"), finish("open"), start("late", "open")),
            *(finish("s"), start("s", target=1), start("other", "nowhere", target=1), finish("s")),
            start("inner", target=7),
        ]
    )
    assert brief(second) == [
        StepConflict,
        (5, None, 0),
        StepConflict,
        (6, 6, 1),
        StepConflict,
        (7, 7, 1),
        StepConflict,
        UnknownStep,
        (7, None, 0),
        None,
    ]


async def test_one_execution_may_be_named_by_its_id_and_by_its_job_id(writer: WatchedWriter) -> None:
    await writer.execute_together([create("a"), create("b")])
    answers = await writer.execute_together(
        [
            *(update("b", message="1"), update(1, message="2"), update(2, message="3"), update("a", message="4")),
            *(update(3, message="5"), update("c", message="6"), update(-1, message="7"), update(2**62, message="8")),
        ],
        rows=True,
    )
    assert [(each.id, each.version) if each else each for each in answers] == [
        *[(2, 2), (1, 2), (2, 3), (1, 3)],
        *[None] * 4,
    ]
    assert rows(answers[:4], "message") == [("1",), ("2",), ("3",), ("4",)]


async def test_an_expected_version_is_held_against_what_the_group_has_done_so_far(writer: WatchedWriter) -> None:
    await writer.execute(create("a"))
    answers = await writer.execute_together(
        [
            update("a", expected_version=1, message="1"),
            update("a", expected_version=1, message="2"),
            update("a", expected_version=2, message="3"),
            Request("default", "a", Create.of({"job_id": "a"}), expected_version=0),
            Request("default", "b", Create.of({"job_id": "b"}), expected_version=0),
            update("b", expected_version=1, message="4"),
            update("b", expected_version=0, message="5"),
        ]
    )
    assert brief(answers) == [
        (2, 2, 1),
        VersionConflict,
        (3, 3, 1),
        VersionConflict,
        (1, 4, 1),
        (2, 5, 1),
        VersionConflict,
    ]
    refused = [each for each in answers if isinstance(each, VersionConflict)]
    assert [(each.key, each.expected, each.actual) for each in refused] == [("a", 1, 2), ("a", 0, 3), ("b", 0, 2)]


async def receipts(engine: AsyncEngine) -> list[Any]:
    column = command_receipts.c
    statement = select(column.command_id, column.first_position, column.event_count).order_by(column.command_id)
    return [tuple(row) for row in await ledger.rows(engine, statement)]


async def test_a_command_twice_in_one_group_is_done_once(writer: WatchedWriter, engine: AsyncEngine) -> None:
    answers = await writer.execute_together(
        [
            create("a", command_id="c1", message="0"),
            create("a", command_id="c1", message="0"),
            update("a", command_id="c2", message="1"),
            update("a", message="2"),
            update("a", command_id="c2", message="1"),
            update("a", command_id="c3", message="1", actor="ada"),
            update("a", command_id="c3", message="1", actor="bob"),
            create(command_id="c4"),
            create(command_id="c4"),
            update("b", command_id="c5", message="missing"),
            create("b"),
            update("b", command_id="c5", message="missing"),
        ],
        rows=True,
    )
    assert brief(answers) == [
        (1, 1, 1), (1, 1, 1), (2, 2, 1), (3, 3, 1), (2, 2, 1), (4, 4, 1), CommandIdReused, (1, 5, 1), (1, 5, 1), None,
        (1, 6, 1), (2, 7, 1),
    ]  # fmt: skip
    done = [each for each in answers if isinstance(each, Outcome)]
    assert [each.replayed for each in done] == [
        False, True, False, False, True, False, False, True, False, False,
    ]  # fmt: skip
    assert rows(done[:6], "message", "version") == [("0", 1), ("0", 1), ("1", 2), ("2", 3), ("1", 2), ("1", 4)]
    assert done[6].row == done[7].row
    assert await receipts(engine) == [("c1", 1, 1), ("c2", 2, 1), ("c3", 4, 1), ("c4", 5, 1), ("c5", 7, 1)]


async def test_a_command_known_from_before_is_answered_as_the_first_time(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    sent = [
        create("a", command_id="c1", message="0"),
        update("a", command_id="c2", message="1"),
        update("a", command_id="c3", status="pending"),
    ]
    first = await writer.execute_together(sent, rows=True)
    await writer.execute(delete("a"))
    before = await ledger.everything(engine)
    for again in (await writer.execute_together(sent, rows=True), [await writer.execute(each) for each in sent]):
        assert brief(again) == brief(first) == [(1, 1, 1), (2, 2, 1), (2, None, 0)]
        assert rows(again, "message", "version", "updated_at") == rows(first, "message", "version", "updated_at")
        assert [each.replayed for each in again] == [True] * 3
    refused = await writer.execute_together(
        [update("a", command_id="c1", message="0"), create("a", command_id="c1"), create("b", command_id="c2")]
    )
    assert brief(refused) == [CommandIdReused] * 3
    assert await ledger.everything(engine) == before
    mixed = await writer.execute_together([create("b", command_id="c4"), sent[0], note("b", "t", command_id="c5")])
    assert brief(mixed) == [(1, 4, 1), (1, 1, 1), (2, 5, 1)]


async def test_a_command_that_was_refused_may_be_sent_again_in_the_same_group(
    writer: WatchedWriter, engine: AsyncEngine
) -> None:
    approve = Request("default", "a", Update.by("approved"), command_id="c1")
    answers = await writer.execute_together([create("a"), approve, update("a", status="waiting_for_approval"), approve])
    assert brief(answers) == [(1, 1, 1), IllegalTransition, (2, 2, 1), (3, 3, 1)]
    assert await receipts(engine) == [("c1", 3, 1)]


async def test_an_update_that_changes_nothing_gives_no_event_whoever_is_beside_it(writer: WatchedWriter) -> None:
    await writer.execute_together([create("a"), create("b")])
    answers = await writer.execute_together(
        [update("a"), update("b", message="m"), update(2), update("a", command_id="c1", status="pending")], rows=True
    )
    assert brief(answers) == [(1, None, 0), (2, 3, 1), (2, None, 0), (1, None, 0)]
    assert rows(answers, "job_id", "version") == [("a", 1), ("b", 2), ("b", 2), ("a", 1)]
    alone = await writer.execute_together([update("a"), update("b", command_id="c2")], rows=True)
    assert brief(alone) == [(1, None, 0), (2, None, 0)]
    assert rows(alone, "job_id", "version") == [("a", 1), ("b", 2)]


async def test_a_created_job_is_known_by_its_job_id_whatever_target_its_command_names(writer: WatchedWriter) -> None:
    nameless = Request("default", None, Create.of({"job_id": "a", "message": "nameless"}))
    assert brief(await writer.execute_together([create("a"), nameless])) == [(1, 1, 1), DuplicateJobId]
    assert brief(await writer.execute_together([nameless, nameless, update("a", message="m")])) == [
        DuplicateJobId,
        DuplicateJobId,
        (2, 2, 1),
    ]
    with pytest.raises(DuplicateJobId):
        await writer.execute(nameless)


async def test_the_context_of_each_command_lands_on_its_own_events(writer: WatchedWriter, engine: AsyncEngine) -> None:
    def said(actor: str) -> Request:
        return Request("default", "a", Update.of({"message": actor}), Context(actor=actor, reason=f"as {actor} says"))

    await writer.execute_together([create("a"), said("ada"), update("a", message="nobody"), said("bob")])
    told = [(each.actor, each.reason) for each in await ledger.events(engine)]
    assert told == [(None, None), ("ada", "as ada says"), (None, None), ("bob", "as bob says")]


async def test_commands_that_are_sent_together_belong_to_one_ledger(writer: WatchedWriter) -> None:
    with pytest.raises(InvalidInput, match="ledger"):
        await writer.execute_together([create("a", "red"), create("a", "blue")])
    assert await writer.execute_together([]) == []
    assert await (await writer.send([])) == []
