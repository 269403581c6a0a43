"""Custom operations and their steps, read from documents."""

from __future__ import annotations

from typing import Any

import pytest

from connector.errors import InputError
from connector.parsing.connectors import read_connector
from tests.doubles.definitions import STEP, errors
from tests.doubles.steps import http, mime, needs, problems, read, run

PLAIN: dict[str, Any] = {"handle": "demo", "service": {"baseURL": "https://demo.example/v1"}}


def test_a_custom_operation_is_read_with_its_steps() -> None:
    custom = {
        "handle": "send",
        "meta": {"short": "Send", "description": "Sends."},
        "input": [
            {"name": "to", "type": "String", "required": True, "meta": {"label": "To", "default": "a@b.c"}},
            {"name": "path", "type": "String", "required": True},
        ],
        "output": [{"name": "id", "type": "ID", "selector": []}],
        "steps": [
            {"type": "mime_build", "mime_build": {"to": "{{to}}", "subject": "s", "body": "b", "output": "raw"}},
            {
                "type": "http",
                "http": {
                    "method": {"value": "{{method}}", "placeholders": {"method": {"type": "ID", "options": ["GET"]}}},
                    "path": "{{path}}",
                    "headers": {"Content-Type": "application/json"},
                    "bodyTemplate": {"raw": "{{raw}}"},
                },
            },
        ],
    }
    for operations in ([custom], {"send": custom}):
        connector, problems = read_connector(PLAIN, operations=operations, lint=True)
        assert (connector is not None, problems) == (True, [])
        assert connector is not None
        operation = connector.custom_operations["send"]
        assert (operation.handle, operation.short, operation.description) == ("send", "Send", "Sends.")
        assert (operation.inputs["to"].default, operation.inputs["to"].label) == ("a@b.c", "To")
        assert [type(step).__name__ for step in operation.steps] == ["MimeStep", "HttpStep"]
        assert [each.name for each in operation.output] == ["id"]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"type": "http", "http": {"method": "{{ a.b }}"}}, ("E_TEMPLATE_GRAMMAR", "/http/method")),
        ({"type": "http", "http": {"method": "GET", "path": "{{ a|e }}"}}, ("E_TEMPLATE_GRAMMAR", "/http/path")),
        ({"type": "http", "http": {"method": "GET", "path": "https://evil.example"}}, ("E_URL", "/http/path")),
        ({"type": "http", "http": {"method": "GET", "path": "/../x"}}, ("E_URL", "/http/path")),
        ({"type": "http", "http": {"method": "GET", "bodyTemplate": "{"}}, ("E_BODY", "/http/bodyTemplate")),
        ({"type": "http", "http": {"method": "GET", "headers": {"Host": "x"}}}, ("E_HEADER", "/http/headers/Host")),
        (
            {"type": "mime_build", "mime_build": {"to": "{{ a() }}", "subject": "", "body": ""}},
            ("E_TEMPLATE_GRAMMAR", "/mime_build/to"),
        ),
    ],
)
def test_the_templates_of_steps_are_checked_at_load(step: dict[str, Any], problem: tuple[str, str]) -> None:
    assert errors(PLAIN, operations=[{"handle": "a", "steps": [STEP, step]}]) == [
        (problem[0], f"/0/steps/1{problem[1]}")
    ]


def test_custom_operations_have_one_handle_each_over_all_documents() -> None:
    custom = {"handle": "a", "steps": [STEP]}
    assert errors({**PLAIN, "operations": [custom]}, operations=[custom]) == [("E_DOUBLED", "/0/handle")]


def test_inputs_of_custom_operations_are_checked_where_they_stand() -> None:
    source = [{"handle": "a", "input": [{"name": "n", "type": "Int", "meta": {"default": "x"}}], "steps": [STEP]}]
    assert errors(PLAIN, operations=source) == [("E_DEFAULT", "/0/input/0/meta/default")]


@pytest.mark.parametrize("method", ["{{how}}", "{{how}}X", "GET POST", {"value": "{{how}}"}])
def test_a_method_that_could_be_anything_is_refused(method: Any) -> None:
    assert ("E_METHOD", "/steps/0/http/method" + ("/value" if isinstance(method, dict) else "")) in problems(
        http(method)
    )


def test_an_option_that_is_no_method_is_refused() -> None:
    assert ("E_METHOD", "/steps/0/http/method") in problems(http("{{how}}"), input=[needs("how", options=["G T"])])
    assert ("E_METHOD", "/steps/0/http/method") in problems(http("{{how}}"), input=[needs("how", options=["TRACE"])])


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example/x", "//evil.example", "@evil.example/", ":443@evil.example", "\\@evil.example/"),
        *("/a\\..\\b", "", "..", "/../x", "/a/./b", "/a//b", "/a?b=c", "/a#b", "/a\r\nHost: x"),
    ],
)
def test_T29_T30_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    custom = read(http("GET", "{{path}}"), input=[needs("path")])
    with pytest.raises(InputError, match="path: "):
        run(custom, {"path": path})


def test_a_name_that_nobody_provides_is_an_input_and_a_warning() -> None:
    steps = [mime(subject="{{a}}"), http("GET", "/{{b}}")]
    assert problems(*steps) == [
        ("W_UNDECLARED", "/steps/0/mime_build/subject"),
        ("W_UNDECLARED", "/steps/1/http/path"),
    ]
    assert {name: each.required for name, each in read(*steps).inputs.items()} == {"a": True, "b": True}


def test_a_name_that_a_later_step_provides_is_not_known_yet() -> None:
    assert problems(http("GET", "/{{raw}}"), mime()) == [("W_UNDECLARED", "/steps/0/http/path")]


def test_an_input_that_no_step_uses_is_a_warning() -> None:
    assert problems(http(), input=[needs("a")]) == [("W_UNUSED", "/input/0")]


def test_what_a_step_declares_itself_is_an_input_too() -> None:
    path = {"value": "/{{a}}", "placeholders": [{"name": "a", "type": "Integer"}]}
    custom = read(http("GET", path))
    assert problems(http("GET", path)) == []
    assert (custom.inputs["a"].type, custom.inputs["a"].required) == ("Integer", True)
    declared = {"to": {"value": "{{to}}", "placeholders": [{"name": "to", "type": "String"}]}}
    assert problems(mime(**declared)) == []


def test_a_credential_in_a_message_is_a_warning() -> None:
    assert problems(mime(body="{{token}}")) == [("W_SECRET_OUTSIDE_AUTH", "/steps/0/mime_build/body")]
