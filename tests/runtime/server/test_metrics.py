"""What is counted for Prometheus, and in which form."""

from __future__ import annotations

from runtime.journal.entries import Health
from runtime.server.metrics import Metrics


def test_messages_are_counted_by_connector_and_status() -> None:
    metrics = Metrics()
    for status in (202, 202, 401):
        metrics.count_message("demo", status)
    text = metrics.show(None).decode()
    assert 'connector_webhook_messages_total{connector="demo",status="202"} 2.0' in text
    assert 'connector_webhook_messages_total{connector="demo",status="401"} 1.0' in text


def test_requests_are_counted_by_the_template_of_their_route() -> None:
    metrics = Metrics()
    metrics.observe_request("/api/events/{id}", 404, 0.2)
    text = metrics.show(None).decode()
    assert 'connector_api_request_seconds_count{route="/api/events/{id}",status="404"} 1.0' in text
    assert 'connector_api_request_seconds_sum{route="/api/events/{id}",status="404"} 0.2' in text


def test_the_journal_is_at_zero_while_it_is_not_open() -> None:
    metrics = Metrics()
    health = Health(ready=True, problem="", events=7, pending=2, oldest_pending=1.5, dead=1, clock_skew=0.0)
    assert "connector_journal_events 7.0" in metrics.show(health).decode()
    closed = metrics.show(None).decode()
    assert ("connector_journal_events 0.0" in closed, "connector_journal_ready 0.0" in closed) == (True, True)
