"""Numbers for Prometheus: what was answered, what waits, how far projections are behind, what was verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from ...infrastructure import GroupWriter
from ...infrastructure.webhooks import Endpoint
from ...projections import Audited, ProjectionStatus

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Folder in which several processes of one service keep their numbers together."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


_OF_ENDPOINTS: tuple[tuple[str, str, Callable[[Endpoint], int]], ...] = (
    ("enabled", "0 where a webhook is switched off.", lambda each: each.enabled),
    ("lag", "Events of the ledger that a webhook was not sent yet, or passed by.", lambda each: each.lag),
    ("failing", "Tries that failed of the event that is next.", lambda each: each.failures),
    ("dead_letters", "Events that a webhook did not take.", lambda each: each.dead_letters),
)


class Metrics:
    """The numbers of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "execution_ledger_http_requests", "Requests that were answered.", ("method", "route", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "execution_ledger_http_request_seconds", "Seconds until a request was answered to its end.",
            ("method", "route"), buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip

        self._deliveries = Counter(
            "execution_ledger_webhook_deliveries", "Tries to deliver to webhooks, and what they led to.", ("outcome",),
            registry=self._registry,
        )  # fmt: skip
        self._children: dict[tuple[str, str | None, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """One request, by its operation. Other paths count together: anybody could make up any number of them."""
        method = method if method in _METHODS else "other"
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:  # looking them up takes longer than counting
            requests = self._requests.labels(method, route or "none", str(status))
            children = self._children[key] = requests, self._seconds.labels(method, route or "none")
        children[0].inc()
        children[1].observe(seconds)

    def count_delivery(self, outcome: str) -> None:
        """A try to deliver: delivered or failed; and where it was the last one, dead_letter or disabled."""
        self._deliveries.labels(outcome).inc()

    def render(
        self,
        writer: GroupWriter,
        audited: Audited,
        statuses: Iterable[ProjectionStatus],
        endpoints: Iterable[Endpoint],
    ) -> bytes:
        """The page that Prometheus reads."""
        registry = CollectorRegistry()
        registry.register(_Now(writer, audited, list(statuses), list(endpoints)))
        shared = os.environ.get(MULTIPROCESS)
        requests = CollectorRegistry() if shared else self._registry
        if shared:
            MultiProcessCollector(requests, shared)
        return generate_latest(requests) + generate_latest(registry)


class _Now:
    """What is so at this moment."""

    def __init__(
        self, writer: GroupWriter, audited: Audited, statuses: list[ProjectionStatus], endpoints: list[Endpoint]
    ) -> None:
        self._writer = writer
        self._audited = audited
        self._statuses = statuses
        self._endpoints = endpoints

    def collect(self) -> Iterator[Metric]:
        """Prometheus's own interface."""
        yield GaugeMetricFamily(
            "execution_ledger_writer_waiting", "Commands that wait to be written.", value=self._writer.waiting
        )
        lag = GaugeMetricFamily(
            "execution_ledger_projection_lag", "Events that a projection has not read yet.",
            labels=("projection", "ledger"),
        )  # fmt: skip
        stopped = GaugeMetricFamily(
            "execution_ledger_projection_stopped", "1 where it waits for a retry.", labels=("projection", "ledger")
        )
        for each in self._statuses:
            lag.add_metric((each.projection, each.ledger), each.lag)
            stopped.add_metric((each.projection, each.ledger), each.stopped)
        yield lag
        yield stopped
        for name, text, value_of in _OF_ENDPOINTS:
            gauge = GaugeMetricFamily(f"execution_ledger_webhook_{name}", text, labels=("ledger", "endpoint"))
            for endpoint in self._endpoints:
                gauge.add_metric((endpoint.ledger, endpoint.endpoint_id), value_of(endpoint))
            yield gauge
        audited = self._audited
        for name, text, value in (
            ("executions", "Executions that were verified in the background.", audited.executions),
            ("mismatches", "Differences that this found.", audited.mismatches),
            ("failures", "Samples that could not be verified.", audited.failures),
        ):
            yield CounterMetricFamily(f"execution_ledger_audited_{name}", text, value=value)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that it is not asked for its numbers when it is registered."""
        return ()
