"""Answers become kinds, records and fields."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.specifications import OBJECT, answer, call, only


@pytest.mark.parametrize(
    ("responses", "kind"),
    [
        ({}, "json"),
        ("x", "json"),
        ({"2XX": {"content": {"text/html": {}}}}, "text"),
        ({"201": {"description": "made"}, "202": {"content": {"application/json": {}}}}, "json"),
        ({"default": {"content": {"application/pdf": {}}}}, "binary"),
        ({"default": {}, "404": {}}, "empty"),
        ({"200": {"content": {"text/event-stream": {}}}}, "sse"),
        ({"200": {"content": {"image/png": {}, "text/event-stream": {}}}}, "sse"),
    ],
)
def test_the_first_success_decides_on_the_kind(responses: Any, kind: str) -> None:
    imported = call({"responses": responses}, method="get")
    (operation,) = imported.connector.operations.values()
    assert operation.response == kind


@pytest.mark.parametrize(
    ("schema", "records"),
    [
        ({"type": "array"}, []),
        ({"properties": {"pets": {"type": "array", "items": OBJECT}, "n": {}}}, ["pets"]),
        ({"properties": {"pets": {"type": "array"}, "data": {"type": "array"}}}, ["data"]),
        ({"properties": {"x": {"properties": {"items": {"type": "array"}}}}}, ["x", "items"]),
        ({"properties": {"x": {"properties": {"pets": {"type": "array", "items": OBJECT}}}}}, None),
        ({"properties": {"ids": {"type": "array", "items": {"type": "string"}}}}, None),
        ({"properties": {"a": {"type": "array", "items": OBJECT}, **{f"p{number}": {} for number in range(7)}}}, None),
    ],
)
def test_the_records_of_a_list_are_found(schema: Any, records: Any) -> None:
    imported = call(answer(schema), method="get")
    assert only(imported).get("records") == records


def test_fields_end_where_a_schema_holds_itself_and_where_there_are_too_many() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "child": {"$ref": "#/components/schemas/N"}},
    }
    imported = call(answer({"$ref": "#/components/schemas/N"}), method="get", components={"schemas": {"N": node}})
    assert [each.name for each in imported.connector.operation("things.read").fields] == [
        "id",
        "child_id",
        "child_child",
    ]
    wide = {"properties": {**{f"p{number}": {} for number in range(200)}}}
    imported = call(answer(wide), method="get")
    assert len(imported.connector.operation("things.read").fields) == 120
    twice = {
        "properties": {
            "a": {"properties": {"b": {}}},
            "a_b": {},
            "": {},
            "empty": {"type": "array", "items": {"type": "array"}},
        }
    }
    imported = call(answer(twice), method="get")
    assert [each.name for each in imported.connector.operation("things.read").fields] == ["a_b", "a_b_", "empty"]
