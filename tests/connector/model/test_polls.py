"""What a webhook's `poll` says, read and decided."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import InvalidDefinition
from connector.model.polls import Poll
from connector.parsing.connectors import parse_connector

SERVICE = {"handle": "demo", "service": {"baseURL": "https://demo.example"}}


def read(poll: Any) -> Poll:
    webhook = {"event": "made", "path": "/webhooks/demo/made", "poll": poll}
    operations = {"list": {"method": "GET", "records": ["data"]}}
    resource = {"handle": "things", "endpoint": "/things", "operations": operations, "webhooks": [webhook]}
    [found] = parse_connector(SERVICE, [resource]).webhooks
    assert found.poll is not None
    return found.poll


def test_only_the_operation_is_needed() -> None:
    found = read({"operation": "things.list"})
    assert (found.operation, found.interval, found.key.text, found.when, found.start) == (
        "things.list",
        60.0,
        "$.id",
        "new",
        "now",
    )


@pytest.mark.parametrize(
    ("poll", "code"),
    [
        ({}, "E_MISSING"),
        ({"operation": 7}, "E_SHAPE"),
        ({"operation": "things.list", "interval": 0}, "E_SHAPE"),
        ({"operation": "things.list", "interval": True}, "E_SHAPE"),
        ({"operation": "things.list", "interval": "60"}, "E_SHAPE"),
        ({"operation": "things.list", "inputs": ["a"]}, "E_SHAPE"),
        ({"operation": "things.list", "key": "a..b"}, "E_SELECTOR"),
        ({"operation": "things.list", "start": "later"}, "E_POLL"),
        ({"operation": "things.list", "when": "old"}, "E_POLL"),
        ({"operation": "things.list", "when": {"selector": ["status"]}}, "E_POLL"),
        ({"operation": "things.list", "when": {"selector": ["status"], "in": []}}, "E_POLL"),
        ({"operation": "things.list", "when": {"in": ["DONE"]}}, "E_POLL"),
        ({"operation": "things.list", "when": {"selector": "a..b", "in": ["DONE"]}}, "E_SELECTOR"),
    ],
)
def test_a_poll_that_cannot_be_understood_is_refused_at_its_place(poll: Any, code: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        read(poll)
    found = [each for each in caught.value.problems if each.code == code]
    assert found
    assert all(each.pointer.startswith("/0/webhooks/0/poll") for each in found)


@pytest.mark.parametrize(
    ("record", "key"),
    [({"id": "a"}, "a"), ({"id": 7}, "7"), ({"id": ""}, None), ({"id": None}, None), ({"id": [1]}, None), ([], None)],
)
def test_a_key_is_text_or_a_number_and_never_empty(record: Any, key: str | None) -> None:
    assert read({"operation": "things.list"}).find_key(record) == key


def test_P6_a_state_is_news_only_where_it_is_listed_and_true_is_not_one() -> None:
    poll = read({"operation": "things.list", "when": {"selector": ["state"], "in": ["DONE", 1]}})
    states = ["DONE", "RUNNING", 1, True, None]
    assert [poll.find_transition({"state": state}) for state in states] == ["DONE", None, "1", None, None]


def test_what_is_new_is_new_whatever_else_it_is() -> None:
    poll = read({"operation": "things.list", "when": "new"})
    assert {poll.find_transition({"id": "a"}), poll.find_transition({"id": "a", "n": 1})} == {"new"}


def test_a_change_is_told_by_what_the_record_holds_not_by_the_order_of_its_members() -> None:
    poll = read({"operation": "things.list", "when": "changed"})
    one, same, other = ({"a": 1, "b": "\ud800"}, {"b": "\ud800", "a": 1}, {"a": 2, "b": "\ud800"})
    assert poll.find_transition(one) == poll.find_transition(same)
    assert poll.find_transition(one) != poll.find_transition(other)
