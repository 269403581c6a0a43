"""Connectors are written as files that are never too large."""

from __future__ import annotations

from typing import Any

from connector.openapi.files import MAX_FILE, split_group
from connector.openapi.importer import from_openapi
from tests.doubles.specifications import body, spec


def test_a_large_connector_is_split_into_a_file_for_each_tag() -> None:
    wide = {
        "type": "object",
        "properties": {f"p{number}": {"type": "string", "description": "x" * 290} for number in range(150)},
    }
    paths = {
        f"/{group}{number}": {"post": {"tags": [group], **body(wide)}}
        for group in ("alpha", "beta")
        for number in range(3)
    }
    texts = from_openapi(spec(paths)).files()
    assert [name for name in texts if not name.startswith("examples")] == [
        "service.json",
        "resources/alpha.json",
        "resources/beta.json",
    ]


def test_files_are_split_and_a_resource_that_no_file_holds_loses_its_schemas() -> None:
    def resource(name: str, size: int) -> dict[str, Any]:
        declared = {"name": "a", "type": "Object", "schema": {"description": "x" * size}}
        return {"handle": name, "meta": {"schema": "kept"}, "operations": {"do": {"placeholders": [declared]}}}

    parts = list(split_group([resource("a", MAX_FILE // 2), resource("b", MAX_FILE // 2), resource("c", 2 * MAX_FILE)]))
    assert [[each["handle"] for each in part] for part in parts] == [["a"], ["b", "c"]]
    assert parts[1][1]["operations"]["do"]["placeholders"] == [{"name": "a", "type": "Object"}]
    assert parts[1][1]["meta"] == {"schema": "kept"}
