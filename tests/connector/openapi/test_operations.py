"""Operations are found one by one, and split where one answers in two ways."""

from __future__ import annotations

from typing import Any

import pytest

from connector.openapi.document import Specification
from connector.openapi.importer import from_openapi
from connector.openapi.operations import find_operations, operation_meta
from tests.doubles.specifications import OBJECT, body, call, notes, only, query, spec


def found(paths: Any) -> list[tuple[str, str, str]]:
    return [
        (each.named.method, each.named.path, each.named.fragment)
        for each in find_operations(Specification(spec(paths)))
    ]


def test_operations_are_found_in_the_order_of_paths_and_methods() -> None:
    item = {"delete": {}, "get": {}, "summary": "x", "post": "x"}
    assert found({"/a#b": item, "x-note": item, "relative": item, "/c": "x"}) == [
        ("GET", "/a", "b"),
        ("DELETE", "/a", "b"),
    ]


STREAM = {"stream": {"type": "boolean"}, "prompt": {"type": "string"}}
BOTH = {"responses": {"200": {"content": {"application/json": {"schema": OBJECT}, "text/event-stream": {}}}}}


@pytest.mark.parametrize(
    ("properties", "inputs", "streamed"),
    [
        (STREAM, ["prompt"], {"prompt": "{{prompt}}", "stream": True}),
        ({**STREAM, "stream": OBJECT}, ["stream", "prompt"], {"stream": "{{stream}}", "prompt": "{{prompt}}"}),
    ],
)
def test_an_operation_that_may_stream_becomes_two(properties: Any, inputs: list[str], streamed: Any) -> None:
    imported = call({**body({"type": "object", "properties": properties}), **BOTH})
    assert list(imported.connector.operation("things.create").inputs) == inputs
    (group,) = imported.groups.values()
    template = group[0]["operations"]["create-stream"]["bodyTemplate"]["value"]
    assert dict(sorted(template.items())) == dict(sorted(streamed.items()))


def test_an_operation_with_x_connector_stays_one() -> None:
    imported = call({**BOTH, "x-connector": {"resource": "things", "name": "ask"}})
    assert list(imported.connector.operations) == ["things.ask"]


def test_servers_and_callbacks_of_one_operation_are_lost() -> None:
    operation = {"servers": [{"url": "https://b.example"}], "callbacks": {"a": {}}}
    imported = from_openapi(spec({"/a": {"get": operation, "servers": [{"url": "https://c.example"}]}}))
    assert notes(imported, "lost") == [
        "its own server; it is called at the server of all",
        "its callbacks; declare a webhook for each that is needed",
    ]


def test_a_list_whose_pages_are_not_understood_is_reported() -> None:
    listed = {"responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}}}
    parameter = {"parameters": [{"name": "cursor", "in": "query", "schema": {"type": "string"}}]}
    imported = from_openapi(spec({"/a": {"get": {**listed, **parameter}}, "/a/{id}": {"get": {}}}))
    assert notes(imported, "guessed")[0] == "it seems to have pages, but how they are requested is not known"


@pytest.mark.parametrize(
    ("source", "meta"),
    [
        ({}, {}),
        ({"summary": "Pets", "description": "Pets"}, {"short": "Pets"}),
        ({"summary": 7, "description": "All pets.\n\nMore."}, {"short": "All pets.", "description": "All pets."}),
        ({"summary": "Pets", "description": "All of\nthem."}, {"short": "Pets", "description": "All of them."}),
    ],
)
def test_a_summary_and_a_description_are_kept_once(source: Any, meta: Any) -> None:
    assert operation_meta(source) == meta


def test_an_operation_is_written_in_one_order() -> None:
    imported = call({"deprecated": True, "summary": "Go", **query({"type": "string"}), **body(OBJECT)})
    assert list(only(imported)) == ["meta", "deprecated", "method", "path", "queryParams", "bodyTemplate"]


def test_an_operation_of_the_method_trace_is_lost() -> None:
    read = Specification(spec({"/a": {"get": {}, "trace": {}}}))
    assert [each.named.method for each in find_operations(read)] == ["GET"]
    assert ("lost", "TRACE /a") in [(note.kind, note.where) for note in read.report.notes]
