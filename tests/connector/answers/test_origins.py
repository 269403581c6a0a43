"""Values that are not in the body: headers and status of an answer; headers, query and path of a message."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from connector.answers.mapping import map_response
from connector.events.mapping import map_event
from connector.headers import Headers
from connector.messages import Request, Response
from connector.parsing.connectors import find_problems, parse_connector

FIELDS = [
    {"name": "id", "type": "Integer"},
    {"name": "location", "type": "String", "from": "headers", "convert": [{"after": "/v1/"}]},
    {"name": "total", "type": "Integer", "from": "headers", "selector": ["X-Total-Count"]},
    {"name": "code", "type": "Integer", "from": "status"},
]
HEAD = Headers({"LOCATION": "/v1/things/77", "x-total-count": "12", "content-type": "application/json"})


def definition(fields: Any, payload: Any = None, **members: Any) -> dict[str, Any]:
    read = {"method": "GET", "fields": fields, **members}
    hook = {"event": "made", "path": "/webhooks/demo/made", "payload": payload or [], "contentType": ["json", "none"]}
    things = {"handle": "things", "endpoint": "/things", "operations": {"read": read}, "webhooks": [hook]}
    return {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [things]}


def mapped(body: bytes, status: int = 200, headers: Headers = HEAD, **members: Any) -> Any:
    operation = parse_connector(definition(FIELDS, **members)).operations["things.read"]
    return map_response(operation, Response(status, headers, body))


def test_report_37_fields_select_in_the_head_of_an_answer() -> None:
    result = mapped(b'{"id": 7}', 201)
    assert result.fields == {"id": 7, "location": "things/77", "total": 12, "code": 201}
    assert list(result.fields) == ["id", "location", "total", "code"]
    assert result.warnings == ()


@pytest.mark.parametrize(("body", "status"), [(b"", 201), (b"", 204), (b"ignored", 204)])
def test_report_37_an_answer_without_a_body_has_the_fields_of_its_head(body: bytes, status: int) -> None:
    assert mapped(body, status).fields == {"id": None, "location": "things/77", "total": 12, "code": status}


def test_a_list_has_the_values_of_the_head_in_each_record() -> None:
    records = mapped(b'[{"id": 1}, {"id": 2}]', records=[]).records
    assert [(each["id"], each["total"]) for each in records] == [(1, 12), (2, 12)]


def test_what_is_not_there_is_null_and_what_does_not_fit_is_reported() -> None:
    headers = Headers({"content-type": "application/json", "x-total-count": "many"})
    result = mapped(b'{"id": 7}', headers=headers)
    assert result.fields == {"id": 7, "location": None, "total": "many", "code": 200}
    assert result.warnings == ("field 'total' stays raw: expected an integer, got other text",)


def test_an_answer_whose_fields_are_all_in_its_head_may_be_anything() -> None:
    operation = parse_connector(definition(FIELDS[1:])).operations["things.read"]
    result = map_response(operation, Response(200, HEAD, b"5"))
    assert (result.fields["total"], result.raw) == (12, 5)


def test_a_failure_has_no_fields() -> None:
    assert mapped(b'{"id": 7}', 404).fields is None


PAYLOAD = [
    {"name": "id", "type": "String"},
    {"name": "state", "type": "String", "from": "headers", "selector": ["X-Goog-Resource-State"]},
    {"name": "team", "type": "String", "from": "query", "selector": ["team"]},
    {"name": "last", "type": "String", "from": "path", "selector": [-1]},
]


@pytest.mark.parametrize(("body", "id"), [(b'{"id": "a"}', "a"), (b"", None)])
def test_report_22_payload_fields_select_in_the_head_of_a_message(body: bytes, id: str | None) -> None:
    (webhook,) = parse_connector(definition(FIELDS, PAYLOAD)).webhooks
    headers = Headers({"x-goog-resource-state": "exists"})
    request = Request("POST", "https://x.example/webhooks/demo/made?team=b%20c", headers=headers, body=body)
    event = map_event(webhook, request, now=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    assert event.data == {"id": id, "state": "exists", "team": "b c", "last": "made"}


@pytest.mark.parametrize(
    ("field", "member"),
    [
        ({"from": "query"}, "from"),
        ({"from": "headers", "selector": ["a", "b"]}, "selector"),
        ({"from": "headers", "selector": "$..a"}, "selector"),
    ],
)
def test_an_origin_that_an_answer_does_not_have_is_a_problem(field: dict[str, Any], member: str) -> None:
    text = json.dumps(definition([{"name": "a", "type": "String", **field}]))
    (found,) = (each for each in find_problems(text, kind="connector") if each.code == "E_FROM")
    assert found.pointer == f"/resources/0/operations/read/fields/0/{member}"
