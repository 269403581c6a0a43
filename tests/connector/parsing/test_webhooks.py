"""Webhooks read from documents: their paths, handshakes and registrations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.errors import InvalidDefinition, UnknownOperation
from connector.parsing.connectors import find_problems, parse_connector
from tests.doubles.challenges import META, TWITTER, definition
from tests.doubles.definitions import SERVICE, THINGS, errors


@pytest.mark.parametrize(
    "path",
    [
        *("/webhooks/../admin", "/webhooks/./a", "/webhooks/%2e%2e/a", "/webhooks/{x}", "/webhooks/a b"),
        *("/admin", "webhooks/a", "/webhooks", "", "/webhooks/a?b", "/webhooks/a#b", "/webhooks/é", "/webhooks/a\\b"),
        "/webhooks//a",
    ],
    ids=lambda path: f"T12 {path!r}",
)
def test_a_webhook_path_is_a_plain_route_below_webhooks(path: str) -> None:
    webhooks = [{"event": "a", "path": path}]
    assert errors(SERVICE, [{**THINGS, "webhooks": webhooks}]) == [("E_WEBHOOK_PATH", "/0/webhooks/0/path")]


def test_two_webhooks_with_one_path_are_refused() -> None:
    webhooks = [{"event": event, "path": "/webhooks/a"} for event in ("a", "b", "c")]
    assert errors(SERVICE, [{**THINGS, "webhooks": webhooks}]) == [
        ("E_DOUBLED", "/0/webhooks/1/path"),
        ("E_DOUBLED", "/0/webhooks/2/path"),
    ]


def test_two_resources_may_use_the_same_event_name() -> None:
    other = {**THINGS, "handle": "others", "webhooks": [{"event": "made", "path": "/webhooks/demo/others/made"}]}
    connector = parse_connector(SERVICE, [THINGS, other])
    assert [each.id for each in connector.webhooks] == ["things/made", "others/made"]


def test_a_webhook_is_read_whole() -> None:
    poll = {"operation": "things.list", "interval": 60, "key": ["id"], "when": "new"}
    meta = {"short": "Made", "description": "A thing was made."}
    webhook = {**THINGS["webhooks"][0], "after": ["things.read"], "poll": poll, "meta": meta}
    [found] = parse_connector(SERVICE, [{**THINGS, "webhooks": [webhook]}]).webhooks
    assert (found.connector, found.resource, found.event, found.path) == ("demo", "things", "made", webhook["path"])
    assert found.poll is not None
    assert (found.after, found.poll.source, found.description) == (("things.read",), poll, "A thing was made.")
    assert [each.name for each in found.payload] == ["id"]


REGISTRATION = {
    "subscribe": {
        "method": "POST",
        "path": "/hooks",
        "bodyTemplate": {"url": "{{webhookUrl}}"},
        "fields": [{"name": "hookId", "type": "Integer", "selector": ["id"]}],
    },
    "renew": {"method": "PATCH", "path": "/hooks/{{hookId}}"},
    "unsubscribe": {"method": "DELETE", "path": "/hooks/{{hookId}}"},
    "renewEvery": 600,
}


def test_the_calls_that_ask_for_messages_are_operations_of_the_connector() -> None:
    webhooks = [THINGS["webhooks"][0] | REGISTRATION]
    connector = parse_connector(SERVICE, [{**THINGS, "webhooks": webhooks}])
    [found] = connector.webhooks
    assert found.registration is not None
    ids = ["things/made.subscribe", "things/made.unsubscribe", "things/made.renew"]
    assert [each.id for each in found.registration.operations()] == ids
    assert [field.name for field in found.registration.subscribe.fields] == ["hookId"]
    assert connector.operation("things/made.renew") is found.registration.renew
    assert found.registration.renew_every == 600
    assert not set(ids) & set(connector.operations)
    with pytest.raises(UnknownOperation):
        connector.operation("things/made.end")


def test_there_is_nothing_to_renew_where_nothing_is_asked_for() -> None:
    webhook = THINGS["webhooks"][0] | {"renew": REGISTRATION["renew"]}
    assert errors(SERVICE, [{**THINGS, "webhooks": [webhook]}]) == [("E_MISSING", "/0/webhooks/0")]


@pytest.mark.parametrize(
    ("challenge", "sentence"),
    [
        ({"query": "c", "answer": "{{token}}"}, "'token' cannot be answered; known: challenge, hmac"),
        ({"query": "c", "answer": {"a": "{{x}}"}}, "'x' cannot be answered; known: challenge, hmac"),
        ({"query": "c", "algorithm": "md5"}, "unknown algorithm 'md5'; known: sha1, sha256, sha512"),
        ({"query": "c", "encoding": "utf8"}, "unknown encoding 'utf8'; known: hex, base64"),
        ({"body": ["c"], "if": ["type"]}, "'if' and 'in' go together"),
        ({"body": ["c"], "in": ["x"]}, "'if' and 'in' go together"),
    ],
)
def test_a_handshake_that_means_nothing_is_refused(challenge: Any, sentence: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(definition(challenge))
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == ("E_CHALLENGE", sentence)
    assert problem.pointer == "/resources/0/webhooks/0/challenge"


def test_a_misshapen_handshake_is_pointed_at() -> None:
    for challenge, code in ((7, "E_SHAPE"), ({}, "E_MISSING"), ({"query": "c", "answer": {"a": 1}}, "E_SHAPE")):
        codes = [each.code for each in find_problems(json.dumps(definition(challenge)), kind="connector")]
        assert codes == [code]


def test_a_webhook_of_forms_cannot_answer_with_a_signature() -> None:
    """Any token is a form as well: a field without a value."""
    form = {"contentType": "application/x-www-form-urlencoded"}
    (problem,) = find_problems(json.dumps(definition(TWITTER, **form)), kind="connector")
    assert (problem.code, "messages are forms" in problem.message) == ("E_CHALLENGE", True)
    assert find_problems(json.dumps(definition(META, **form)), kind="connector") == []


@pytest.mark.parametrize("kind", [{}, 1, ["json"]])
def test_a_kind_of_message_that_is_not_text_is_a_problem_of_the_shape(kind: Any) -> None:
    webhook = {"event": "made", "path": "/webhooks/demo/made", "contentType": [kind, "json"]}
    resource = {"handle": "things", "endpoint": "/things", "operations": {}, "webhooks": [webhook]}
    service = {"handle": "demo", "service": {"baseURL": "https://demo.example"}}
    with pytest.raises(InvalidDefinition) as caught:
        parse_connector(service, [resource])
    assert [each.code for each in caught.value.problems] == ["E_SHAPE"]


def test_what_the_runtime_fills_in_calls_that_register_a_webhook_needs_no_declaration() -> None:
    calls = {**REGISTRATION, "unsubscribe": {"method": "DELETE", "path": "/hooks/{{hookId}}/{{other}}"}}
    resource = {**THINGS, "webhooks": [{"event": "made", "path": "/webhooks/demo/things/made", **calls}]}
    problems = find_problems(json.dumps({**SERVICE, "resources": [resource]}), kind="connector")
    undeclared = [each.message for each in problems if each.code == "W_UNDECLARED" and "/webhooks/" in each.pointer]
    assert undeclared == ["'other' is used and declared nowhere"]
