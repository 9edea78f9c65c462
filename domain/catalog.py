"""The closed catalog of events: stored names to classes. A name in a row is looked up here and never imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .aggregate import LedgerAggregate
from .errors import UnknownEventType
from .execution import Execution


class Catalog:
    """The events of some aggregates, by stored name."""

    def __init__(self, *aggregates: type[LedgerAggregate]) -> None:
        self._aggregates = {getattr(aggregate, "TOPIC"): aggregate for aggregate in aggregates}  # noqa: B009
        self._events: dict[str, type[LedgerAggregate.Event]] = {
            event.TOPIC: event for aggregate in aggregates for event in _events_of(aggregate)
        }

    def __iter__(self) -> Iterator[type[Any]]:
        return iter(self._events.values())

    def find(self, topic: str, schema_version: int) -> type[Any]:
        """The class of a stored event; refused where it is unknown or newer than this code."""
        event = self._events.get(topic)
        if event is None or not 1 <= schema_version <= event.class_version:
            raise UnknownEventType(topic=topic, schema_version=schema_version)
        return event

    def aggregate_topic(self, topic: str) -> str:
        """The stored name of the aggregate that an event belongs to."""
        return topic.partition(".")[0]


def _events_of(aggregate: type[LedgerAggregate]) -> Iterator[Any]:
    for name, value in vars(aggregate).items():
        if isinstance(value, type) and issubclass(value, LedgerAggregate.Event) and name != "Event":
            yield value


EXECUTION_CATALOG = Catalog(Execution)
