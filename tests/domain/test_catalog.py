from __future__ import annotations

import sys

import pytest

from execution_ledger.domain import EXECUTION_CATALOG, Execution, UnknownEventType, Update
from execution_ledger.domain.execution import TRANSITION_EVENTS
from execution_ledger.domain.status import TARGET_OF, TRANSITIONS

# Stored with every event that was ever written: a name that disappears here makes old ledgers unreadable.
STORED_NAMES = {
    "execution.created": 1,
    "execution.prepared": 1,
    "execution.started": 1,
    "execution.progressed": 1,
    "execution.approval_requested": 1,
    "execution.approved": 1,
    "execution.rejected": 1,
    "execution.stop_requested": 1,
    "execution.stopped": 1,
    "execution.completed": 1,
    "execution.failed": 1,
    "execution.cancelled": 1,
    "execution.details_changed": 1,
    "execution.corrected": 1,
    "execution.late_outcome": 1,
    "execution.step_started": 1,
    "execution.step_finished": 1,
    "execution.noted": 1,
    "execution.deleted": 1,
}


def test_the_catalog_holds_exactly_the_names_that_were_ever_stored() -> None:
    assert {event.TOPIC: event.class_version for event in EXECUTION_CATALOG} == STORED_NAMES


def test_every_event_class_of_the_aggregate_is_in_the_catalog_under_a_name_of_its_own() -> None:
    classes = [each for name, each in vars(Execution).items() if isinstance(each, type) and name != "Event"]
    topics = [each.__dict__["TOPIC"] for each in classes if issubclass(each, Execution.Event)]
    assert len(topics) == len(set(topics)) == len(STORED_NAMES)
    assert all(topic.startswith("execution.") for topic in topics)


def test_every_event_of_the_table_has_a_class_and_leads_to_one_status_only() -> None:
    assert {name: event.TOPIC for name, event in TRANSITION_EVENTS.items()} == {
        row.event: f"execution.{row.event}" for row in TRANSITIONS
    }
    for event, target in TARGET_OF.items():
        assert {row.target for row in TRANSITIONS if row.event == event} == {target}
        assert Update.by(event).changes.status == target.value


@pytest.mark.parametrize(
    "name",
    [
        "execution.unheard_of",
        "execution",
        "created",
        "",
        "EXECUTION.CREATED",
        "subprocess:Popen",
        "execution_ledger.domain.execution:Execution.Created",
        "this:d",
    ],
)
def test_foreign_names_are_refused_and_never_imported(name: str) -> None:
    sys.modules.pop("this", None)
    with pytest.raises(UnknownEventType) as refused:
        EXECUTION_CATALOG.find(name, 1)
    assert (refused.value.topic, refused.value.schema_version) == (name, 1)
    assert "this" not in sys.modules


@pytest.mark.parametrize("schema_version", [0, -1, 2, 99])
def test_a_schema_version_that_this_code_does_not_know_is_refused(schema_version: int) -> None:
    with pytest.raises(UnknownEventType, match="Upgrade execution-ledger"):
        EXECUTION_CATALOG.find("execution.created", schema_version)


def test_the_first_part_of_a_name_is_its_aggregate() -> None:
    assert EXECUTION_CATALOG.aggregate_topic("execution.step_started") == Execution.TOPIC == "execution"
