"""Parameters and bodies become paths, queries, headers and body templates."""

from __future__ import annotations

from typing import Any

import pytest

from connector.requests.build import build_request
from tests.doubles.specifications import OBJECT, body, call, notes, only, render


def test_the_members_of_an_exploded_object_are_parameters_of_their_own() -> None:
    shape = {"type": "object", "properties": {"a": {"type": "string"}, "q": {"type": "integer"}, "b\n": {}}}
    imported = call(
        {"parameters": [{"name": "q", "in": "query", "schema": shape}, {"name": "r", "in": "query", "schema": shape}]}
    )
    assert list(only(imported)["queryParams"]) == ["a", "q"]
    assert len(notes(imported, "lost")) == 3


def test_paths_take_every_style_and_parameters_that_are_not_declared() -> None:
    labelled = {"name": "a", "in": "path", "style": "label", "schema": {"type": "array", "nullable": True}}
    matrix = {"name": "b", "in": "path", "style": "matrix", "schema": {"type": "string"}}
    imported = call({"parameters": [labelled, matrix, {"in": "path"}, "x"]}, "/x/{a}/y/{b}/z({c})/{c}", "get")
    assert render(imported, "x-y.read", a="1", b="2", c="3")[1] == "https://demo.example/x/.1/y/;b=2/z(3)/3"
    assert notes(imported, "guessed") == ["the path parameter 'c' is not declared; it is taken as text"]


def test_headers_and_cookies() -> None:
    def parameter(name: str, place: str, **members: Any) -> dict[str, Any]:
        return {"name": name, "in": place, "schema": {"type": "string"}, **members}

    parameters = [
        parameter("Accept", "header"),
        parameter("Host", "header"),
        parameter("X-Ids", "header", schema={"type": "array", "items": {"enum": ["a"]}}),
        parameter("sid", "cookie", required=True),
        parameter("theme", "cookie"),
        parameter("q", "body"),
    ]
    imported = call({"parameters": parameters}, method="get")
    operation = imported.connector.operation("things.read")
    request = build_request(operation, {"sid": "1", "xIds": "a,b"}, {})
    assert dict(request.headers) == {"Accept": "application/json", "X-Ids": "a,b", "Cookie": "sid=1"}
    assert len(notes(imported, "lost")) == 2


@pytest.mark.parametrize(
    ("request_body", "template", "guessed", "lost"),
    [
        (body({"type": "array"}), {"value": "{{body}}", "placeholders": [{"name": "body", "type": "Array"}]}, 0, 0),
        (body({}), {"value": "{{body}}", "placeholders": [{"name": "body", "type": "Any"}]}, 0, 0),
        (body({"type": "object", "properties": {"a": {"readOnly": True}}}), {"value": "{{body}}", "placeholders": [
            {"name": "body", "type": "Object", "schema": {"type": "object", "properties": {"a": {}}}}]}, 0, 0),
        (body({"type": "string"}, "text/csv"), {"value": "{{text}}", "placeholders": [{"name": "text", "type": "String"}]}, 0, 0),
        (body({}, "image/*"), {"value": "{{file}}", "placeholders": [{"name": "file", "type": "File"}]}, 0, 0),
        (body({}, "application/xml"), None, 0, 1),
        (body({"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]}), {"value": {"a": "x"}}, 1, 0),
        (body({"type": "object", "properties": {"a": {"const": "{{x}}"}}, "required": ["a"]}), {"value": {"a": "{{a}}"}, "placeholders": [
            {"name": "a", "type": "String", "required": True, "options": ["{{x}}"]}]}, 1, 0),
        (body({"type": "object", "properties": {"a": {"const": [1]}}}), {"value": {"a": "{{a}}"}, "placeholders": [
            {"name": "a", "type": "Any", "schema": {"enum": [[1]]}}]}, 0, 0),
        (body({"type": "object", "properties": {"$if": {}, "a": {}}, "additionalProperties": {"type": "string"}}),
         {"value": {"a": "{{a}}"}, "placeholders": [{"name": "a", "type": "Any"}]}, 0, 2),
        (body({"oneOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"type": "object", "properties": {"b": {}}}]}),
         {"value": {"a": "{{a}}", "b": "{{b}}"}, "placeholders": [{"name": "a", "type": "Any"}, {"name": "b", "type": "Any"}]}, 1, 0),
        ({"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}}, {"value": {}}, 0, 0),
        ({"requestBody": {"content": {}}}, None, 0, 0),
        ({"requestBody": "x"}, None, 0, 0),
    ],
)  # fmt: skip
def test_a_body_becomes_a_template(request_body: Any, template: Any, guessed: int, lost: int) -> None:
    imported = call(request_body)
    assert only(imported).get("bodyTemplate") == template
    assert (len(notes(imported, "guessed")), len(notes(imported, "lost"))) == (guessed, lost)


def test_a_body_with_more_members_than_a_template_takes_is_one_input() -> None:
    imported = call(body({"type": "object", "properties": {f"p{number}": {} for number in range(201)}}))
    assert only(imported)["bodyTemplate"]["value"] == "{{body}}"


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (["application/x-www-form-urlencoded", "application/json"], None),
        (["text/plain", "application/merge-patch+json"], "application/merge-patch+json"),
        (["application/xml", "text/plain", "multipart/form-data"], "multipart/form-data"),
        (["application/xml", "text/plain"], "text/plain"),
    ],
)
def test_of_several_kinds_of_body_the_best_is_taken(content: list[str], taken: str | None) -> None:
    imported = call({"requestBody": {"content": {kind: {"schema": OBJECT} for kind in content}}})
    assert only(imported).get("headers", {}).get("Content-Type") == taken
