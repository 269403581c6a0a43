"""Events: made from inbound messages, from calls and from polls."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from connector.errors import MappingError
from connector.events.mapping import after_call, after_poll, map_event
from connector.headers import Headers
from connector.messages import Request
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


LOCAL = NOW.astimezone(datetime.timezone(datetime.timedelta(hours=2)))


def arrived(body: bytes | None, **headers: str) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "https://h/webhooks/demo/made", headers=Headers(fields), body=body)


def test_a_message_becomes_an_event_of_its_trigger() -> None:
    event = map_event(webhook(), arrived(b'{"id": 7, "bytes": "2"}', webhook_id="msg_1"), now=LOCAL)
    assert event.id == "msg_1"
    assert event.type == "things/made"
    assert event.source == "/demo/default"
    assert event.subject == "7"
    assert event.time == "2026-11-26T12:00:00Z"
    assert event.data == {"id": "7", "size": 2}


@pytest.mark.parametrize("given_id", ["", "a.b", "a\nb", "é", "x" * 129])
def test_T78_an_id_that_is_none_is_made_from_route_body_and_time(given_id: str) -> None:
    ids = {
        map_event(webhook(), arrived(body, webhook_id=given_id), now=now).id
        for body, now in ((b"{}", NOW), (b"{}", NOW), (b"{ }", NOW), (b"{}", NOW + datetime.timedelta(seconds=1)))
    }
    assert len(ids) == 3
    assert all(len(each) == 36 and each.startswith("evt_") for each in ids)


def test_an_event_without_an_id_field_has_no_subject() -> None:
    sized = webhook(payload=[{"name": "bytes", "type": "Integer"}])
    assert map_event(sized, arrived(b'{"bytes": 1}'), now=NOW).subject is None


@pytest.mark.parametrize("body", [b"notjson", b"[" * 100_000, b"\xff", b"5", b"", None])
def test_T60_a_message_that_cannot_be_read_is_refused(body: bytes | None) -> None:
    with pytest.raises(MappingError, match=r"things/made: the body of the message"):
        map_event(webhook(), arrived(body), now=NOW)


def test_an_event_without_payload_fields_takes_any_json() -> None:
    assert map_event(webhook(payload=[]), arrived(b"5"), now=NOW).data == {}


def test_a_form_that_repeats_a_selected_field_is_refused() -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert map_event(webhook(), arrived(b"id=1&x=1&x=2", **form), now=NOW).data == {"id": "1", "size": None}
    with pytest.raises(MappingError, match="'id' more than once"):
        map_event(webhook(), arrived(b"id=1&id=2", **form), now=NOW)
