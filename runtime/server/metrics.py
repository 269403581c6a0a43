"""What is counted for Prometheus: messages of webhooks, requests, and how the journal is.

A label is a handle, a status or a kind of request, never anything that a client chose, so their number is bounded and
no secret can be one (hazard T55).
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
        #: How many messages, by connector and status. A counter of the library has a lock, and takes ten times as long.
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
        """One message of a webhook was answered; told on the event loop alone."""
        self._messages[connector, status] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What `count_message` counted, as the library asks for it."""
        family = CounterMetricFamily(
            "connector_webhook_messages",
            "Messages that came to webhooks, by what was answered.",
            labels=("connector", "status"),
        )
        for (connector, status), count in self._messages.items():
            family.add_metric((connector, str(status)), count)
        yield family

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """One request to the interface was answered; `route` is its template."""
        self._requests.labels(route, str(status)).observe(seconds)

    def show(self, health: Health | None) -> bytes:
        """Everything, as Prometheus reads it."""
        for name, gauge in self._gauges.items():
            gauge.set(0.0 if health is None else float(getattr(health, name)))
        return generate_latest(self._registry)
