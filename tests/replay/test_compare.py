"""Two runs side by side: the same steps found in both, what differs, and where they part first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from execution_ledger.domain import Delete, FinishStep, StartStep, UnknownExecution, Update
from execution_ledger.projections import Comparison, ReplayQueries
from support.examples import examples
from support.histories import Told, histories, write

Sessions = async_sessionmaker[AsyncSession]


async def compare(engine: Engine, sessions: Sessions, left: list[Any], right: list[Any]) -> Comparison:
    """Compare runs of which these commands are told, one every second."""
    told = [Told(job, command, 1, None, None) for job, commands in enumerate((left, right)) for command in commands]
    ledger = write(engine, told)
    async with sessions() as session:
        return await ReplayQueries(session, ledger=ledger).compare("job-0", "job-1")


def step(id: str, name: str | None = None, result: Any = None, outcome: str = "completed", **start: Any) -> list[Any]:
    return [StartStep.of(id, name, **start), FinishStep.of(id, outcome, result=result)]


RUN = [Update.of({"status": "running"})]
END = [Update.of({"status": "completed", "result": {"rows": 3}})]


def names(comparison: Comparison) -> list[tuple[Any, Any, bool]]:
    return [(p.left and p.left.step_id, p.right and p.right.step_id, p.diverges) for p in comparison.steps]


async def test_runs_that_went_the_same_way_part_nowhere(sync_engine: Engine, sessions: Sessions) -> None:
    left = [*RUN, *step("1", "load", {"n": 1}), *step("2", "load", {"n": 2}), *step("3", "save"), *END]
    right = [*RUN, *step("a", "load", {"n": 1}), *step("b", "load", {"n": 2}), *step("c", "save"), *END]
    comparison = await compare(sync_engine, sessions, left, right)
    assert names(comparison) == [("1", "a", False), ("2", "b", False), ("3", "c", False)]
    assert (comparison.differences, comparison.first_divergence) == ([], None)
    assert (comparison.left_seconds, comparison.right_seconds) == (7.0, 7.0)
    assert [pair.left.seconds for pair in comparison.steps if pair.left] == [1.0, 1.0, 1.0]


async def test_the_first_divergence_is_the_first_step_that_differs(sync_engine: Engine, sessions: Sessions) -> None:
    left = [*RUN, *step("x"), *step("y", result={"rows": [1, 2]}), *step("z"), *END]
    right = [*RUN, *step("x"), *step("y", result={"rows": [1, 3]}, outcome="failed"), *step("w"), *END]
    comparison = await compare(sync_engine, sessions, left, right)
    assert names(comparison) == [("x", "x", False), ("y", "y", True), (None, "w", True), ("z", None, True)]
    first = comparison.first_divergence
    assert first is not None
    assert first.step is comparison.steps[1]
    assert [(each.field, each.before, each.after) for each in first.differences] == [
        ("outcome", "completed", "failed"),
        ("result.rows[1]", 2, 3),
    ]


async def test_nested_steps_are_told_apart_by_what_they_are_in(sync_engine: Engine, sessions: Sessions) -> None:
    def nested(result: int) -> list[Any]:
        return [
            *RUN,
            StartStep.of("p"), StartStep.of("q"),
            *step("p1", "inner", 1, parent_step_id="p"), *step("q1", "inner", result, parent_step_id="q"),
        ]  # fmt: skip

    comparison = await compare(sync_engine, sessions, nested(2), nested(9))
    diverging = [pair for pair in comparison.steps if pair.diverges]
    assert [pair.left.step_id for pair in diverging if pair.left] == ["q1"]


async def test_steps_that_changed_places_are_told_and_parallel_ones_are_not(
    sync_engine: Engine, sessions: Sessions
) -> None:
    comparison = await compare(sync_engine, sessions, [*RUN, *step("x"), *step("y")], [*RUN, *step("y"), *step("x")])
    assert [pair.moved for pair in comparison.steps] == [False, True]
    parallel = [StartStep.of("x"), StartStep.of("y")], [StartStep.of("y"), StartStep.of("x")]
    ends = [FinishStep.of("x"), FinishStep.of("y")]
    comparison = await compare(sync_engine, sessions, [*RUN, *parallel[0], *ends], [*RUN, *parallel[1], *ends])
    assert comparison.first_divergence is None


async def test_inputs_come_before_steps_and_the_outcome_after(sync_engine: Engine, sessions: Sessions) -> None:
    inputs = [Update.of({"inputs": {"day": 1}})], [Update.of({"inputs": {"day": 2}})]
    comparison = await compare(sync_engine, sessions, [*inputs[0], *RUN, *step("x")], [*inputs[1], *RUN])
    assert comparison.first_divergence is not None
    assert comparison.first_divergence.where == "inputs"
    assert [each.field for each in comparison.first_divergence.differences] == ["inputs.day"]
    failed = [Update.of({"status": "failed", "error": "no disk"})]
    comparison = await compare(sync_engine, sessions, [*RUN, *END], [*RUN, *failed])
    assert comparison.first_divergence is not None
    assert comparison.first_divergence.where == "outcome"
    assert [each.field for each in comparison.first_divergence.differences] == ["status", "result", "error"]


async def test_deleted_runs_can_be_compared_and_unknown_ones_are_named(sync_engine: Engine, sessions: Sessions) -> None:
    comparison = await compare(sync_engine, sessions, [*RUN, *END, Delete()], [*RUN, *END])
    assert (comparison.differences, comparison.first_divergence) == ([], None)
    async with sessions() as session:
        with pytest.raises(UnknownExecution, match="nobody"):
            await ReplayQueries(session).compare("nobody", "nobody")


@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
async def test_the_same_history_twice_has_no_divergence(sync_engine: Engine, sessions: Sessions, history: Any) -> None:
    commands = [told.command for told in history if not getattr(told.command, "finished_at", None)]
    same = [Told(job, command, 0, None, None) for command in commands for job in (0, 1)]
    ledger = write(sync_engine, same)
    async with sessions() as session:
        comparison = await ReplayQueries(session, ledger=ledger).compare("job-0", "job-1")
    assert comparison.first_divergence is None
    assert [pair.left and pair.left.step_id for pair in comparison.steps] == [
        pair.right and pair.right.step_id for pair in comparison.steps
    ]
