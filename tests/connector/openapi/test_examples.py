"""Recorded answers: the example of the specification, or one of the schema."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.specifications import OBJECT, answer, call


@pytest.mark.parametrize(
    ("schema", "example", "recorded"),
    [
        ({"type": "integer"}, 7, 7),
        ({"type": "integer"}, "seven", 1),
        ({"type": "integer"}, True, 1),
        ({"type": "integer", "minimum": 5}, None, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, None, 6),
        ({"type": "number", "maximum": -2}, None, -2),
        ({"type": "number", "exclusiveMaximum": -2}, None, -3),
        ({"type": "string", "minLength": 6}, None, "textxx"),
        ({"type": "string", "maxLength": 2}, None, "te"),
        ({"type": "string", "format": "uuid"}, None, "7f8de1c4-52a8-4d1b-9f07-3a4be7a1c0de"),
        ({"type": "string", "examples": ["mine"]}, None, "mine"),
        ({"type": "string", "example": 3, "enum": ["a"]}, None, "a"),
        ({"type": "boolean"}, None, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, None, [1, 1]),
        ({"type": "array", "items": {"type": "integer"}}, ["x"], [1]),
        ({"type": "array", "maxItems": 0}, None, []),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {}, {"a": "text"}),
        ({"type": "object", "properties": {"a": {"type": "string", "writeOnly": True}}}, None, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": None}, {"a": "text"}),
        ({"type": ["string", "null"]}, None, "text"),
        ({"nullable": True}, None, None),
        ({"type": ["string", "object"]}, None, "text"),
        ({"oneOf": [{"type": "null"}, {"type": "integer"}, {"type": "string"}]}, None, 1),
        ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {}}}]}, {"b": "x"}, {"b": "x"}),
        ({"oneOf": [{"type": "object"}, {"type": "array"}]}, [], []),
    ],
)
def test_an_example_that_does_not_fit_is_replaced(schema: Any, example: Any, recorded: Any) -> None:
    imported = call(answer(schema, **({} if example is None else {"example": example})))
    assert imported.examples["things.create"]["body"] == recorded


def test_examples_are_found_by_reference_and_not_taken_where_they_are_huge() -> None:
    imported = call(answer({"type": "string"}, examples={"a": {"externalValue": "x"}, "b": {"value": "given"}}))
    assert imported.examples["things.create"]["body"] == "given"
    imported = call(answer({"type": "string"}, example="x" * 70_000))
    assert imported.examples["things.create"]["body"] == "text"


def test_an_example_of_a_schema_that_holds_itself_ends() -> None:
    node = {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"$ref": "#/components/schemas/N"}, "other": {"$ref": "#/components/schemas/N"},
                       "many": {"type": "array", "items": {"$ref": "#/components/schemas/N"}}},
    }  # fmt: skip
    wide = {"type": "object", "properties": {f"p{number}": {"type": "array", "items": OBJECT} for number in range(500)}}
    schemas = {"N": node, "L": {"type": "array", "items": {"$ref": "#/components/schemas/L"}}, "W": wide}
    for name, recorded in (("N", {"next": {}, "many": [{}]}), ("L", [[]])):
        imported = call(answer({"$ref": f"#/components/schemas/{name}"}), components={"schemas": schemas})
        assert imported.examples["things.create"]["body"] == recorded
    imported = call(answer({"$ref": "#/components/schemas/W"}), components={"schemas": schemas})
    assert 100 < len(imported.examples["things.create"]["body"]) < 400
