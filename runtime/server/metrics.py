"""Metrics for Prometheus: messages of webhooks, requests, and the state of the journal.

A label is a handle, a status or a route, never anything that a client chose, so their number is bounded and none can be
a secret (hazard T55).
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from runtime.journal.entries import Health

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics(Collector):
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        #: Messages by connector and status. A counter of the library has a lock, and takes ten times as long.
        self._messages = collections.Counter[tuple[str, int]]()
        self._registry.register(self)
        self._requests = Histogram(
            "connector_api_request_seconds",
            "Requests to the interface, by route and status.",
            ("route", "status"),
            registry=self._registry,
        )
        gauges = {
            "events": "The last sequence number of the journal.",
            "pending": "Deliveries that wait for their next attempt.",
            "oldest_pending": "Seconds since the oldest pending delivery was made.",
            "dead": "Deliveries that were given up.",
            "clock_skew": "Seconds by which the wall clock left the steady one since the start.",
            "ready": "1 if the journal takes events.",
        }
        self._gauges = {
            name: Gauge(f"connector_journal_{name}", text, registry=self._registry) for name, text in gauges.items()
        }

    def count_message(self, connector: str, status: int) -> None:
        """Counts an answered message of a webhook; only called on the event loop."""
        self._messages[connector, status] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What `count_message` counted, in the form of the library."""
        family = CounterMetricFamily(
            "connector_webhook_messages",
            "Messages that came to webhooks, by what was answered.",
            labels=("connector", "status"),
        )
        for (connector, status), count in self._messages.items():
            family.add_metric((connector, str(status)), count)
        yield family

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answered request to the interface; `route` is its template."""
        self._requests.labels(route, str(status)).observe(seconds)

    def show(self, health: Health | None) -> bytes:
        """All metrics in the text format of Prometheus."""
        for name, gauge in self._gauges.items():
            gauge.set(0.0 if health is None else float(getattr(health, name)))
        return generate_latest(self._registry)
