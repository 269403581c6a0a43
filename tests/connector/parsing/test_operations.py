"""How an operation is put together: path, query, headers, body, and its one flat namespace of inputs."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import MissingCredentials
from connector.model.service import Service
from connector.parsing.connectors import find_problems, read_connector
from connector.parsing.operations import NOWHERE, Endpoint, check_path, read_operation
from connector.parsing.reader import Reader
from connector.requests.build import build_request
from connector.templates import Template
from tests.doubles.operations import AT, document, read


def refusals(source: dict[str, Any], endpoint: Any = "/things", **service: Any) -> list[tuple[str, str]]:
    connector, problems = read_connector(document(source, endpoint, **service))
    assert connector is None
    return [(each.code, each.pointer.removeprefix("/resources/0")) for each in problems if each.is_error]


def path_of(source: dict[str, Any], endpoint: Any = "/things") -> tuple[Any, Any]:
    connector, problems = read_connector(document(source, endpoint))
    assert connector is not None, problems
    operation = connector.operation("things.do")
    return operation.path.path.parts, [(pair.name, pair.value.parts) for pair in operation.query]


# What is read


def test_an_operation_is_complete_after_it_is_read() -> None:
    source = {
        "method": "patch",
        "meta": {"short": "Do", "description": "Does it."},
        "path": "/{{id}}",
        "fields": [{"name": "own", "type": "ID"}],
        "records": ["data"],
        "response": "text",
    }
    operation, problems = read(source)
    assert (operation.id, operation.name, operation.method) == ("things.do", "do", "PATCH")
    assert (operation.short, operation.description) == ("Do", "Does it.")
    assert [each.name for each in operation.fields] == ["own"]
    assert operation.records is not None
    assert (operation.records.text, operation.response, operation.lists) == ("$.data", "text", True)
    assert problems == [("W_UNDECLARED", "/path")]


def test_fields_of_the_resource_serve_an_operation_without_its_own() -> None:
    whole = document({})
    whole["resources"][0]["fields"] = [{"name": "shared", "type": "ID"}]
    connector, _ = read_connector(whole)
    assert connector is not None
    assert [each.name for each in connector.operation("things.do").fields] == ["shared"]


def test_an_unknown_kind_of_response_is_an_error_with_a_hint() -> None:
    _, problems = read_connector(document({"response": "jsno"}))
    assert [each.code for each in problems] == ["E_RESPONSE_KIND"]
    assert problems[0].hint.startswith("did you mean 'json'? known: json, text, xml, ")


# Path and query


def test_the_path_is_plain_concatenation() -> None:
    assert path_of({"path": "/{{id}}/x"})[0][0] == "/things/"
    assert path_of({"path": ".json"})[0] == ("/things.json",)
    assert path_of({"path": ":cancel"})[0] == ("/things:cancel",)
    assert path_of({"path": "/a b/ü"}) == (("/things/a%20b/%C3%BC",), [])
    assert path_of({})[0] == ("/things",)


def test_a_query_in_a_path_becomes_pairs_and_keeps_its_escapes() -> None:
    path, query = path_of({"path": "?a=1&b={{x}}&c=x-{{y}}-z&f%5Bg%5D=h%20i&flag&&=v"})
    assert path == ("/things",)
    slot_x, slot_y = query[1][1][0], query[2][1][1]
    assert (slot_x.name, slot_y.name) == ("x", "y")
    assert query == [
        ("a", ("1",)),
        ("b", (slot_x,)),
        ("c", ("x-", slot_y, "-z")),
        ("f%5Bg%5D", ("h%20i",)),
        ("flag", ()),
        ("", ("v",)),
    ]


def test_a_query_may_begin_in_the_endpoint() -> None:
    assert path_of({"path": "&b=2?"}, "/things?a=1") == (("/things",), [("a", ("1",)), ("b", ("2%3F",))])
    assert path_of({"path": "", "queryParams": {"c": "3"}}, "?a=1") == ((), [("a", ("1",)), ("c", ("3",))])


@pytest.mark.parametrize("path", ["?{{x}}", "?{{x}}=1", "?a{{x}}=1", "?a=1&{{x}}{{y}}"])
def test_the_name_of_a_query_parameter_holds_no_placeholder(path: str) -> None:
    assert refusals({"path": path}) == [("E_URL", "/operations/do/path")]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("https://evil.example/x", id="T29 https"),
        pytest.param("HTTP://evil.example/x", id="T29 HTTP"),
        pytest.param("https:evil", id="T29 no slashes"),
        pytest.param("/../admin", id="T20 dots"),
        pytest.param("/%2e%2E/admin", id="T21 escaped dots"),
        pytest.param("/a/./b", id="T19 one dot"),
        pytest.param("/a#b", id="T22 fragment"),
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused_at_load(path: str) -> None:
    assert refusals({"path": path}) == [("E_URL", "/operations/do/path")]
    assert refusals({"path": {"value": path}}) == [("E_URL", "/operations/do/path/value")]
    if path.lower().startswith("http"):
        assert refusals({}, path) == [("E_URL", "/endpoint")]


@pytest.mark.parametrize(
    "endpoint",
    ["@evil.example/", ".evil.example/", "\\@evil.example/", "evil", "{{x}}", " /x", "/a/../b", "/a#b"],
    ids=lambda endpoint: f"T30 {endpoint}",
)
def test_an_endpoint_that_could_lead_elsewhere_is_refused_once_whatever_follows(endpoint: str) -> None:
    assert refusals({"path": "{{y}}"}, endpoint) == [("E_URL", "/endpoint")]
    assert refusals({"path": "{{y}}"}, {"value": endpoint}) == [("E_URL", "/endpoint/value")]


@pytest.mark.parametrize("base", ["https://demo.example", "https://{{shop}}.example"])
def test_T30_a_colon_after_a_host_would_be_its_port_and_is_refused(base: str) -> None:
    assert refusals({}, ":443@evil.example", baseURL=base) == [("E_URL", "/endpoint")]
    assert refusals({"path": ":443@evil.example"}, "", baseURL=base) == [("E_URL", "/operations/do/path")]


def test_a_colon_after_a_path_of_the_base_url_is_a_custom_verb() -> None:
    assert path_of({"path": ":batchGet"}, "")[0] == (":batchGet",)


def test_a_path_after_an_empty_endpoint_begins_with_a_slash() -> None:
    assert refusals({"path": "x"}, "") == [("E_URL", "/operations/do/path")]
    assert refusals({"path": "{{x}}"}, "") == [("E_URL", "/operations/do/path")]


def test_dots_that_only_the_whole_path_shows_are_refused() -> None:
    assert refusals({"path": "/x"}, "/things/.") == [("E_URL", "/endpoint")]
    assert path_of({"path": "./x"}, "/things")[0] == ("/things./x",)
    assert refusals({"path": "./x"}, "/things/") == [("E_URL", "/operations/do/path")]


def test_a_broken_endpoint_is_one_problem_for_all_its_operations() -> None:
    whole = document({"path": "{{id}}"}, {"value": "{{ a.b }}", "placeholders": {"a": {"type": "ID"}}})
    whole["resources"][0]["operations"]["more"] = {"method": "GET", "path": "{{id}}"}
    _, problems = read_connector(whole)
    assert [each.code for each in problems if each.is_error] == ["E_TEMPLATE_GRAMMAR"]


def test_a_path_value_of_several_segments_is_declared() -> None:
    source = {"path": {"value": "/{{key}}", "placeholders": {"key": {"type": "String", "multi": True}}}}
    assert read(source)[0].path.multi == {"key"}


def test_a_parameter_repeats_when_its_one_slot_is_an_array_wherever_that_is_declared() -> None:
    params = {
        "a": {"type": "Array"},
        "b": {"value": "{{list}}", "placeholders": {"list": {"type": "Array"}}},
        "c": {"type": "String"},
        "d": {"value": "x{{list}}"},
        "e": "{{list}}",
    }
    operation, _ = read({"queryParams": params})
    assert [pair.repeats for pair in operation.query] == [True, True, False, False, True]


# Headers


def test_an_object_explodes_into_parameters_beside_the_others() -> None:
    params = {"page": {"type": "Integer"}, "a b": {"type": "Object", "explode": True}, "c": {"type": "Object"}}
    operation, problems = read({"queryParams": params})
    assert problems == []
    assert [(pair.name, pair.explodes, sorted(pair.reserved)) for pair in operation.query] == [
        ("page", False, []),
        ("a%20b", True, ["c", "page"]),
        ("c", False, []),
    ]


def test_only_an_object_explodes() -> None:
    source = {"queryParams": {"a": {"type": "Array", "explode": True}, "b": {"type": "Array", "explode": False}}}
    assert refusals(source) == [("E_TYPE", "/operations/do/queryParams/a/explode")]


def test_an_operation_may_be_deprecated() -> None:
    assert [read(source)[0].deprecated for source in ({}, {"deprecated": True}, {"deprecated": False})] == [
        *(False, True, False),
    ]


def test_a_value_of_the_connection_fills_the_headers_of_its_service() -> None:
    optional = {"value": "{{account}}", "placeholders": [{"name": "account", "type": "String", "required": False}]}
    service = {
        "headers": {"X-Account": optional, "X-Region": "{{region}}"},
        "params": [{"name": "region", "type": "String", "required": True}],
    }
    found, problems = read({"headers": {"x-region": "own"}, "bodyTemplate": {"account": "{{account}}"}}, **service)
    assert (found.from_connection, found.shadowed) == ({"account"}, frozenset())
    assert problems == []
    assert build_request(found, {}, {"account": "a-1"}).headers["X-Account"] == "a-1"
    assert build_request(found, {"account": "a-2"}, {"account": "a-1"}).headers["X-Account"] == "a-2"
    assert "X-Account" not in build_request(found, {}, {}).headers
    with pytest.raises(MissingCredentials, match="region of the connection is not set"):
        build_request(read({}, **service)[0], {}, {})


def test_headers_of_the_operation_win_whatever_their_case() -> None:
    headers = {"Accept": "application/json", "X-Version": "1", "X-Other": "2"}
    operation, _ = read({"headers": {"x-version": 3}}, headers=headers)
    assert [(name, template.literal) for name, template in operation.headers] == [
        ("Accept", "application/json"),
        ("x-version", "3"),
        ("X-Other", "2"),
    ]
    assert operation.own_headers == {"x-version"}


def test_a_content_type_is_sent_only_with_a_body() -> None:
    headers = {"Content-Type": "application/json"}
    assert read({"headers": headers})[0].headers == ()
    assert read({"headers": headers, "bodyTemplate": None})[0].headers == ()
    assert read({"headers": headers, "bodyTemplate": ""})[0].headers == ()
    assert read({}, headers=headers, contentType="application/json")[0].headers == ()
    with_body, _ = read({"headers": headers, "bodyTemplate": "{}"})
    assert with_body.headers == (("Content-Type", Template(("application/json",))),)


@pytest.mark.parametrize(
    ("own", "of_service", "content_type", "effective"),
    [
        ("text/a", "text/b", "text/c", "text/a"),
        (None, "text/b", "text/c", "text/b"),
        (None, None, "text/c", "text/c"),
        (None, None, None, "application/json"),
    ],
)
def test_the_nearest_content_type_counts(own: Any, of_service: Any, content_type: Any, effective: str) -> None:
    source: dict[str, Any] = {"bodyTemplate": "{}"} | ({"headers": {"content-TYPE": own}} if own else {})
    service = {"headers": {"Content-Type": of_service}} if of_service else {}
    operation, _ = read(source, **service, **({"contentType": content_type} if content_type else {}))
    assert [template.literal for name, template in operation.headers if name.lower() == "content-type"] == [effective]
    assert operation.body is not None
    assert (operation.body.content_type == "application/json") == (effective == "application/json")


def test_a_kind_of_response_asks_for_it_unless_the_operation_does_so_itself() -> None:
    service = {"headers": {"Accept": "application/json"}}
    asked, _ = read({"response": "text"}, **service)
    assert dict(asked.headers)["Accept"].literal == "text/plain, */*;q=0.5"
    assert dict(read({"response": "empty"}, **service)[0].headers)["Accept"].literal == "application/json"
    assert dict(read({"response": "text", "headers": {"Accept": "a/b"}})[0].headers)["Accept"].literal == "a/b"


# Body


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_any_method_has_a_body_only_when_one_is_declared(method: str) -> None:
    assert read({"method": method})[0].body is None
    assert read({"method": method, "bodyTemplate": {"a": 1}})[0].body is not None


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ('{"a": "{{x}}"}', b'{"a":"1"}'),
        ({"a": "{{x}}"}, b'{"a":1}'),
        (["{{x}}", 2], b"[1,2]"),
        ({"value": {"a": "{{x}}"}, "placeholders": {"x": {"type": "Int"}}}, b'{"a":1}'),
        ({"value": '{"a": {{x}}}', "placeholders": [{"name": "x", "type": "Int"}], "note": "n"}, b'{"a":1}'),
        ({"value": '{"a": {{x}}}'}, b'{"a":1}'),
        ({"value": "{{x}}", "unit": "m"}, b'{"value":1,"unit":"m"}'),
    ],
)
def test_a_body_is_text_an_object_or_a_list_with_or_without_its_placeholders(template: Any, sent: bytes) -> None:
    body = read({"bodyTemplate": template})[0].body
    assert body is not None
    assert body.encode({"x": 1}) == sent


def test_an_object_with_a_condition_is_left_out_when_its_input_is_absent() -> None:
    template = {"value": {"a": {"$if": "x", "b": "{{x}}"}}, "placeholders": {"x": {"type": "Int"}}}
    operation, problems = read({"bodyTemplate": template})
    assert operation.body is not None
    assert (operation.body.encode({}), operation.body.encode({"x": 1})) == (b"{}", b'{"a":{"b":1}}')
    assert problems == []


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ('{"a": {{x}}, }', "E_BODY"),
        ('{"a": 1, "a": 2}', "E_BODY"),
        ('{"a": NaN}', "E_BODY"),
        ("{" + "[" * 600, "E_BODY"),
        ("[" * 600 + "]" * 600, "E_BODY"),
        ("1" * 5000, "E_BODY"),
        ('{"a": "{{ JSON body }}"}', "E_TEMPLATE_GRAMMAR"),
        ('{"a": {{ x|e }}}', "E_TEMPLATE_GRAMMAR"),
        ("{% raw %}", "E_TEMPLATE_GRAMMAR"),
    ],
)
def test_a_body_that_cannot_be_compiled_is_refused_with_the_right_code(template: str, code: str) -> None:
    assert refusals({"bodyTemplate": template}) == [(code, "/operations/do/bodyTemplate")]
    long = {"value": template, "placeholders": [{"name": "x", "type": "Int"}]}
    assert refusals({"bodyTemplate": long}) == [(code, "/operations/do/bodyTemplate/value")]


def test_a_refused_body_says_as_what_it_was_read() -> None:
    for service, kind in (({}, "JSON"), ({"contentType": "application/json"}, "application/json")):
        [problem] = read_connector(document({"bodyTemplate": "{"}, **service))[1]
        assert problem.hint == f"it is read as {kind}"


def test_in_a_body_of_json_every_bad_text_is_shown_where_it_stands() -> None:
    body = {"a": ["{{x}}", "{{ x.y }}"], "{{ z() }}": 1, "c": {"d": "{% e %}"}}
    assert refusals({"bodyTemplate": body}) == [
        ("E_TEMPLATE_GRAMMAR", "/operations/do/bodyTemplate/a/1"),
        ("E_TEMPLATE_GRAMMAR", "/operations/do/bodyTemplate/{{ z() }}"),
        ("E_TEMPLATE_GRAMMAR", "/operations/do/bodyTemplate/c/d"),
    ]


def test_a_body_has_at_most_two_hundred_placeholders() -> None:
    assert read({"bodyTemplate": [f"{{{{a{place}}}}}" for place in range(200)]})[0].body is not None
    too_many = [f"{{{{a{place}}}}}" for place in range(201)]
    assert refusals({"bodyTemplate": too_many}) == [("E_LIMIT", "/operations/do/bodyTemplate")]


def test_no_body_of_an_unknown_kind() -> None:
    source = {"headers": {"Content-Type": "application/x-unheard-of"}, "bodyTemplate": "x"}
    assert refusals(source) == [("E_BODY_KIND", "/operations/do/bodyTemplate")]


def key_body(*placeholders: dict[str, Any]) -> dict[str, Any]:
    return {"bodyTemplate": {"value": {"type": "x", "{{kind}}": 1}, "placeholders": list(placeholders)}}


def test_a_placeholder_as_a_key_declares_options_that_are_no_key_beside_it() -> None:
    operation, problems = read(key_body({"name": "kind", "type": "String", "options": ["url", "file"]}))
    assert operation.body is not None
    assert (operation.body.encode({"kind": "url"}), problems) == (b'{"type":"x","url":1}', [])


def test_a_key_without_options_or_with_one_that_clashes_is_refused() -> None:
    at = "/operations/do/bodyTemplate"
    assert refusals(key_body({"name": "kind", "type": "String"})) == [("E_BODY_KEY", f"{at}/placeholders/0")]
    assert refusals(key_body()) == [("E_BODY_KEY", f"{at}/value")]
    assert refusals(key_body({"name": "kind", "type": "String", "options": ["url", "type"]})) == [
        ("E_BODY_KEY", f"{at}/placeholders/0/options/1")
    ]


def test_a_key_may_be_declared_elsewhere_in_the_operation() -> None:
    path = {"value": "/{{kind}}", "placeholders": {"kind": {"type": "ID", "options": ["a"]}}}
    assert read({"path": path, **key_body()})[1] == []


def test_alone_a_document_of_resources_does_not_guess_the_kind_of_its_bodies() -> None:
    text = '[{"handle": "a", "endpoint": "/a", "operations": {"do": {"method": "POST", "bodyTemplate": "a={{a}}"%s}}}]'
    assert find_problems(text % "", kind="resources") == []
    found = find_problems(text % ', "headers": {"Content-Type": "application/json"}', kind="resources")
    assert [each.code for each in found] == ["E_BODY"]


# The namespace


# What the connection knows (language rule 6)


# The pieces by themselves


def test_an_operation_can_be_read_without_resource_and_service() -> None:
    operation = read_operation(Reader(), "x", {"method": "get", "path": "/y"}, AT, NOWHERE)
    assert (operation.method, operation.path.path.literal) == ("GET", "/y")


def test_what_a_path_is_appended_to_counts() -> None:
    reader = Reader()
    service = Service(connector="demo", base=Template(("https://demo.example",)))
    check_path(reader, Template(("x",)), AT, service, before=Endpoint(Template(("/a",))).template.parts)
    assert reader.findings == []
    check_path(reader, Template(("x",)), AT, service)
    assert [each.code for each in reader.findings] == ["E_URL"]


def test_an_operation_may_be_deprecated_and_an_input_may_keep_the_schema_of_its_value() -> None:
    shape = {"type": "object", "properties": {"city": {"type": "string"}}}
    operation, found = read(
        {
            "deprecated": True,
            "queryParams": {"near": {"type": "Object", "schema": shape}},
            "bodyTemplate": {"value": {"to": "{{to}}"}, "placeholders": [{"name": "to", "type": "Any", "schema": {}}]},
        }
    )
    assert (operation.deprecated, operation.inputs["near"].schema, operation.inputs["to"].schema) == (True, shape, {})
    assert found == []
    assert ("E_SHAPE", "/operations/do/deprecated") in refusals({"deprecated": "yes"})


# Methods


@pytest.mark.parametrize("method", ["GOT", "FETCH", "TRACE", "connect"])
def test_an_unknown_method_and_one_that_must_not_carry_credentials_are_refused(method: str) -> None:
    assert refusals({"method": method}) == [("E_METHOD", "/operations/do/method")]


def test_the_hint_for_an_unknown_method_names_the_most_similar_one() -> None:
    _, [problem] = read_connector(document({"method": "GOT"}))
    assert problem.hint == "did you mean 'GET'?"
