"""References are followed, schemas merged and kept within limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.doubles.specifications import body, call, notes, only, query


@pytest.mark.parametrize(
    ("reference", "lost"),
    [
        ("other.yaml#/Pet", "the reference 'other.yaml#/Pet' leads out of the file; bundle the files into one first"),
        ("http://127.0.0.1:9333/x", "the reference 'http://127.0.0.1:9333/x' leads out of the file; bundle the files into one first"),
        ("#/components/schemas/Loop", "the reference '#/components/schemas/Loop' leads to itself"),
        ("#/components/schemas/Gone", "the reference '#/components/schemas/Gone' leads nowhere"),
        ("#/servers/9", "the reference '#/servers/9' leads nowhere"),
        ("#/openapi/x", "the reference '#/openapi/x' leads nowhere"),
    ],
)  # fmt: skip
def test_T52_a_reference_that_cannot_be_followed_is_reported_and_never_fetched(reference: str, lost: str) -> None:
    components = {"schemas": {"Loop": {"$ref": "#/components/schemas/Loop"}}}
    imported = call(body({"type": "object", "properties": {"a": {"$ref": reference}}}), components=components)
    assert lost in notes(imported, "lost")
    assert list(imported.connector.operation("things.create").inputs) == ["a"]


def test_references_are_unescaped_and_lead_into_lists() -> None:
    components = {"schemas": {"a/b c": {"oneOf": [{"type": "integer"}]}}}
    imported = call(query({"$ref": "#/components/schemas/a~1b%20c/oneOf/0"}), components=components)
    assert only(imported)["queryParams"]["q"] == {"type": "Integer"}


def test_T52_parts_that_double_are_read_once() -> None:
    schemas: dict[str, Any] = {"S0": {"type": "object", "properties": {"a": {"type": "string"}}}}
    for number in range(1, 30):
        double = [{"$ref": f"#/components/schemas/S{number - 1}"}] * 2
        schemas[f"S{number}"] = {"allOf": double, "anyOf": double}
    imported = call(body({"$ref": "#/components/schemas/S20"}), components={"schemas": schemas})
    assert list(imported.connector.operation("things.create").inputs) == ["a"]
    deep = {"type": "string"}
    for _ in range(120):
        deep = {"allOf": [deep]}
    assert "a schema nests too deeply to be read" in notes(call(query(deep)), "lost")


def test_a_kept_schema_is_cut_where_it_holds_itself_or_nests_too_deeply() -> None:
    node = {"type": "object", "additionalProperties": False, "properties": {
        "next": {"$ref": "#/components/schemas/N"}, "many": {"type": "array", "items": {"anyOf": [
            {"$ref": "#/components/schemas/N"}, {"type": "string", "enum": ["a", None], "description": "A word."}, {"type": "null"}]}},
        "any": {"anyOf": [{}, {"type": "string"}]}, "both": {"type": ["string", "integer"]},
        "extra": {"type": "object", "additionalProperties": {"type": "integer"}}}}  # fmt: skip
    imported = call(
        body({"type": "object", "properties": {"n": {"$ref": "#/components/schemas/N"}}}),
        components={"schemas": {"N": node}},
    )
    assert imported.connector.operation("things.create").inputs["n"].schema == {
        "type": "object",
        "properties": {
            "next": {"type": "object"},
            "many": {
                "type": "array",
                "items": {"anyOf": [{"type": "object"}, {"type": ["string", "null"], "enum": ["a", None], "description": "A word."}, {"type": "null"}]},
            },
            "any": {},
            "both": {"type": ["string", "integer"]},
            "extra": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "additionalProperties": False,
    }  # fmt: skip
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        deep = {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"anyOf": [deep, {"type": "array", "items": deep}]}},
        }
    imported = call(body({"type": "object", "properties": {"n": deep}}))
    assert len(json.dumps(imported.connector.operation("things.create").inputs["n"].schema)) < 20_000
