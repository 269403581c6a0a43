"""Events of our own making."""

from __future__ import annotations

import datetime
from typing import Any

from connector.definitions import Webhook
from connector.parsing import parse_connector
from connector.synthesis import after_call, after_poll, event_id

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
    assert made.dedupe == "r1"
    assert (made.event.type, made.event.source, made.event.subject) == ("things/made", SOURCE, "t1")
    assert (made.event.time, made.event.data) == ("2026-11-26T12:00:00Z", {"id": "t1", "size": 7})


def test_T74_two_calls_that_answer_the_same_are_two_events() -> None:
    made = [after_call(webhook(), {"bytes": 7}, source=SOURCE, run=run, now=NOW) for run in ("r1", "r2")]
    assert len({each.event.id for each in made if each is not None}) == 2
    assert [each.event.subject for each in made if each is not None] == [None, None]


def test_a_thing_that_we_made_and_then_see_in_a_poll_is_one_event() -> None:
    hook = webhook(after=["things.create"], poll={"operation": "things.list"})
    called = after_call(hook, {"id": "t1", "bytes": 7}, source=SOURCE, run="r1", now=NOW)
    polled = after_poll(hook, {"id": "t1", "bytes": 7}, source=SOURCE, key="t1", transition="new", now=NOW)
    assert called is not None
    assert (called.event.id, called.dedupe) == (polled.event.id, "t1:new") == (polled.event.id, polled.dedupe)


def test_an_own_call_that_tells_nothing_yet_makes_no_event() -> None:
    hook = webhook(after=["things.create"], poll=POLL)
    assert after_call(hook, {"id": "t1", "state": "NEW"}, source=SOURCE, run="r1", now=NOW) is None
    assert after_call(hook, {"state": "DONE"}, source=SOURCE, run="r1", now=NOW) is None
    assert after_call(webhook(), "text", source=SOURCE, run="r1", now=NOW) is None
    assert after_call(webhook(payload=[]), None, source=SOURCE, run="r1", now=NOW) is not None


def test_T64_an_id_differs_by_connection_trigger_and_what_happened() -> None:
    ids = {
        event_id(source, trigger, dedupe)
        for source in ("/demo/default", "/demo/b")
        for trigger in ("things/made", "things/gone")
        for dedupe in ("t1:new", "t2:new")
    }
    assert len(ids) == 8
    assert event_id(SOURCE, "things/made", "t1:new") in ids


def test_T78_an_id_is_plain_whatever_its_parts_hold() -> None:
    made = event_id("/demo/\r\n", "things.é/made", "\ud800")
    assert made.isascii()
    assert made.removeprefix("evt_").isalnum()
    assert len(made) == 36
