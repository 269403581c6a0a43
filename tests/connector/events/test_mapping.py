"""Events of our own making."""

from __future__ import annotations

import datetime
from typing import Any

from connector.events.mapping import after_call, after_poll
from connector.model.definition import Webhook
from connector.parsing.connectors import parse_connector

NOW = datetime.datetime(2026, 11, 26, 12, 0, tzinfo=datetime.UTC)
SOURCE = "/demo/default"


def webhook(**more: Any) -> Webhook:
    payload = [{"name": "id", "type": "String"}, {"name": "size", "type": "Integer", "selector": ["bytes"]}]
    hook = {"event": "made", "path": "/webhooks/demo/made", "payload": payload, **more}
    operations = {"list": {"method": "GET", "records": ["data"]}, "create": {"method": "POST"}}
    resource = {"handle": "things", "endpoint": "/things", "operations": operations, "webhooks": [hook]}
    service = {"handle": "demo", "service": {"baseURL": "https://demo.example"}}
    [found] = parse_connector(service, [resource]).webhooks
    return found


POLL = {"operation": "things.list", "when": {"selector": ["state"], "in": ["DONE"]}}


def test_a_call_makes_an_event_of_its_answer() -> None:
    made = after_call(webhook(), {"id": "t1", "bytes": "7", "more": 1}, source=SOURCE, run="r1", now=NOW)
    assert made is not None
    assert (made.id, made.type, made.source, made.subject) == ("r1", "things/made", SOURCE, "t1")
    assert (made.time, made.data) == ("2026-11-26T12:00:00Z", {"id": "t1", "size": 7})


def test_T74_two_calls_that_answer_the_same_are_two_events() -> None:
    made = [after_call(webhook(), {"bytes": 7}, source=SOURCE, run=run, now=NOW) for run in ("r1", "r2")]
    assert [(each.id, each.subject) for each in made if each is not None] == [("r1", None), ("r2", None)]


def test_a_thing_that_we_made_and_then_see_in_a_poll_is_one_event() -> None:
    hook = webhook(after=["things.create"], poll={"operation": "things.list"})
    called = after_call(hook, {"id": "t1", "bytes": 7}, source=SOURCE, run="r1", now=NOW)
    polled = after_poll(hook, {"id": "t1", "bytes": 7}, source=SOURCE, key="t1", transition="new", now=NOW)
    assert called == polled
    assert polled.id == "t1:new"


def test_an_own_call_that_tells_nothing_yet_makes_no_event() -> None:
    hook = webhook(after=["things.create"], poll=POLL)
    assert after_call(hook, {"id": "t1", "state": "NEW"}, source=SOURCE, run="r1", now=NOW) is None
    assert after_call(hook, {"state": "DONE"}, source=SOURCE, run="r1", now=NOW) is None
    assert after_call(webhook(), "text", source=SOURCE, run="r1", now=NOW) is None
    assert after_call(webhook(payload=[]), None, source=SOURCE, run="r1", now=NOW) is not None
