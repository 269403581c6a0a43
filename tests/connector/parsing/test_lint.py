"""What is said of a definition that was tried on its examples."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.errors import Problem
from connector.model.definition import Connector
from connector.parsing.connectors import parse_connector, read_connector
from connector.parsing.lint import find_lints, place_lints
from connector.parsing.schema import Document, Kind

MESSAGE = {"type": "mime_build", "mime_build": {"to": "a@b.c", "subject": "s", "body": "b"}}
FIELDS = [{"name": "id", "type": "String"}, {"name": "size", "type": "Integer"}]


def demo(operation: str = "read", **more: Any) -> Connector:
    return parse_connector(
        {
            "handle": "demo",
            "service": {"baseURL": "https://demo.example"},
            "resources": [
                {
                    "handle": "things",
                    "endpoint": "/things",
                    "fields": FIELDS,
                    "operations": {operation: {"method": "GET", **more}},
                }
            ],
            "operations": [{"handle": "copy", "steps": [MESSAGE]}],
        }
    )


def lints(example: Any, operation: str = "read", **more: Any) -> list[tuple[str, str]]:
    found = find_lints(demo(operation, **more), {f"things.{operation}": example})
    return [(each.code, each.message) for each in found]


def answer(body: Any, **more: Any) -> dict[str, Any]:
    return {"body": body, **more}


def test_a_definition_that_fits_its_examples_has_no_lints() -> None:
    assert lints(answer({"id": "a", "size": 1})) == []
    assert lints([answer({"id": "a"}), answer({"size": 1}, status=201)]) == []
    assert lints(answer({"data": [{"id": "a", "size": 1}]}), "list", records=["data"]) == []


def test_without_any_examples_none_is_missed() -> None:
    assert find_lints(demo(), {}) == []


def test_an_operation_without_an_example_is_told_where_others_have_one() -> None:
    assert find_lints(demo(), {"copy": answer({})}) == [
        Problem(
            "W_EXAMPLE_MISSING",
            "things.read has no example",
            hint="add examples/things.read.json",
            pointer="/resources/things/operations/read",
        )
    ]


def test_an_example_of_no_operation_names_the_nearest() -> None:
    [unknown, _] = find_lints(demo(), {"things.raed": answer({})})
    assert unknown == Problem(
        "W_EXAMPLE_UNKNOWN",
        "no operation 'things.raed'",
        hint="did you mean 'things.read'?",
        file="examples/things.raed.json",
    )


def test_a_list_that_does_not_say_where_its_records_are_is_told_once() -> None:
    assert lints(answer({"data": [{"id": "a", "size": 1}]}), "list") == [
        ("W_RECORDS_INFERRED", "things.list does not specify where its records are")
    ]


def test_records_that_are_not_where_they_are_declared_are_told() -> None:
    codes = [code for code, _ in lints(answer({"items": [{"id": "a", "size": 1}]}), "list", records=["data"])]
    assert codes == ["W_MAPPING", "W_FIELDS_UNMATCHED"]


def test_a_field_that_matches_in_no_example_is_told() -> None:
    assert lints([answer({"id": "a"}), answer({"id": "b", "size": None})]) == [
        ("W_FIELDS_UNMATCHED", "things.read: nothing matches size")
    ]


def test_a_value_that_does_not_fit_its_type_is_told() -> None:
    [(code, message)] = lints(answer({"id": "a", "size": "many"}))
    assert (code, message.startswith("things.read: field 'size' stays raw")) == ("W_MAPPING", True)


def test_a_scalar_where_fields_are_selected_is_told() -> None:
    assert [code for code, _ in lints(answer("x"))] == ["W_MAPPING", "W_FIELDS_UNMATCHED"]


@pytest.mark.parametrize(
    "example",
    [answer(None), {"status": 204}, answer({"error": 1}, status=404), [], answer({"x": 1}, status=302)],
)
def test_answers_that_are_not_mapped_say_nothing(example: Any) -> None:
    assert lints(example) == []


@pytest.mark.parametrize("kind", ["text", "empty"])
def test_answers_that_are_no_json_are_not_tried(kind: str) -> None:
    assert lints(answer("x"), response=kind) == []


@pytest.mark.parametrize("example", [5, None, "x", answer({}, status="200"), answer({}, status=True)])
def test_an_example_that_is_no_answer_is_told(example: Any) -> None:
    assert lints(example) == [("W_EXAMPLE_SHAPE", "things.read: the example is not an answer")]


def test_of_several_answers_the_one_is_pointed_at() -> None:
    found = find_lints(demo(), {"things.read": [answer({"id": "a", "size": 1}), 5]})
    assert [(each.code, each.pointer, each.file) for each in found] == [
        ("W_EXAMPLE_SHAPE", "/1", "examples/things.read.json")
    ]


def test_fields_that_another_operation_of_the_resource_shows_are_no_news() -> None:
    operations = {"read": {"method": "GET"}, "create": {"method": "POST"}}
    resource = {"handle": "things", "endpoint": "/things", "fields": FIELDS, "operations": operations}
    connector = parse_connector({"handle": "demo", "service": {"baseURL": "https://demo.example"}}, [resource])
    partial = {"things.read": answer({"id": "a", "size": None}), "things.create": answer({"id": "a", "size": 1})}
    assert find_lints(connector, partial) == []
    partial["things.create"] = answer({"id": "a"})
    assert [each.code for each in find_lints(connector, partial)] == ["W_FIELDS_UNMATCHED"]


def test_a_trigger_that_waits_for_an_operation_that_is_not_there_is_told() -> None:
    webhooks = [
        {"event": "a", "path": "/webhooks/demo/a", "after": ["things.raed"]},
        {"event": "b", "path": "/webhooks/demo/b", "poll": {"operation": "things.lst"}},
        {"event": "c", "path": "/webhooks/demo/c", "after": ["things.read"], "poll": {"operation": "things.read"}},
        {
            "event": "d",
            "path": "/webhooks/demo/d",
            "poll": {"operation": "things.read", "inputs": {"kind": "a", "team": "b", "knd": "c"}},
        },
    ]
    operations = {"read": {"method": "GET", "path": "/{{team}}", "queryParams": {"kind": {"type": "String"}}}}
    resource = {"handle": "things", "endpoint": "/things", "operations": operations, "webhooks": webhooks}
    service = {"baseURL": "https://demo.example", "params": [{"name": "team", "type": "String", "default": "x"}]}
    connector = parse_connector({"handle": "demo", "service": service}, [resource])
    found = find_lints(connector, {})
    assert [(each.code, each.pointer, each.hint) for each in found] == [
        ("W_TRIGGER_OPERATION", "/resources/things/webhooks/a/after/0", "did you mean 'things.read'?"),
        ("W_TRIGGER_OPERATION", "/resources/things/webhooks/b/poll/operation", "did you mean 'things.read'?"),
        ("W_TRIGGER_OPERATION", "/resources/things/webhooks/d/poll/inputs/knd", "did you mean 'kind'?"),
    ]


def custom(*steps: dict[str, Any]) -> Connector:
    operation = {"handle": "do", "steps": [{"type": "http", "http": step} for step in steps]}
    return parse_connector(
        {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "operations": [operation]}
    )


ONE = {"method": "GET", "path": "/a", "fields": [{"name": "id", "type": "Integer"}]}


def test_each_call_of_a_custom_operation_is_tried_on_its_own_answer() -> None:
    other = {**ONE, "fields": [{"name": "size", "type": "Integer"}]}
    assert find_lints(custom(ONE, other), {"do": [answer({"id": 1}), answer({"size": 1})]}) == []
    found = find_lints(custom(ONE, other), {"do": [answer({"size": 1}), answer({"size": "x"})]})
    assert [(each.code, each.file) for each in found] == [
        ("W_MAPPING", "examples/do.json"),
        ("W_FIELDS_UNMATCHED", "examples/do.json"),
        ("W_MAPPING", "examples/do.json"),
    ]
    assert find_lints(custom(ONE), {"do": [answer({"id": 1}), answer({"id": 2})]}) == []


def test_a_custom_operation_without_an_example_is_told_where_others_have_one() -> None:
    found = find_lints(custom(ONE), {"other": answer({})})
    assert ("W_EXAMPLE_MISSING", "do has no example", "/operations/do") in [
        (each.code, each.message, each.pointer) for each in found
    ]


def test_each_lint_is_placed_in_the_document_that_holds_what_it_is_about() -> None:
    def written(value: Any, kind: Kind, file: str) -> Document:
        return Document.from_text(json.dumps(value, indent=1), kind, file)

    listing = {"handle": "list", "method": "GET"}
    other = {"handle": "others", "endpoint": "/others", "operations": [listing]}
    step = {"type": "http", "http": {"method": "GET", "path": "/a"}}
    head = written(
        {"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [other]}, "connector", "head"
    )
    things = {
        "handle": "things",
        "endpoint": "/things",
        "operations": {"read": {"method": "GET"}},
        "webhooks": [{"event": "a/b", "path": "/webhooks/demo/a", "after": ["others.list", "things.raed"]}],
    }
    resources = written([things], "resources", "resources")
    operations = written({"do": {"steps": [step]}}, "operations", "operations")
    overlay = written(
        {"resources": {"things": {"operations": {"list": {"method": "GET"}}, "fields": 5}}}, "overlay", "overlay"
    )
    connector, _ = read_connector(head, resources, operations=operations)
    assert connector is not None
    examples = {
        "others.list": Document(value=[7, {"body": []}], kind="connector", text="[7,\n {}]", file="others.list.json")
    }
    found = find_lints(connector, {name: each.value for name, each in examples.items()})
    found += [
        Problem("W_IN_OVERLAY", "", pointer="/resources/things/operations/list/x"),
        Problem("W_BELOW", "", pointer="/resources/things/fields/0/1"),
        Problem("W_INDEX", "", pointer="/resources/things/webhooks/9"),
    ]
    placed = place_lints(found, [head, resources, operations, overlay], examples)
    assert [(each.file, each.line, each.code, each.pointer) for each in placed] == [
        ("head", 11, "W_RECORDS_INFERRED", "/resources/0/operations/0"),
        ("resources", 6, "W_EXAMPLE_MISSING", "/0/operations/read"),
        ("resources", 10, "W_INDEX", "/0/webhooks"),
        ("resources", 16, "W_TRIGGER_OPERATION", "/0/webhooks/0/after/1"),
        ("operations", 2, "W_EXAMPLE_MISSING", "/do"),
        ("overlay", 5, "W_IN_OVERLAY", "/resources/things/operations/list"),
        ("overlay", 9, "W_BELOW", "/resources/things/fields"),
        ("others.list.json", 1, "W_EXAMPLE_SHAPE", "/0"),
    ]
