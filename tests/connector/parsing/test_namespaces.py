"""The one flat namespace of an operation: inputs, their places, and what the connection fills (language rules 4 to 6)."""

from __future__ import annotations

from typing import Any

import pytest

from connector.parsing.connectors import read_connector
from connector.parsing.namespaces import Usage
from connector.templates import Template
from tests.doubles.operations import AT, document, read

TOKEN = {"method": "bearer", "params": {"token": "{{apiToken}}"}}


def test_inputs_of_all_places_are_one_flat_namespace() -> None:
    source = {
        "path": {"value": "/{{id}}", "placeholders": {"id": {"type": "ID"}}},
        "headers": {"X-A": {"value": "{{a}}", "placeholders": {"a": {"type": "Int", "default": "1"}}}},
        "queryParams": {"q": {"type": "Bool"}},
        "bodyTemplate": {"value": {"b": "{{b}}", "again": "{{id}}"}, "placeholders": {"b": {"type": "Any"}}},
    }
    operation, problems = read(source)
    assert [(name, each.type, each.required) for name, each in operation.inputs.items()] == [
        ("id", "String", True),
        ("a", "Integer", False),
        ("q", "Boolean", False),
        ("b", "Any", False),
    ]
    assert operation.places == {"id": ("path", "body"), "a": ("header",), "q": ("query",), "b": ("body",)}
    assert problems == []


def test_a_path_always_needs_its_value_unless_it_has_a_default() -> None:
    placeholders = {"a": {"type": "ID"}, "b": {"type": "ID", "default": "x"}, "c": {"type": "ID"}}
    operation, _ = read({"path": {"value": "/{{a}}/{{b}}?c={{c}}", "placeholders": placeholders}})
    assert {name: each.required for name, each in operation.inputs.items()} == {"a": True, "b": False, "c": False}
    assert operation.places == {"a": ("path",), "b": ("path",), "c": ("query",)}


def test_an_undeclared_placeholder_is_required_and_typed_by_its_place() -> None:
    source = {"path": "/{{a}}", "bodyTemplate": {"b": "{{b}}", "c": "x {{c}}", "d": {"$if": "d"}}}
    operation, problems = read(source)
    assert [(name, each.type, each.required) for name, each in operation.inputs.items()] == [
        ("a", "String", True),
        ("b", "Any", True),
        ("c", "String", True),
        ("d", "Any", True),
    ]
    assert problems == [("W_UNDECLARED", "/path")] + [("W_UNDECLARED", "/bodyTemplate")] * 3


def test_T58_of_an_undeclared_placeholder_only_its_name_is_said() -> None:
    _, problems = read_connector(document({"path": "/{{who}}"}, headers={"X-Secret": "canary"}))
    [problem] = [each for each in problems if each.code == "W_UNDECLARED"]
    assert problem.message == "'who' is used and declared nowhere"
    assert "canary" not in repr(problem)


def test_a_placeholder_that_is_used_nowhere_is_inert_and_a_lint_where_it_is_declared() -> None:
    placeholders = [{"name": "x", "type": "ID", "required": True, "default": "d"}]
    operation, problems = read({"path": {"value": "/x", "placeholders": placeholders}})
    assert (operation.inputs["x"].required, operation.inputs["x"].default) == (False, None)
    assert "x" not in operation.places
    assert problems == [("W_UNUSED", "/path/placeholders/0")]


def test_of_a_broken_operation_nobody_says_what_it_does_not_use() -> None:
    path = {"value": "/{{ x.y }}", "placeholders": {"x": {"type": "ID"}}}
    _, problems = read_connector(document({"path": path}))
    assert [each.code for each in problems] == ["E_TEMPLATE_GRAMMAR"]


def test_the_same_name_twice_is_one_input_and_required_if_either_is() -> None:
    source = {
        "path": {"value": "/x", "placeholders": {}},
        "headers": {"X-A": {"value": "{{a}}", "placeholders": {"a": {"type": "ID"}}}},
        "bodyTemplate": {"value": {"a": "{{a}}"}, "placeholders": {"a": {"type": "String", "required": True}}},
    }
    operation, problems = read(source)
    assert (list(operation.inputs), operation.inputs["a"].required, problems) == (["a"], True, [])


def test_two_types_for_one_name_are_a_lint_and_the_first_counts() -> None:
    source = {
        "queryParams": {"a": {"type": "Int"}},
        "bodyTemplate": {"value": ["{{a}}"], "placeholders": {"a": {"type": "ID"}}},
    }
    operation, problems = read(source)
    assert operation.inputs["a"].type == "Integer"
    assert problems == [("W_CONFLICT", "/bodyTemplate/placeholders/a")]


