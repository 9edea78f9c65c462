"""What is wrong is refused before anything is decided: by name, with a remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest

from execution_ledger.domain import (
    FIELDS,
    Context,
    ContextFields,
    Correct,
    Create,
    FinishStep,
    InvalidInput,
    Note,
    ReportLateOutcome,
    StartStep,
    Update,
    check_ledger,
    make_context,
)
from execution_ledger.domain.values import MAX_DEPTH

HUGE = 10**5000
"""Too long for Python to print."""
SURROGATE = "\ud800"


def refused(attempt: Callable[[], Any], field: str) -> InvalidInput:
    """The error of an attempt: it names the field, tells what to do instead, and can be printed."""
    with pytest.raises(InvalidInput) as caught:
        attempt()
    error = caught.value
    assert error.field == field
    assert error.problem
    assert error.remedy.endswith(("…", "."))
    assert error.remedy.strip(".")
    text = str(error)
    assert text == f"{error.field}: {error.problem}. {error.remedy}"
    assert len(text) < 600
    text.encode()  # a page or a log must be able to show it
    return error


def everywhere(data: Mapping[str, Any], field: str) -> None:
    """Refused by all three commands that take fields."""
    for command in (Create, Update, Correct):
        refused(lambda command=command: command.of(data), field)


@dataclass
class Plain:
    """An object that is not JSON."""


NOT_JSON = [
    datetime(2026, 1, 31, tzinfo=UTC), date(2026, 1, 31), time(8), timedelta(1), {1, 2}, frozenset(), object(), Plain(),
    b"bytes", bytearray(b"x"), Decimal("1.0"), uuid4(), 1j, range(3), iter([]), lambda: None, int,
]  # fmt: skip
NOT_TEXT = [5, 1.5, True, b"bytes", ["a"], {"a": 1}, object(), HUGE]
WRONG: dict[str, list[Any]] = {
    "text": NOT_TEXT,
    "json": NOT_JSON,
    "object": [*NOT_JSON, "text", 5, True, [], [("a", 1)], HUGE],
    "time": [5, 1.5, True, "soon", "2026-13-01", "", date(2026, 1, 31), b"2026", {}, "x" * 10_000, SURROGATE, HUGE],
    "integer": [0, -1, 2**63, 1.0, "1", True, False, [], HUGE, -HUGE, float("nan")],
    "fraction": [-0.01, 1.01, float("nan"), float("inf"), "0.5", True, [], HUGE, Decimal("0.5")],
    "status": ["done", "", 5, True, [], object(), SURROGATE, "run\x00ning", "x" * 10_000, HUGE, Enum("E", "RUN").RUN],
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_refuses_values_of_another_type(field: str) -> None:
    for value in WRONG[FIELDS[field].kind]:
        refused(lambda value=value: (Create if FIELDS[field].create else Update).of({field: value}), field)
        refused(lambda value=value: Update.of({field: value}), field)


def test_the_table_of_wrong_values_covers_every_kind_of_field() -> None:
    assert set(WRONG) == {field.kind for field in FIELDS.values()}


@pytest.mark.parametrize("key", ["color", "Status", " status", "", "__class__", "x" * 5_000])
def test_an_unknown_key_is_named_and_shown_where_to_go(key: str) -> None:
    for command in (Create, Update, Correct):
        error = refused(lambda command=command: command.of({"status": "running", key: 1}), key[:80])
        assert "attributes" in error.remedy


@pytest.mark.parametrize("key", [5, None, b"status", ("status",), SURROGATE + "x", "nul\x00"])
def test_a_key_that_is_not_text_is_refused_with_a_name_that_can_be_printed(key: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        Create.of({key: 1})
    str(caught.value).encode()
    caught.value.field.encode()


@pytest.mark.parametrize("key", ["id", "execution_id", "version", "updated_at", "ledger_id"])
def test_what_the_ledger_gives_cannot_be_set(key: str) -> None:
    everywhere({key: 1}, key)


def test_fields_that_come_only_later_or_only_first_are_refused_at_the_wrong_time() -> None:
    refused(lambda: Create.of({"late_outcome": {}}), "late_outcome")
    refused(lambda: Update.of({"late_outcome": {}}), "late_outcome")
    refused(lambda: Update.of({"job_id": "other"}), "job_id")


@pytest.mark.parametrize("field", [name for name, field in FIELDS.items() if not field.nullable and field.update])
def test_a_null_where_a_value_must_be_is_refused_later_and_a_default_at_first(field: str) -> None:
    refused(lambda: Update.of({field: None}), field)
    assert Create.of({field: None}).details.changes() == {}


@pytest.mark.parametrize("data", [None, 5, "status", [("status", "running")], {"status"}])
def test_what_is_not_a_mapping_is_refused(data: Any) -> None:
    everywhere(data, "data")


def test_what_json_cannot_say_is_refused_at_any_depth_with_its_path() -> None:
    numbers = [float("nan"), float("inf"), -float("inf"), 2**63, -(2**63) - 1, HUGE]
    for value in (*NOT_JSON, *numbers, "\x00"):
        everywhere({"inputs": value}, "inputs")
        everywhere({"result": {"a": [1, {"b": value}]}}, "result.a[1].b")
        everywhere({"attributes": {"a": (None, value)}}, "attributes.a[1]")


@pytest.mark.parametrize("key", [5, None, b"k", 1.5, ("k",), True])
def test_keys_of_json_objects_are_text(key: Any) -> None:
    everywhere({"inputs": {"a": {key: 1}}}, "inputs.a")


@pytest.mark.parametrize("text", [SURROGATE, "a" + SURROGATE, "\udfff!", "nul\x00"])
def test_text_that_no_database_keeps_is_refused_in_values_and_in_keys(text: str) -> None:
    for field, described in FIELDS.items():
        if described.kind == "text":
            refused(lambda field=field: Create.of({field: text}), field)
    everywhere({"inputs": {"a": [text]}}, "inputs.a[0]")
    everywhere({"inputs": {"a": {text: 1}}}, "inputs.a (a key)")
    refused(lambda: Note.of(text), "text")
    refused(lambda: StartStep.of(text), "step_id")


def test_nesting_is_kept_to_its_limit_and_refused_beyond() -> None:
    def nested(levels: int) -> Any:
        value: Any = "core"
        for level in range(levels):
            value = [value] if level % 2 else {"k": value}
        return value

    assert Create.of({"inputs": nested(MAX_DEPTH)}).details.inputs == nested(MAX_DEPTH)
    everywhere({"inputs": nested(MAX_DEPTH + 1)}, "inputs")
    everywhere({"result": nested(100_000)}, "result")
    endless: list[Any] = []
    endless.append(endless)
    everywhere({"partial_results": endless}, "partial_results")


def test_json_is_taken_over_as_plain_types_and_as_a_copy() -> None:
    class Color(Enum):
        RED = "red"

    class Text(str):
        __slots__ = ()

    given = {
        "t": (1, 2),
        "e": Color.RED,
        "s": Text("x"),
        "m": MappingProxyType({"k": [None]}),
        "i": -(2**63),
        "f": 1.0,
    }
    taken = Create.of({"inputs": given}).details.inputs
    assert taken == {"t": [1, 2], "e": "red", "s": "x", "m": {"k": [None]}, "i": -(2**63), "f": 1.0}
    assert (type(taken["s"]), type(taken["m"]), type(taken["f"])) == (str, dict, float)
    assert taken["m"]["k"] is not given["m"]["k"]


@pytest.mark.parametrize(("field", "longest"), [(name, f.max_length) for name, f in FIELDS.items() if f.kind == "text"])
def test_names_are_kept_up_to_their_length(field: str, longest: int) -> None:
    if longest > 1_000_000:
        return  # long texts are bounded by the payload's limit
    assert Create.of({field: "é" * longest}).details.changes() == {field: "é" * longest}
    refused(lambda: Create.of({field: "é" * (longest + 1)}), field)


def test_an_empty_job_id_is_refused_and_other_text_may_be_empty() -> None:
    refused(lambda: Create.of({"job_id": ""}), "job_id")
    assert Create.of({"message": ""}).details.message == ""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (datetime(2026, 1, 31, 8), datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00.000001+05:45", datetime(2026, 1, 31, 2, 15, 0, 1, tzinfo=UTC)),
        (datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=-3))), datetime(2026, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_times_become_utc_and_naive_ones_are_taken_as_utc(given: Any, meant: datetime) -> None:
    taken = Create.of({"created_at": given}).details.created_at
    assert taken == meant
    assert taken.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "time",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max,
        datetime.min,
        "9999-12-31T23:59:59Z",
        "0001-01-01T23:59:59Z",
    ],
)
def test_a_time_that_some_time_zone_cannot_say_is_refused(time: Any) -> None:
    refused(lambda: Create.of({"created_at": time}), "created_at")
    refused(lambda: make_context(Context(), occurred_at=time), "occurred_at")


@pytest.mark.parametrize("given", ["running", "RUNNING", " Running\n", Enum("Any", {"R": "Running"}).R])
def test_a_status_is_taken_in_any_case_and_from_any_enumeration(given: Any) -> None:
    assert Update.of({"status": given}).changes.status == "running"
    assert type(Update.of({"status": given}).changes.status) is str


def test_a_trace_id_is_that_of_w3c() -> None:
    for wrong in ("", "0" * 32, "A" * 32, "a" * 31, "a" * 33, "g" * 32, "a" * 32 + "\n", 5, HUGE, b"a" * 32):
        refused(lambda wrong=wrong: make_context(Context(), trace_id=wrong), "trace_id")
    assert (
        make_context(Context(), trace_id="4bf92f3577b34da6a3ce929d0e0e4736").trace_id
        == "4bf92f3577b34da6a3ce929d0e0e4736"
    )


@pytest.mark.parametrize("field", sorted(ContextFields.__annotations__))
def test_the_context_of_an_event_is_checked_field_by_field(field: str) -> None:
    for value in (5, "", SURROGATE, "nul\x00", "x" * 3_000, object()):
        refused(lambda value=value: make_context(Context(), **{field: value}), field)
    assert getattr(make_context(Context(), **{field: None}), field) is None


def test_ledgers_have_short_names() -> None:
    assert check_ledger("é" * 63) == "é" * 63
    for wrong in ("", "x" * 64, None, 5, SURROGATE, "nul\x00"):
        refused(lambda wrong=wrong: check_ledger(wrong), "ledger")


@pytest.mark.parametrize(
    ("attempt", "field"),
    [
        (lambda: StartStep.of(""), "step_id"),
        (lambda: StartStep.of(5), "step_id"),
        (lambda: StartStep.of("s", name="x" * 256), "name"),
        (lambda: StartStep.of("s", kind=""), "kind"),
        (lambda: StartStep.of("s", parent_step_id=""), "parent_step_id"),
        (lambda: StartStep.of("s", attributes={"a": b""}), "attributes.a"),
        (lambda: StartStep.of("s", attributes=5), "attributes"),
        (lambda: StartStep.of("s", attributes=["ab"]), "attributes"),
        (lambda: StartStep.of("s", started_at="soon"), "started_at"),
        (lambda: FinishStep.of("s", 5), "outcome"),
        (lambda: FinishStep.of("s", result=object()), "result"),
        (lambda: FinishStep.of("s", error=5), "error"),
        (lambda: FinishStep.of("s", finished_at=5), "finished_at"),
        (lambda: Note.of(""), "text"),
        (lambda: Note.of(b"line"), "text"),
        (lambda: Note.of("x", level=None), "level"),
        (lambda: Note.of("x", source=5), "source"),
        (lambda: Note.of("x", step_id=5), "step_id"),
        (lambda: Note.of("x", data=float("nan")), "data"),
        (lambda: ReportLateOutcome.of("nonsense"), "status"),
        (lambda: ReportLateOutcome.of("failed", error=5), "error"),
        (lambda: ReportLateOutcome.of("failed", result={1: 2}), "result"),
        (lambda: Update.by("started", 5), "data"),
        (lambda: Update.by("started", [("message", "m")]), "data"),
        (lambda: Update.by(None), "event"),
        (lambda: Update.by(["started"]), "event"),
    ],
)
def test_other_commands_check_what_they_take(attempt: Callable[[], Any], field: str) -> None:
    refused(attempt, field)
