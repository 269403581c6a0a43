"""Parameters become inputs with a name, a type, bounds and options."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.specifications import OBJECT, body, call, notes, only, query


@pytest.mark.parametrize(
    ("parameter", "declared", "lost"),
    [
        ({"schema": {"type": "integer", "default": 3, "maximum": 5}}, {"type": "Integer", "maximum": 5, "default": 3}, []),
        ({"schema": {"type": "integer", "minimum": 5, "maximum": 3}}, {"type": "Integer"}, []),
        ({"schema": {"type": "string", "default": 3}}, {"type": "String"}, []),
        ({"schema": {"type": "string", "format": "date", "default": "x"}}, {"type": "Date"}, []),
        ({"schema": {"type": "string", "pattern": "^a"}}, {"type": "String", "schema": {"type": "string", "pattern": "^a"}}, []),
        ({"schema": {"enum": [1, 2]}}, {"type": "Integer", "options": [1, 2]}, []),
        ({"schema": {"enum": [1, "a"]}}, {"type": "Any", "schema": {"enum": [1, "a"]}}, []),
        ({"schema": {"enum": ["a", None]}}, {"type": "String", "options": ["a"], "nullable": True}, []),
        ({"schema": {"enum": []}}, {"type": "Any"}, []),
        ({"schema": {"minimum": "1", "items": {}}}, {"type": "Array"}, []),
        ({"schema": {"type": "null"}}, {"type": "Any", "nullable": True, "schema": {"type": "null"}}, []),
        ({"schema": {"enum": [None]}}, {"type": "Any", "nullable": True, "schema": {"type": "null"}}, []),
        ({"schema": {"type": ["integer", "number"]}}, {"type": "Number"}, []),
        ({"schema": {"type": ["string", "object", "null"]}}, {"type": "Any", "nullable": True, "schema": {"type": ["string", "object", "null"]}}, []),
        ({"schema": {"type": 7}, "required": True, "description": "What\n it is."}, {"type": "Any", "description": "What it is.", "required": True}, []),
        ({"schema": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, {"type": "Number"}, []),
        ({"schema": {"oneOf": [{"enum": ["a"]}, {"enum": ["b", "a"]}]}}, {"type": "String", "options": ["a", "b"]}, []),
        ({"schema": {"oneOf": [{"type": "string"}, {"type": "string", "enum": ["a"]}]}}, {"type": "String"}, []),
        ({"schema": {"allOf": [{"type": "boolean"}, {"default": True}]}}, {"type": "Boolean", "default": True}, []),
        ({"style": "form", "explode": False, "schema": OBJECT}, None, ["the query parameter 'q': an object in the style 'form'"]),
        ({"style": "pipeDelimited", "explode": False, "schema": {"type": "array", "items": {"enum": ["a"]}}},
         {"type": "String", "description": "Several values are written with '|' between them."}, []),
        ({"content": {"application/json": {"schema": OBJECT}}}, {"type": "Object"}, []),
        ({"schema": {"type": "object"}}, {"type": "Object", "explode": True}, []),
        ({"style": "deepObject", "schema": {"type": "object"}}, None, ["the query parameter 'q': an object whose members are not known"]),
    ],
)  # fmt: skip
def test_a_query_parameter_becomes_an_input(parameter: Any, declared: Any, lost: list[str]) -> None:
    imported = call({"parameters": [{"name": "q", "in": "query", **parameter}]})
    assert only(imported).get("queryParams", {"q": None}) == {"q": declared}
    assert notes(imported, "lost") == lost


def test_a_default_outside_its_own_bounds_is_left_out() -> None:
    imported = call(query({"type": "string", "enum": ["a"], "default": "b"}))
    assert only(imported)["queryParams"]["q"] == {"type": "String", "options": ["a"]}
    assert notes(imported, "guessed") == ["the default of q is not one of its own values, and is left out"]


def test_one_name_in_several_places_is_several_inputs() -> None:
    parameters = [{"name": "id", "in": place, "schema": {"type": "string"}} for place in ("path", "query", "header")]
    imported = call(
        {
            "parameters": parameters,
            **body({"type": "object", "properties": {"id": {"type": "string"}, "_id": {}, "i d": {}}}),
        },
        "/things/{id}",
        "put",
    )
    assert list(imported.connector.operation("things.update").inputs) == [
        "id",
        "headerId",
        "queryId",
        "bodyId",
        "bodyId2",
        "iD",
    ]
