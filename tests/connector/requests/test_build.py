"""The way out: inputs and a connection's values become one request, or every problem of the inputs at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from connector.errors import InputError, MissingCredentials
from connector.headers import Headers
from connector.messages import Request, Stream
from connector.model.definition import Connector
from connector.parsing.connectors import parse_connector
from connector.requests.build import build_request


def demo(operation: Mapping[str, Any], *, endpoint: str = "/things", **service: Any) -> Connector:
    """A connector of one operation, `things.do`."""
    block = {"baseURL": "https://api.example.com/v1", **service}
    resource = {
        "handle": "things",
        "meta": {"short": "Things"},
        "endpoint": endpoint,
        "fields": [],
        "operations": {"do": {"method": "POST", **operation}},
    }
    return parse_connector({"handle": "demo", "service": block, "resources": [resource]})


def build(connector: Connector, inputs: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Request:
    return build_request(connector.operation("things.do"), inputs, config or {})


def problems(connector: Connector, inputs: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        build(connector, inputs, config)
    return caught.value


TOKEN = {"method": "api_token", "params": {"token": "{{apiToken}}"}}


def test_the_published_chat_call_is_what_its_page_says(mistral: Connector) -> None:
    request = build_request(
        mistral.operation("chat-completions.create"),
        {"model": "m", "content": "hi", "maxTokens": "5"},
        {"apiToken": "k"},
    )
    assert request == Request(
        "POST",
        "https://api.mistral.ai/v1/chat/completions",
        headers=Headers({"Accept": "application/json", "Content-Type": "application/json"}),
        body=b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.7,"max_tokens":5}',
    )


def test_T13_a_value_neither_replaces_nor_adds_a_member(mistral: Connector) -> None:
    content = 'x"}], "model":"mistral-large","tools":[{"a":"b'
    request = build_request(
        mistral.operation("chat-completions.create"), {"model": "m", "content": content}, {"apiToken": "k"}
    )
    assert request.json == {
        "model": "m",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0.7,
        "max_tokens": 1024,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("content", "\ud800", id="T14-lone surrogate"),
        pytest.param("temperature", '0.7, "n": 1000', id="T15"),
        pytest.param("temperature", "NaN", id="T16-NaN"),
        pytest.param("temperature", float("inf"), id="T16-Infinity"),
        pytest.param("temperature", "1e999", id="T16-1e999"),
        pytest.param("maxTokens", True, id="T17-True"),
        pytest.param("maxTokens", "", id="T17-empty"),
        pytest.param("maxTokens", 1.5, id="T17-1.5"),
        pytest.param("maxTokens", 10**5000, id="T17-10**5000"),
        pytest.param("maxTokens", 2**63, id="T17-2**63"),
        pytest.param("temperature", 1.6, id="T25-above its maximum"),
    ],
)
def test_an_ill_typed_input_is_refused_by_name(mistral: Connector, name: str, value: Any) -> None:
    inputs = {"model": "m", "content": "c", name: value}
    with pytest.raises(InputError) as caught:
        build_request(mistral.operation("chat-completions.create"), inputs, {"apiToken": "k"})
    assert [name] == [error.name for error in caught.value.errors]


def test_T18_an_absent_optional_input_takes_its_member_with_it(mistral: Connector) -> None:
    request = build_request(
        mistral.operation("fim-completions.create"), {"model": "m", "prompt": "p"}, {"apiToken": "k"}
    )
    assert request.json == {"model": "m", "prompt": "p", "max_tokens": 256, "temperature": 0}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("..", id="T19-dots"),
        pytest.param(".", id="T19-dot"),
        pytest.param("", id="T19-empty"),
        pytest.param("a\r\nHost: x", id="T23-line break"),
        pytest.param("a\tb", id="T23-TAB"),
        pytest.param("a\0", id="T23-NUL"),
        pytest.param("a\u202eb", id="T23-bidi"),
    ],
)
def test_an_id_that_would_change_the_path_is_refused(mistral: Connector, value: str) -> None:
    with pytest.raises(InputError) as caught:
        build_request(mistral.operation("files.delete"), {"fileId": value}, {"apiToken": "k"})
    assert [error.name for error in caught.value.errors] == ["fileId"]


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        pytest.param("../../admin", "..%2F..%2Fadmin", id="T20"),
        pytest.param("%2e%2e%2fadmin", "%252e%252e%252fadmin", id="T21"),
        pytest.param("a?x=1#f", "a%3Fx%3D1%23f", id="T22"),
    ],
)
def test_an_id_is_one_segment(mistral: Connector, value: str, segment: str) -> None:
    request = build_request(mistral.operation("files.delete"), {"fileId": value}, {"apiToken": "k"})
    assert request.url == f"https://api.mistral.ai/v1/files/{segment}"


def test_T24_a_query_value_is_one_pair(mistral: Connector) -> None:
    request = build_request(mistral.operation("files.list"), {"search": "a&page_size=999#f"}, {"apiToken": "k"})
    assert request.url == "https://api.mistral.ai/v1/files?search=a%26page_size%3D999%23f"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unknown", "1"),
        ("page", ["1"]),
        ("page", "1.5"),
        ("purpose", "x"),
        ("source", ["upload", "x"]),
        ("source", "upload"),
    ],
    ids=["T25-undeclared", "T25-list", "T25-1.5", "T25-no option", "T25-one is no option", "T25-text for a list"],
)
def test_a_query_value_that_is_not_declared_so_is_refused(mistral: Connector, name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        build_request(mistral.operation("files.list"), {name: value}, {"apiToken": "k"})
    assert [name] == [error.name for error in caught.value.errors]


def test_T25_a_value_below_its_minimum_is_refused() -> None:
    connector = demo({"queryParams": {"page": {"type": "Integer", "minimum": 0}}})
    assert problems(connector, {"page": -1}).message == "things.do: page: expected at least 0"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0"], ids=["T26-CRLF", "T26-LF", "T26-NUL"])
def test_a_header_value_with_a_line_break_is_refused(value: str) -> None:
    connector = demo({"headers": {"X-Trace": "t {{trace}}"}})
    assert [error.name for error in problems(connector, {"trace": value}).errors] == ["trace"]


def test_every_problem_is_reported_at_once() -> None:
    connector = demo({"path": "/{{id}}", "queryParams": {"page": {"type": "Integer"}}})
    error = problems(connector, {"page": "x", "pgae": 1})
    assert sorted((each.name, each.message) for each in error.errors) == [
        ("id", "id is missing: a required String"),
        ("page", "page: expected an integer, got other text"),
        ("pgae", "pgae is not an input of this operation"),
    ]
    assert error.hint.startswith("did you mean 'page'? known: ")


def test_an_unknown_input_lists_the_known_ones() -> None:
    assert problems(demo({"queryParams": {"page": {"type": "Integer"}}}), {"zzz": 1}).hint == "known: page"
    assert problems(demo({}), {"zzz": 1}).hint == "this operation has no inputs"


def test_none_is_not_supplied_but_empty_zero_and_false_are() -> None:
    query = {
        name: {"type": kind} for name, kind in (("a", "String"), ("b", "Integer"), ("c", "Boolean"), ("d", "String"))
    }
    request = build(demo({"queryParams": query}), {"a": "", "b": 0, "c": False, "d": None})
    assert request.url == "https://api.example.com/v1/things?a=&b=0&c=false"


def test_an_explicit_null_is_sent_only_where_it_is_declared() -> None:
    body = {
        "value": '{"a": {{a}}, "b": {{b}}}',
        "placeholders": [{"name": "a", "type": "Integer", "nullable": True}, {"name": "b", "type": "Integer"}],
    }
    assert build(demo({"bodyTemplate": body}), {"a": None, "b": None}).json == {"a": None}


def test_a_default_satisfies_required() -> None:
    query = {"page": {"type": "Integer", "required": True, "default": "3"}}
    assert build(demo({"queryParams": query}), {}).url == "https://api.example.com/v1/things?page=3"


def test_a_required_query_parameter_is_asked_for() -> None:
    connector = demo({"queryParams": {"q": {"type": "String", "required": True}}})
    assert [error.name for error in problems(connector, {}).errors] == ["q"]


def test_a_list_repeats_its_key_and_an_absent_one_none(mistral: Connector) -> None:
    request = build_request(
        mistral.operation("files.list"), {"source": ["upload", "mistral"], "page": 0}, {"apiToken": "k"}
    )
    assert request.url == "https://api.mistral.ai/v1/files?page=0&source=upload&source=mistral"


def test_the_path_is_appended_and_never_joined() -> None:
    connector = demo({"path": "/{{id}}:cancel?force=true"}, endpoint="/things")
    assert build(connector, {"id": "a b"}).url == "https://api.example.com/v1/things/a%20b:cancel?force=true"


def test_one_name_is_one_input_wherever_it_stands() -> None:
    connector = demo({"path": "/{{id}}", "headers": {"X-Id": "{{id}}"}, "bodyTemplate": {"id": "{{id}}"}})
    request = build(connector, {"id": "7"})
    assert request.url.endswith("/things/7")
    assert request.headers["X-Id"] == "7"
    assert request.json == {"id": "7"}


def test_the_operations_header_wins_over_the_services_whatever_the_case() -> None:
    connector = demo(
        {"headers": {"accept": "text/csv", "X-Version": 2, "X-Gone": "{{gone}}"}}, headers={"Accept": "a", "X-S": True}
    )
    connector_headers = build(connector, {"gone": "x"}).headers
    assert connector_headers == {"accept": "text/csv", "X-Version": "2", "X-S": "true", "X-Gone": "x"}


def test_a_content_type_goes_only_with_a_body() -> None:
    assert "content-type" not in build(demo({"method": "GET"}, contentType="application/json"), {}).headers
    assert (
        build(demo({"bodyTemplate": "{}"}, contentType="application/json"), {}).headers["content-type"]
        == "application/json"
    )


def test_a_body_that_is_left_out_whole_is_no_body_and_has_no_type() -> None:
    body = {"value": "{{payload}}", "placeholders": [{"name": "payload", "type": "Object"}]}
    request = build(demo({"bodyTemplate": body}), {})
    assert request.body is None
    assert "content-type" not in request.headers
    assert build(demo({"bodyTemplate": body}), {"payload": {}}).body == b"{}"


def test_a_body_value_that_cannot_be_sent_names_its_input() -> None:
    body = {"value": '{"file": "{{file}}"}', "placeholders": [{"name": "file", "type": "File", "required": True}]}
    assert [error.name for error in problems(demo({"bodyTemplate": body}), {"file": b"\xff"}).errors] == ["file"]


def test_a_value_of_the_connection_fills_the_path_and_is_not_asked_for() -> None:
    connector = demo({"path": "/bot{{apiToken}}/send"}, auth=TOKEN)
    assert build(connector, {}, {"apiToken": "k"}).url == "https://api.example.com/v1/things/botk/send"


def test_a_value_of_the_connection_may_still_be_passed() -> None:
    connector = demo({"path": "/bot{{apiToken}}/send"}, auth=TOKEN)
    request = build(connector, {"apiToken": "mine"}, {"apiToken": "k"})
    assert request.url.endswith("/botmine/send")
    assert build(connector, {"apiToken": "mine"}).url.endswith("/botmine/send")
    assert build(connector, {"apiToken": None}, {"apiToken": "k"}).url.endswith("/botk/send")
    assert [error.name for error in problems(connector, {"apiToken": 5.5e300j}, {"apiToken": "k"}).errors] == [
        "apiToken"
    ]


def test_T10_a_credential_is_masked_wherever_it_stands() -> None:
    operation = {
        "path": "/x/{{apiToken}}",
        "headers": {"X-T": "{{apiToken}}"},
        "bodyTemplate": '{"prompt": "{{apiToken}}"}',
    }
    connector = demo(operation, auth=TOKEN)
    for inputs in ({}, {"apiToken": "other-canary"}):
        request = build(connector, inputs, {"apiToken": "sk-canary"})
        masked = request.masked()
        assert "canary" not in f"{request!r} {masked.url} {dict(masked.headers)} {masked.text}"
        assert masked.json == {"prompt": "***"}


def test_T10_a_credential_travels_to_the_origin_of_its_connection_only() -> None:
    connector = demo({"path": "/x/{{apiToken}}"}, auth=TOKEN)
    config = connector.service.configure({"apiToken": "k"}, base_url="http://127.0.0.1:9000/v1/")
    assert build_request(connector.operation("things.do"), {}, config).url == "http://127.0.0.1:9000/v1/things/x/k"


def test_a_secret_of_another_connection_is_never_reachable() -> None:
    connector = demo({"path": "/x/{{otherToken}}"}, auth=TOKEN)
    assert [error.name for error in problems(connector, {}, {"apiToken": "k", "otherToken": "secret"}).errors] == [
        "otherToken"
    ]


TWILIO: dict[str, Any] = {
    "auth": {"method": "basic", "params": {"username": "{{accountSid}}", "password": "{{token}}"}},
}


def test_in_url_and_headers_a_shared_name_is_the_connections_in_the_body_the_callers() -> None:
    body = {
        "value": '{"sid": "{{accountSid}}"}',
        "placeholders": [{"name": "accountSid", "type": "String", "required": True}],
    }
    connector = demo({"path": "/{{accountSid}}", "bodyTemplate": body}, **TWILIO)
    request = build(connector, {"accountSid": "sub"}, {"accountSid": "AC1", "token": "t"})
    assert request.url.endswith("/things/AC1")
    assert request.json == {"sid": "sub"}


def test_a_shared_name_that_the_connection_lacks_is_not_taken_from_the_body() -> None:
    body = {
        "value": '{"sid": "{{accountSid}}"}',
        "placeholders": [{"name": "accountSid", "type": "String", "required": True}],
    }
    connector = demo({"path": "/{{accountSid}}", "bodyTemplate": body}, **TWILIO)
    with pytest.raises(MissingCredentials, match="accountSid"):
        build(connector, {"accountSid": "sub"}, {"token": "t"})


def test_a_missing_value_of_the_connection_is_named() -> None:
    connector = demo({"path": "/{{apiToken}}"}, auth=TOKEN)
    error = problems(connector, {})
    assert isinstance(error, MissingCredentials)
    assert [each.name for each in error.errors] == ["apiToken"]


@pytest.mark.parametrize("required", [True, False])
def test_a_missing_host_part_is_asked_of_the_connection(required: bool) -> None:
    base = {
        "value": "https://{{store}}.example.com/admin",
        "placeholders": [{"name": "store", "type": "String", "required": required}],
    }
    connector = demo({}, baseURL=base)
    assert [error.name for error in problems(connector, {}).errors] == ["store"]
    assert build(connector, {}, {"store": "my-shop"}).url == "https://my-shop.example.com/admin/things"


def test_an_optional_value_of_the_connection_may_be_missing() -> None:
    params = [{"name": "team", "type": "String"}]
    connector = demo({"headers": {"X-Team": "{{team}}"}}, params=params)
    assert "x-team" not in build(connector, {}).headers
    assert build(connector, {}, {"team": "a"}).headers["X-Team"] == "a"


@pytest.mark.parametrize("path", ["@evil.example/", ".evil.example/", ":443@evil.example/"])
def test_T30_a_path_that_would_extend_the_host_is_refused(path: str) -> None:
    # With a base URL from the connection this cannot be seen at load.
    connector = demo(
        {"path": ":{{x}}"},
        endpoint="",
        baseURL={"value": "{{base}}", "placeholders": [{"name": "base", "type": "String", "required": True}]},
    )
    error = problems(connector, {"x": path}, {"base": "https://api.example.com"})
    assert error.message == "things.do: the URL would lead away from https://api.example.com"


def test_the_connections_values_may_come_checked_or_plain() -> None:
    connector = demo({})
    operation = connector.operation("things.do")
    assert build_request(operation, {}, {}) == build_request(operation, {}, connector.service.configure({}))


class Source:
    """What stands for a file that is read while it is sent."""

    name = "a.csv"

    def __fspath__(self) -> str:
        return "a.csv"


@pytest.mark.parametrize(
    ("content_type", "template"),
    [("multipart/form-data", {"a": "1", "file": "{{file}}"}), ("application/octet-stream", "{{file}}")],
)
def test_a_file_that_is_not_in_memory_stays_a_source(content_type: str, template: Any) -> None:
    source = Source()
    body = {"value": template, "placeholders": [{"name": "file", "type": "File"}]}
    operation = {"method": "POST", "headers": {"Content-Type": content_type}, "bodyTemplate": body}
    resource = {"handle": "a", "meta": {"short": "A"}, "endpoint": "/a", "fields": [], "operations": {"b": operation}}
    connector = parse_connector(
        {"handle": "demo", "service": {"baseURL": "https://x.example"}, "resources": [resource]}
    )
    request = build_request(connector.operation("a.b"), {"file": source}, {})
    assert isinstance(request.body, Stream)
    assert source in request.body.pieces
    assert request.headers["content-type"].startswith(content_type)
    in_memory = build_request(connector.operation("a.b"), {"file": b"x"}, {})
    assert isinstance(in_memory.body, bytes)
    assert build_request(connector.operation("a.b"), {}, {}).body != in_memory.body
