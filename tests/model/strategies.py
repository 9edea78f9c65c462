"""What is sent: random values, and a few that are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from hypothesis import strategies as st
from model.rules import STATUSES

SESSIONS = 3
STEPS = ("fetch", "parse", "store")
JOBS = ("a", "b", "Ünïcode 🚀", "x' OR 1=1 --")
COMMANDS = ("command-0", "command-1", "command-2")
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30, 23, 59, 59, 999_999)

_characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(_characters, max_size=12)
keys = st.text(_characters, min_size=1, max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
times = st.one_of(
    st.datetimes(_FIRST, _LAST),  # naive: UTC
    st.datetimes(_FIRST, _LAST, timezones=st.just(UTC)),
    st.datetimes(
        datetime(1900, 1, 1),
        datetime(2100, 1, 1),
        timezones=st.sampled_from([timezone(timedelta(hours=-8)), timezone(timedelta(hours=5, minutes=45))]),
    ),
)
statuses = st.sampled_from(STATUSES)

_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "inputs": json_values,
    "result": json_values,
    "error": st.none() | texts,
    "message": st.none() | texts,
    "run_name": st.none() | texts,
    "trigger_type": st.none() | texts,
    "execution_type": st.none() | texts,
    "parent_job_id": st.none() | texts,
    "attempt": st.integers(1, 2**63 - 1),
    "progress": st.none() | st.floats(0, 1),
    "created_at": times,
    "started_at": st.none() | times,
    "stop_reason": st.none() | texts,
    "stop_requested_by": st.none() | texts,
    "partial_results": json_values,
    "group_email": st.none() | texts,
    "attributes": st.none() | st.dictionaries(texts, json_values, max_size=3),
}


@st.composite
def fields(draw: st.DrawFn, most: int = 3) -> dict[str, Any]:
    """A few fields with values; `completed_at`, which is rarely right, seldom."""
    names = draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=most, unique=True))
    values = {name: draw(_FIELDS[name]) for name in names}
    if draw(st.integers(0, 7)) == 7:
        values["completed_at"] = draw(st.none() | times)
    return values


class Place(NamedTuple):
    """Where a write goes: the session, the way it takes, the ledger, and the execution."""

    session: int
    way: str
    """Whether it commits by itself, waits for the session's commit, or goes through the group writer."""
    ledger: int
    of: int
    """Which one of those that the session sees, by id or by job id; one that is not there, where it is too large."""


class Options(NamedTuple):
    """What goes along with a write."""

    context: dict[str, Any]
    version: int | None
    """What is added to the right version to make the one that is expected; None where none is."""
    command_id: str | None


NOTHING = Options({}, None, None)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "actor": keys,
        "reason": keys,
        "correlation_id": keys,
        "causation_id": keys,
        "trace_id": st.integers(1, 2**128 - 1).map(lambda number: f"{number:032x}"),
        "occurred_at": times,
    },
)
sessions = st.integers(0, SESSIONS - 1)
# The first session commits every write or sends it to the writer, the others mostly gather.
_modes = st.one_of(
    st.tuples(st.just(0), st.sampled_from(["commit", "writer"])),
    *(st.tuples(st.just(at), st.sampled_from(["gather"] * 7 + ["commit", "writer"])) for at in range(1, SESSIONS)),
)
ledgers = st.sampled_from([0, 0, 0, 0, 0, 1])
places = st.builds(lambda mode, ledger, of: Place(*mode, ledger, of), _modes, ledgers, st.integers(0, 15))
options = st.builds(
    Options,
    contexts,
    st.sampled_from([None, None, None, None, 0, 0, 1, -1]),
    st.none() | st.sampled_from(COMMANDS),
)
steps = st.sampled_from(STEPS)
outcomes = st.sampled_from(["completed", "failed", "cancelled", "skipped"])

NONSENSE: list[dict[str, Any]] = [
    {"no_such_field": 1},
    {"id": 7},
    {"version": 1},
    {"status": "unheard of"},
    {"progress": 1.5},
    {"progress": float("nan")},
    {"result": float("inf")},
    {"inputs": {"deep": {1: "a key that is no text"}}},
    {"result": b"bytes"},
    {"result": 2**63},
    {"message": "a NUL \0"},
    {"message": "half a pair \ud83d"},
    {"run_name": "x" * 256},
    {"attempt": 0},
    {"attempt": True},
    {"started_at": "yesterday"},
    {"created_at": datetime(9999, 12, 31)},
    {"started_at": datetime(1, 1, 1, 23, 59)},
    {"attributes": ["no object"]},
    {"error": 404},
]