def test_the_first_type_decides_on_a_quoted_slot_too() -> None:
    body = {"bodyTemplate": {"value": '{"a": "{{a}}"}', "placeholders": {"a": {"type": "String"}}}}
    listed, _ = read({"queryParams": {"a": {"type": "Array"}}, **body})
    text, _ = read({"queryParams": {"a": {"type": "String"}}, **body})
    assert listed.body is not None
    assert text.body is not None
    assert listed.body.encode({"a": ["b"]}) == b'{"a":["b"]}'
    assert text.body.encode({"a": "b"}) == b'{"a":"b"}'


HOST = {"baseURL": "https://demo.example/{{account}}"}


def declared(value: str, **placeholders: str) -> dict[str, Any]:
    return {"value": value, "placeholders": {name: {"type": kind} for name, kind in placeholders.items()}}


@pytest.mark.parametrize(
    ("source", "inputs", "bound", "shadowed"),
    [
        ({"path": "/{{account}}"}, [], {"account"}, set()),
        ({"path": declared("/{{account}}", account="ID")}, [], {"account"}, set()),
        ({"headers": {"X-A": declared("{{account}}", account="ID")}}, [], {"account"}, set()),
        ({"bodyTemplate": {"a": "{{account}}"}}, [], {"account"}, set()),
        ({"queryParams": {"a": "{{account}}"}}, [], {"account"}, set()),
        ({"queryParams": {"account": {"type": "ID"}}}, ["account"], set(), set()),
        ({"bodyTemplate": declared('["{{account}}"]', account="ID")}, ["account"], set(), set()),
        ({"path": declared("?a={{account}}", account="ID")}, ["account"], set(), set()),
        (
            {"path": "/{{account}}", "bodyTemplate": declared('["{{account}}"]', account="ID")},
            ["account"],
            set(),
            {"account"},
        ),
        ({"path": "/{{account}}", "bodyTemplate": declared("[]", account="ID")}, [], {"account"}, set()),
    ],
    ids=[
        "path",
        "path, declared",
        "header, declared",
        "body",
        "query",
        "query, declared",
        "body, declared",
        "query of a path, declared",
        "path, and declared in the body",
        "path, declared in the body and not used there",
    ],
)
def test_a_value_of_the_connection_is_known_by_its_bare_name(
    source: dict[str, Any], inputs: list[str], bound: set[str], shadowed: set[str]
) -> None:
    operation, _ = read(source, **HOST)
    assert (list(operation.inputs), operation.from_connection, operation.shadowed) == (inputs, bound, shadowed)


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ({"path": "/x/{{apiToken}}"}, "/path"),
        ({"bodyTemplate": {"prompt": "{{apiToken}}"}}, "/bodyTemplate"),
        ({"queryParams": {"key": "{{apiToken}}"}}, "/queryParams/key"),
    ],
)
def test_T10_a_credential_outside_auth_is_a_lint(source: dict[str, Any], pointer: str) -> None:
    operation, problems = read(source, auth=TOKEN)
    assert operation.from_connection == {"apiToken"}
    assert problems == [("W_SECRET_OUTSIDE_AUTH", pointer)]


BASIC = {"method": "basic", "params": {"username": "{{account}}", "password": "{{secret}}"}}


@pytest.mark.parametrize(
    ("name", "auth", "lints"),
    [
        ("account", BASIC, 0),
        ("secret", BASIC, 1),
        ("account", {"method": "basic", "params": {"username": "{{account}}"}}, 1),
    ],
    ids=["a user name", "a password", "T10 a user name that is the key"],
)
def test_a_user_name_beside_a_password_may_stand_outside_auth(name: str, auth: dict[str, Any], lints: int) -> None:
    operation, problems = read({"path": f"/x/{{{{{name}}}}}"}, auth=auth)
    assert operation.from_connection == {name}
    assert problems == [("W_SECRET_OUTSIDE_AUTH", "/path")] * lints


def test_T10_a_credential_that_the_path_takes_while_the_body_has_its_own_is_one_too() -> None:
    source = {"path": "/{{apiToken}}", "bodyTemplate": declared('["{{apiToken}}"]', apiToken="ID")}
    operation, problems = read(source, auth=TOKEN)
    assert (operation.shadowed, problems) == ({"apiToken"}, [("W_SECRET_OUTSIDE_AUTH", "/path")])


def test_an_input_of_the_callers_own_may_be_called_as_a_credential() -> None:
    operation, problems = read({"bodyTemplate": declared('["{{apiToken}}"]', apiToken="ID")}, auth=TOKEN)
    assert (list(operation.inputs), problems) == (["apiToken"], [])


def test_names_are_gathered_with_their_place() -> None:
    usage = Usage()
    usage.add("header", Template.from_text("{{a}}-{{b}}-{{a}}"), {}, AT)
    assert usage.used == [("header", "a", "String", AT), ("header", "b", "String", AT)]
