"""Spans of OpenTelemetry as runs and steps, beside whatever else they are exported to. Needs `opentelemetry-sdk`."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach, set_value
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode

from .ledger import Ledger
from .outbox import CAPACITY, PATIENCE, THREADS
from .recorder import Place, Recorder, Recording
from .runs import is_cancellation
from .values import label, plain

SOURCE = "opentelemetry"
_MOST = 128
"""Attributes, events or links of a span that are kept; the SDK's own bound, unless somebody raised that."""
_VALUE = 1_000
"""Characters of an attribute that are kept."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger("execution_ledger.instrument")


class ExecutionLedgerSpanProcessor(Recording, SpanProcessor):
    """Records outermost spans as runs, and the spans inside them as steps.

        provider.add_span_processor(ExecutionLedgerSpanProcessor(Ledger("sqlite:///ledger.db")))

    The program that is traced never waits for the ledger, nor fails with it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        runs: Callable[[ReadableSpan], bool] | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        """`runs` tells which spans are runs, as they start; without it those that lie in no span of this process.

        What lies in no run is not recorded. `capacity` writes may wait; the ledger is yours to close, after this.
        """
        # What the ledger does for this is nobody's trace.
        quiet = copy_context()
        quiet.run(lambda: attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True)))
        self._recorder = Recorder(ledger, capacity=capacity, context=quiet)
        self._runs = runs
        self._warned = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """A span started."""
        try:
            self._begin(span)
        except Exception as error:
            self._warn(error)

    def on_end(self, span: ReadableSpan) -> None:
        """A span ended."""
        try:
            self._end(span)
        except Exception as error:
            self._warn(error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all that has happened so far is written; False where that takes longer."""
        return self._recorder.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Record nothing more, and write what waits, for a few seconds at most."""
        self._recorder.close(PATIENCE)

    def _begin(self, span: Span) -> None:
        context = span.get_span_context()
        if not context.trace_flags.sampled or threading.current_thread().name.startswith(THREADS):
            return
        outer = None if span.parent is None else self._recorder.find(_key(span.parent))
        is_run = outer is None if self._runs is None else self._runs(span)
        if not is_run and outer is None:
            return
        key, at = _key(context), _time(span.start_time)
        attributes = {**_attributes(span.attributes), **_links(span)}
        if is_run:
            self._recorder.begin_run(
                key,
                outer,
                at,
                trace_id=f"{context.trace_id:032x}",
                run_name=span.name,
                execution_type=_service(span),
                attributes={**attributes, **_circumstances(span)},
            )
        else:
            assert outer is not None
            kind, step_id = span.kind.name.lower(), f"{context.span_id:016x}"
            self._recorder.begin_step(key, outer, at, step_id=step_id, name=span.name, kind=kind, attributes=attributes)
        began = self._recorder.find(key)
        if began is not None:
            began.handling = id(sys.exception())

    def _end(self, span: ReadableSpan) -> None:
        place = None if span.context is None else self._recorder.find(_key(span.context))
        if place is None:
            return
        at = _time(span.end_time)
        fault: str | None = None
        for event in islice(span.events, _MOST):
            happened = _time(event.timestamp)
            said = _attributes(event.attributes)
            if event.name != "exception":
                self._recorder.note(place, happened, event.name, source=SOURCE, data=said or None)
                continue
            attributes = event.attributes or {}
            fault = f"{attributes.get('exception.type')}: {attributes.get('exception.message')}"
            self._recorder.fault(place, happened, str(attributes.get("exception.stacktrace") or fault))
        outcome, error = "completed", None
        if span.status.status_code is StatusCode.ERROR:
            outcome, error = "failed", span.status.description or fault or "The span has the status ERROR."
        elif _is_cancelled(place):
            outcome = "cancelled"
        fields = self._changes(span, place)
        if place.step_id is None:
            self._recorder.end(place, at, outcome, error=error, **fields)
        else:
            self._recorder.end(place, at, outcome, error=error, result=fields or None)

    def _changes(self, span: ReadableSpan, place: Place) -> dict[str, Any]:
        """What became otherwise while it lasted: all attributes of a run, the new ones of a step, the name."""
        now = {**_attributes(span.attributes), **_links(span)}
        changed = {name: value for name, value in now.items() if place.attributes.get(name) != value}
        fields: dict[str, Any] = {}
        if changed:
            fields["attributes"] = changed if place.step_id is not None else {**place.attributes, **changed}
        if span.name and label(span.name) != place.name:
            fields["run_name" if place.step_id is None else "name"] = label(span.name)
        return fields

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("A span is not recorded: %s", error, exc_info=error, extra={"action": "not_recorded"})


def _key(context: SpanContext) -> str:
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def _time(nanoseconds: int | None) -> datetime:
    return datetime.now(UTC) if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {label(name): plain(value, _VALUE) for name, value in islice((attributes or {}).items(), _MOST)}


def _links(span: ReadableSpan) -> dict[str, Sequence[dict[str, str]]]:
    links = [
        {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
        for link in islice(span.links, _MOST)
    ]
    return {"otel.links": links} if links else {}


def _circumstances(span: ReadableSpan) -> dict[str, Any]:
    """What is said of a run beside its own attributes."""
    scope, parent = span.instrumentation_scope, span.parent
    said = {
        "otel.kind": span.kind.name.lower(),
        "otel.scope": None if scope is None else scope.name,
        "otel.parent_span_id": None if parent is None else f"{parent.span_id:016x}",
    }
    return {name: value for name, value in said.items() if value}


def _service(span: ReadableSpan) -> str:
    name = str(span.resource.attributes.get("service.name", ""))
    return "span" if not name or name.startswith("unknown_service") else label(name)


def _is_cancelled(place: Place) -> bool:
    """Whether an exception that is no error, as that of a cancelled task, ends the span."""
    error = sys.exception()
    return error is not None and id(error) != place.handling and is_cancellation(error)
