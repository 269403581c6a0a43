"""`api-request`, which every connector has: any path, under the connection's auth, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.answers.kinds import RESPONSE_KINDS, kind_of
from connector.answers.mapping import map_response
from connector.errors import InputError
from connector.headers import Headers
from connector.messages import Request, Response
from connector.model.definition import CustomOperation
from connector.parsing.connectors import parse_connector
from connector.parsing.steps import load_built_in
from connector.protocols import Moment
from connector.requests.steps import run_steps

MOMENT = Moment(time=1_800_000_000.0, nonce="n-1")
BEARER = {"method": "bearer", "params": {"token": "{{token}}"}}


def custom_of(**service: Any) -> CustomOperation:
    block = {"baseURL": "https://api.example.com/v1", "auth": BEARER, **service}
    found = parse_connector({"handle": "demo", "service": block}).operation("api-request")
    assert isinstance(found, CustomOperation)
    return found


def build(inputs: dict[str, Any], **service: Any) -> Request:
    custom = custom_of(**service)
    config = custom.service.configure({"token": "secret-canary"})
    return config.auth.apply(next(run_steps(custom, inputs, config)).request, config.values, MOMENT)


def refusal(inputs: dict[str, Any], **service: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        build({"path": "/a", **inputs}, **service)
    assert "canary" not in str(caught.value)
    return caught.value


def test_every_connector_has_it_and_may_declare_its_own() -> None:
    assert list(custom_of().inputs) == ["method", "path", "query", "headers", "body"]
    own = {"handle": "api-request", "steps": [{"type": "http", "http": {"method": "GET", "path": "/own"}}]}
    connector = parse_connector({"handle": "demo", "service": {"baseURL": "https://a.example"}, "operations": [own]})
    assert connector.custom_operations["api-request"].inputs == {}
    assert list(load_built_in()) == ["api-request"]


def test_it_is_read_once_and_only_for_who_asks() -> None:
    operations = parse_connector({"handle": "demo", "service": {"baseURL": "https://a.example"}}).custom_operations
    assert (list(operations), len(operations), "api-request" in operations) == (["api-request"], 1, True)
    assert operations["api-request"] is operations["api-request"]
    assert operations.get("api-requests") is None


def test_it_goes_under_the_connections_auth_and_its_headers() -> None:
    request = build({"path": "/things/7"}, headers={"Accept": "application/json", "X-Version": "3"})
    assert (request.method, request.url, request.body) == ("GET", "https://api.example.com/v1/things/7", None)
    assert request.headers == {"Accept": "application/json", "X-Version": "3", "Authorization": "Bearer secret-canary"}


def test_a_query_is_spread_over_its_names() -> None:
    query = {"a b": "c&d", "list": [1, "x"], "flag": True, "no": None, "none": [], "deep": {"e": 1}}
    assert build({"path": "/a", "query": query}).url.partition("?")[2] == (
        "a%20b=c%26d&list=1&list=x&flag=true&deep=%7B%22e%22%3A1%7D"
    )
    assert "?" not in build({"path": "/a", "query": {"no": None}}).url


def test_headers_of_the_caller_win_over_those_of_the_service() -> None:
    request = build(
        {"path": "/a", "headers": {"accept": "text/csv", "X-N": 5, "X-Version": None}},
        headers={"Accept": "application/json", "X-Version": "3"},
    )
    assert request.headers == {"accept": "text/csv", "X-N": "5", "Authorization": "Bearer secret-canary"}


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", ":authority", "X A", ""])
def test_T27_a_header_that_frames_the_message_is_refused(name: str) -> None:
    assert [each.name for each in refusal({"headers": {name: "x"}}).errors] == ["headers"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "é", {"a": 1}, ["a"]])
def test_T26_a_header_value_that_no_header_carries_is_refused(value: Any) -> None:
    assert [each.name for each in refusal({"headers": {"X-A": value}}).errors] == ["headers"]


@pytest.mark.parametrize(
    ("auth", "inputs", "name"),
    [
        (BEARER, {"headers": {"authorization": "Bearer mine"}}, "headers"),
        ({"method": "apikey", "params": {"apikey": "{{token}}"}}, {"headers": {"x-api-KEY": "mine"}}, "headers"),
        ({**BEARER, "in": "cookie", "name": "sid"}, {"headers": {"Cookie": "sid=mine"}}, "headers"),
        ({**BEARER, "in": "query", "name": "key"}, {"query": {"key": "mine"}}, "query"),
    ],
)
def test_T36_the_credential_of_the_connection_cannot_be_replaced(auth: Any, inputs: dict[str, Any], name: str) -> None:
    found = refusal(inputs, auth=auth)
    assert [each.name for each in found.errors] == [name]
    assert "set by the auth of the connection" in found.message


@pytest.mark.parametrize(
    "path",
    ["https://evil.example", "//evil.example/", "@evil.example", ".evil.example/../..", "\\evil", "/a/%2e%2e/..", ""],
)
def test_T29_T30_a_path_leads_nowhere_else(path: str) -> None:
    assert [each.name for each in refusal({"path": path}).errors] == ["path"]


def test_T21_an_escape_in_a_path_is_escaped() -> None:
    assert build({"path": "/%2e%2e%2fadmin"}).url == "https://api.example.com/v1/%252e%252e%252fadmin"


@pytest.mark.parametrize(
    ("content_type", "body", "sent"),
    [
        (None, {"a": [1, None]}, '{"a":[1,null]}'),
        (None, "text", '"text"'),
        (None, False, "false"),
        ("application/merge-patch+json", {"a": 1}, '{"a":1}'),
        ("application/x-www-form-urlencoded", {"a": "b c", "d": {"e": [1, 2]}}, "a=b+c&d%5Be%5D=1&d%5Be%5D=2"),
        ("application/x-www-form-urlencoded", "a=b", "a=b"),
        ("application/x-ndjson", [{"a": 1}, 2], '{"a":1}\n2\n'),
        ("text/plain; charset=utf-8", "a\nb", "a\nb"),
        ("text/plain", 5, "5"),
        ("application/xml", "<a/>", "<a/>"),
    ],
)
def test_a_body_is_what_its_content_type_says(content_type: str | None, body: Any, sent: str) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    request = build({"method": "PUT", "path": "/a", "headers": headers, "body": body})
    assert (request.text, request.headers["content-type"]) == (sent, content_type or "application/json")


def test_the_content_type_of_the_service_counts_where_the_caller_says_none() -> None:
    request = build({"method": "POST", "path": "/a", "body": {"a": 1}}, contentType="application/x-www-form-urlencoded")
    assert (request.text, request.headers["content-type"]) == ("a=1", "application/x-www-form-urlencoded")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", "model/x"])
def test_a_body_that_cannot_be_what_its_content_type_says_is_refused(content_type: str) -> None:
    found = refusal({"method": "POST", "headers": {"Content-Type": content_type}, "body": {"a": 1}})
    assert [each.name for each in found.errors] == ["body"]


def test_without_a_body_nothing_says_that_there_is_one() -> None:
    assert "content-type" not in build({"method": "DELETE", "path": "/a"}).headers


# What is answered


@pytest.mark.parametrize(
    ("content_type", "body", "raw"),
    [
        ("application/json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/problem+json", b"[1]", [1]),
        ("", b'"text"', "text"),
        ("text/html", b"<p>", "<p>"),
        ("text/xml", b"<a>1</a>", {"a": "1"}),
        ("application/atom+xml", b"<a>1</a>", {"a": "1"}),
        ("text/event-stream", b'data: {"a": 1}\n\ndata: [DONE]\n\n', [{"a": 1}]),
        ("application/x-ndjson", b'{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("image/png", b"\x89PNG ", b"\x89PNG "),
        ("image/png", b" ", b" "),
        ("application/json", b"", None),
    ],
)
def test_an_answer_is_what_its_content_type_says(content_type: str, body: bytes, raw: Any) -> None:
    [call] = custom_of().calls
    headers = Headers({"Content-Type": content_type} if content_type else {})
    result = map_response(call, Response(200, headers, body))
    assert (result.ok, result.fields, result.records, result.raw) == (True, None, None, raw)


def test_a_declared_kind_is_no_question_of_the_content_type() -> None:
    assert [kind_of(kind, "text/plain") for kind in RESPONSE_KINDS if kind != "any"] == [
        kind for kind in RESPONSE_KINDS if kind != "any"
    ]


def test_headers_and_query_may_be_spread_in_any_operation() -> None:
    spread = {"placeholders": [{"name": "extra", "type": "Object", "explode": True}], "value": "{{extra}}"}
    operation = {
        "method": "POST",
        "headers": {"any": spread, "X-Fixed": "1"},
        "queryParams": {"meta": {"type": "Object", "explode": True}, "n": {"type": "Integer"}},
        "bodyTemplate": "{{body}}",
    }
    resource = {"handle": "a", "endpoint": "/a", "operations": {"do": operation}}
    source = {"handle": "demo", "service": {"baseURL": "https://api.example.com"}, "resources": [resource]}
    found = parse_connector(json.loads(json.dumps(source))).operations["a.do"]
    from connector.requests.build import build_request

    request = build_request(found, {"extra": {"X-A": "b"}, "meta": {"k": "v"}, "n": 1, "body": [1]}, {})
    assert request.url == "https://api.example.com/a?k=v&n=1"
    assert request.headers == {"X-Fixed": "1", "X-A": "b", "Content-Type": "application/json"}
    assert {name: each.type for name, each in found.inputs.items()} == {
        "extra": "Object",
        "meta": "Object",
        "n": "Integer",
        "body": "Any",
    }


def test_the_body_of_a_chosen_type_is_one_placeholder() -> None:
    spread = {"placeholders": [{"name": "extra", "type": "Object", "explode": True}], "value": "{{extra}}"}
    operation = {"method": "POST", "headers": {"any": spread}, "bodyTemplate": {"a": "{{b}}"}}
    resource = {"handle": "a", "endpoint": "/a", "operations": {"do": operation}}
    source = {"handle": "demo", "service": {"baseURL": "https://api.example.com"}, "resources": [resource]}
    from connector.parsing.connectors import read_connector

    assert [each.code for each in read_connector(source)[1]] == ["E_BODY"]


def test_no_value_of_the_connection_fills_its_inputs_whatever_it_is_called() -> None:
    names = ("method", "path", "query", "headers", "body", "region")
    params = [{"name": name, "type": "String", "default": f"of-{name}"} for name in names]
    service = {"params": params, "headers": {"X-Region": "{{region}}"}}
    assert list(custom_of(**service).inputs) == ["method", "path", "query", "headers", "body"]
    assert custom_of(**service).from_connection == {"region"}
    request = build({"method": "PUT", "path": "/things/7", "query": {"a": "b"}, "body": {"c": 1}}, **service)
    assert (request.method, request.url, request.body) == ("PUT", "https://api.example.com/v1/things/7?a=b", b'{"c":1}')
    assert request.headers["X-Region"] == "of-region"
