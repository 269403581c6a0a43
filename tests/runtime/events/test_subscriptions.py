"""Subscriptions: what an operator may state, when a delivery is tried again, and what is secret about an endpoint."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event

from connector.errors import ConfigurationError, InputError
from connector.messages import Event
from runtime.config.keys import Key, Keys
from runtime.config.store import Store
from runtime.documents import event_document
from runtime.events.subscriptions import (
    JITTER,
    RETRY_TABLE,
    Endpoint,
    Endpoints,
    new_secret,
    next_wait,
    read_subscription,
)
from runtime.journal.entries import EXHAUSTED, Filter
from tests.doubles.journals import SUCCEEDED

DATA = {"id": "job-1", "status": "SUCCESS", "total": 2, "done": True}
EVENT = Event(
    id="evt_1", source="/mistral-ai/team-b", type=SUCCEEDED, subject="job-1", time="2026-11-26T08:00:00Z", data=DATA
)
URL = "https://example.com/hook"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"connection": "*", "trigger": "*"}, True),
        ({"connection": "mistral-ai:team-b"}, True),
        ({"connection": "mistral-ai"}, False),
        ({"trigger": SUCCEEDED}, True),
        ({"trigger": ["files/file.deleted", SUCCEEDED]}, True),
        ({"trigger": [EXHAUSTED, "*"]}, True),
        ({"trigger": "batch-jobs/batch_job.failed"}, False),
        ({"where": {"status": "SUCCESS"}}, True),
        ({"where": {"status": ["FAILED", "SUCCESS"], "total": 2}}, True),
        ({"where": {"status": "SUCCESS", "total": 3}}, False),
        ({"where": {"total": "2"}}, False),
        ({"where": {"done": 1}}, False),
        ({"where": {"absent": None}}, False),
        ({"where": {"status": []}}, False),
    ],
)
def test_a_subscription_asks_for_connection_trigger_and_values_of_fields(
    wanted: dict[str, Any], expected: bool
) -> None:
    subscription, _ = read_subscription({"url": URL, **wanted})
    assert subscription.filter.matches("mistral-ai:team-b", EVENT) is expected


def test_events_of_the_runtime_itself_are_given_only_to_who_names_them() -> None:
    event = Event(
        id="evt_2", source="/mistral-ai/default", type=EXHAUSTED, subject="dlv_1", time="2026-11-26T08:00:00Z", data={}
    )
    wanting = [Filter(), Filter(triggers=("*",)), Filter(triggers=(EXHAUSTED,)), Filter(triggers=("*", EXHAUSTED))]
    assert [each.matches("mistral-ai", event) for each in wanting] == [False, False, True, True]


def test_everything_wrong_with_a_subscription_is_said_at_once() -> None:
    source = {
        "trigger": 7,
        "rate": 0,
        "ordered": 1,
        "where": [],
        "colour": "red",
        "headers": {"Host": "x", "X-A": "a\r\nb", "Webhook-Id": "1", "X-B": 5, "X-Good": "yes"},
    }
    with pytest.raises(InputError) as raised:
        read_subscription(source)
    names = [each.name for each in raised.value.errors]
    assert names == ["trigger", "rate", "ordered", "where", "colour", "url", *["headers"] * 4]


@pytest.mark.parametrize("source", [None, [], URL, {"url": ""}, {"url": 5}, {"url": URL, "rate": True}])
def test_what_is_no_subscription_is_refused(source: Any) -> None:
    with pytest.raises(InputError, match=r"url|rate"):
        read_subscription(source)


def test_the_retry_table_ends_after_75_hours_35_minutes_and_5_seconds() -> None:
    waits = [next_wait(attempts, 0.0) for attempts in range(11)]
    assert waits == [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, None]
    assert sum(RETRY_TABLE) == (75 * 60 + 35) * 60 + 5


@pytest.mark.parametrize("attempts", range(10))
def test_a_wait_is_jittered_and_never_shorter_than_the_table(attempts: int) -> None:
    assert next_wait(attempts, 1.0) == pytest.approx(RETRY_TABLE[attempts] * (1 + JITTER))


@pytest.mark.parametrize(("told", "expected"), [(None, 5), (0.0, 5), (1.0, 5), (60.0, 60), (999_999_999.0, 86400)])
def test_T76_what_a_subscriber_asks_for_makes_a_wait_longer_within_bounds(told: float | None, expected: float) -> None:
    assert next_wait(1, 0.0, told) == expected


def test_a_rotated_secret_signs_beside_the_new_one_for_a_day() -> None:
    first = Endpoint("https://example.com/", (("whsec_b2xk", None),))
    second = first.rotated(1000.0)
    newest = second.secrets[0][0]
    assert second.signing(1000.0) == (newest, "whsec_b2xk")
    assert second.signing(1000.0 + 86400) == (newest,)
    third = second.rotated(2000.0)
    assert third.signing(2000.0) == (third.secrets[0][0], newest, "whsec_b2xk")
    assert third.rotated(200_000.0).signing(200_000.0)[1:] == (third.secrets[0][0],)


def test_a_new_secret_is_one_that_standard_webhooks_takes() -> None:
    secret = new_secret()
    assert secret != new_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert standardwebhooks.Webhook(secret).sign("evt_1", datetime.datetime.now(datetime.UTC), "{}").startswith("v1,")


def test_an_endpoint_is_kept_encrypted_and_comes_back_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "secrets.json", Keys({"CONNECTOR_KEY": Key.generate().to_text()}))
    subscription, endpoint = read_subscription({"url": f"{URL}?token=canary", "headers": {"X-Key": "canary"}})
    assert (subscription.url, subscription.headers) == (f"{URL}?…", ("X-Key",))
    assert "canary" not in repr(subscription) + repr(endpoint)
    endpoints = Endpoints(store)
    endpoints.save(subscription.id, endpoint)
    assert Endpoints(store).find(subscription.id) == endpoint
    endpoints.save(subscription.id, endpoint.rotated(0.0))
    assert endpoints.find(subscription.id) != endpoint
    text = store.path.read_text("utf-8")
    assert "canary" not in text
    assert "whsec_" not in text
    endpoints.remove(subscription.id)
    with pytest.raises(ConfigurationError, match="is not in the encrypted store"):
        endpoints.find(subscription.id)


def test_without_a_store_there_is_no_endpoint() -> None:
    endpoints = Endpoints(None)
    with pytest.raises(ConfigurationError, match="no encrypted store"):
        endpoints.save("sub_1", read_subscription({"url": URL})[1])
    endpoints.remove("sub_1")
    with pytest.raises(ConfigurationError, match="is not in the encrypted store"):
        endpoints.find("sub_1")


def test_an_event_has_the_json_form_of_cloudevents() -> None:
    body = json.dumps(event_document(EVENT, seq=42)).encode()
    judged = from_structured_event(HTTPMessage({"content-type": "application/cloudevents+json"}, body))
    assert judged.get_attributes()["subject"] == "job-1"
    assert judged.get_extension("sequence") == "00000000000000000042"
    assert judged.get_data() == DATA
    without = Event(id="evt_2", source=EVENT.source, type=SUCCEEDED, subject=None, time=EVENT.time, data={})
    assert "subject" not in event_document(without)
