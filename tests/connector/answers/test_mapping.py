"""The way in: strict reading, forgiving mapping, and what is said about both (rules 10 to 13 and 18; T47, T48)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.answers.mapping import (
    RECORDS_PER_TURN,
    explain_nothing,
    find_records,
    map_document,
    map_fields,
    map_records,
    map_response,
    map_turns,
    read_json,
    read_leniently,
)
from connector.errors import MappingError
from connector.headers import Headers
from connector.messages import Response
from connector.model.definition import Connector, Operation
from connector.parsing.connectors import parse_connector
from tests.doubles.answers import JSON, answer

SHIPPED = Path(__file__).parents[3] / "definitions" / "mistral-ai"


def operation(fields: Sequence[Any], name: str = "read", webhooks: Sequence[Any] = (), **more: Any) -> Operation:
    """One operation with these fields."""
    return connector(fields, name, webhooks, **more).operation(f"things.{name}")


def connector(fields: Sequence[Any], name: str = "read", webhooks: Sequence[Any] = (), **more: Any) -> Connector:
    resource = {
        "handle": "things",
        "meta": {"short": "Things"},
        "endpoint": "/things",
        "fields": list(fields),
        "operations": {name: {"method": "GET", **more}},
        "webhooks": list(webhooks),
    }
    service = {"baseURL": "https://api.example.com"}
    return parse_connector({"handle": "demo", "service": service, "resources": [resource]})


ID = {"name": "id", "type": "String", "selector": ["id"]}
COUNT = {"name": "count", "type": "Integer", "selector": ["count"]}


# Mapping one object


def test_the_recorded_chat_answer_maps_to_parallel_lists(mistral: Connector) -> None:
    example = json.loads((SHIPPED / "examples" / "chat-completions.create.json").read_text("utf-8"))
    result = map_response(mistral.operation("chat-completions.create"), answer(example["body"]))
    choices = example["body"]["choices"]
    assert result.ok
    assert result.fields is not None
    assert result.fields["choices_message_content"] == [each["message"]["content"] for each in choices]
    assert result.fields["choices_finish_reason"] == [each["finish_reason"] for each in choices]
    assert result.fields["usage_total_tokens"] == example["body"]["usage"]["total_tokens"]
    assert (result.warnings, result.records, result.raw) == ((), None, example["body"])


def test_parallel_fields_stay_aligned_where_a_choice_has_no_content(mistral: Connector) -> None:
    choices = [
        {"message": {"role": "assistant", "content": None}, "finish_reason": "tool_calls"},
        {"message": {"role": "x"}},
    ]
    result = map_response(mistral.operation("chat-completions.create"), answer({"id": "a", "choices": choices}))
    assert result.fields is not None
    assert result.fields["choices_message_role"] == ["assistant", "x"]
    assert result.fields["choices_message_content"] == [None, None]
    assert result.fields["choices_finish_reason"] == ["tool_calls", None]


def test_a_leaf_that_is_a_list_stays_one_element_and_is_reported(mistral: Connector) -> None:
    chunks = [{"type": "text", "text": "a"}]
    choices = [{"message": {"content": chunks}}, {"message": {"content": "b"}}]
    result = map_response(mistral.operation("chat-completions.create"), answer({"id": "a", "choices": choices}))
    assert result.fields is not None
    assert result.fields["choices_message_content"] == [chunks, "b"]
    assert result.warnings == ("field 'choices_message_content' stays raw: expected text, got a list",)


def test_an_absent_list_is_empty_and_an_absent_member_null() -> None:
    fields = [ID, {"name": "tags", "type": "String", "selector": ["tags", 0], "multivalue": True}, COUNT]
    assert map_fields(operation(fields).fields, {"id": "a"}) == {"id": "a", "tags": [], "count": None}


@pytest.mark.parametrize(
    ("type_name", "value", "expected"),
    [
        ("String", 5, "5"),
        ("Integer", "5", 5),
        ("Integer", 5.0, 5),
        ("Number", "0.5", 0.5),
        ("Boolean", "true", True),
        ("DateTime", 1777902840, 1777902840),
        ("Any", {"a": 1}, {"a": 1}),
        ("Array", [1], [1]),
        ("String", None, None),
    ],
)
def test_a_field_is_coerced_where_that_loses_nothing(type_name: str, value: Any, expected: Any) -> None:
    field = {"name": "f", "type": type_name, "selector": ["f"]}
    result = map_response(operation([ID, field]), answer({"id": "a", "f": value}))
    assert result.fields == {"id": "a", "f": expected}
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("Integer", "many"),
        ("Integer", 1.5),
        ("Integer", True),
        ("String", ["a", "b"]),
        ("String", {"a": 1}),
        ("Number", "0.12345678901234567890"),
        ("Boolean", "yes"),
        ("Object", []),
        ("Array", {}),
    ],
)
def test_what_does_not_fit_its_type_stays_raw_and_is_reported(type_name: str, value: Any) -> None:
    field = {"name": "f", "type": type_name, "selector": ["f"]}
    result = map_response(operation([ID, field]), answer({"id": "a", "f": value}))
    assert result.fields == {"id": "a", "f": value}
    assert [warning.partition(":")[0] for warning in result.warnings] == ["field 'f' stays raw"]


def test_fields_can_be_mapped_without_a_report() -> None:
    assert map_fields(operation([COUNT]).fields, {"count": "many"}) == {"count": "many"}


def test_a_misfit_is_reported_once_for_all_records() -> None:
    result = map_response(operation([COUNT], "list", records=["d"]), answer({"d": [{"count": "x"}, {"count": []}]}))
    assert result.records == [{"count": "x"}, {"count": []}]
    assert result.warnings == ("field 'count' stays raw: expected an integer, got other text",)


def test_a_star_gives_a_list_per_level_whose_leaves_have_the_type() -> None:
    fields = [
        {"name": "vectors", "type": "Array", "selector": ["data", "*", "embedding"]},
        {"name": "numbers", "type": "Number", "selector": ["data", "*", "embedding", "*"]},
        {"name": "names", "type": "String", "selector": ["data", "*", "name"]},
    ]
    document = {"data": [{"embedding": [1, "2"], "name": 5}, {"embedding": [3], "name": None}]}
    assert map_fields(operation(fields).fields, document) == {
        "vectors": [[1, "2"], [3]],
        "numbers": [[1, 2], [3]],
        "names": ["5", None],
    }


def test_elements_of_a_multivalue_field_are_coerced_one_by_one() -> None:
    fields = [{"name": "n", "type": "Integer", "selector": ["n", 0], "multivalue": True}]
    assert map_fields(operation(fields).fields, {"n": [1, "2", None]}) == {"n": [1, 2, None]}


def test_T50_a_selector_touches_data_only() -> None:
    fields = [
        {"name": name, "type": "Any", "selector": selector}
        for name, selector in (("a", ["__class__"]), ("b", [10**9]), ("c", ["x"] * 1000), ("d", ["id", 0]), ("e", [-1]))
    ]
    result = map_response(operation(fields), answer({"id": "text", "x": {}}))
    assert result.fields == dict.fromkeys("abcde")
    assert result.warnings == ("0 of 5 fields matched",)


# What is no success, or has nothing in it


@pytest.mark.parametrize(
    "response", [Response(204), Response(200), Response(200, body=b" \n"), Response(204, body=b"x")]
)
def test_T48_an_empty_answer_is_a_success_without_fields_or_warning(response: Response) -> None:
    result = map_response(operation([ID]), response)
    assert (result.ok, result.status, result.fields, result.records, result.raw, result.warnings) == (
        True,
        response.status,
        None,
        None,
        None,
        (),
    )


def test_an_operation_that_answers_nothing_ignores_its_body() -> None:
    assert map_response(operation([ID], response="empty"), answer(b"OK")).raw is None


def test_a_text_answer_is_its_text() -> None:
    result = map_response(operation([ID], response="text"), answer(b"a\xff"))
    assert (result.raw, result.fields) == ("a\ufffd", None)


@pytest.mark.parametrize(
    ("body", "raw"),
    [(b'{"message": "no"}', {"message": "no"}), (b"<html>", "<html>"), (b"", None), (b"\xff", "\ufffd")],
)
def test_a_failure_is_never_refused(body: bytes, raw: Any) -> None:
    result = map_response(operation([ID]), answer(body, 500))
    assert (result.ok, result.status, result.fields, result.raw) == (False, 500, None, raw)


def test_without_fields_the_answer_is_raw_and_may_be_a_scalar() -> None:
    assert map_response(operation([]), answer(5)).raw == 5


@pytest.mark.parametrize("name", ["read", "list"])
@pytest.mark.parametrize("body", [b"5", b'"text"', b"true", b"null"])
def test_T48_a_scalar_is_an_error_where_fields_are_selected(name: str, body: bytes) -> None:
    with pytest.raises(MappingError) as caught:
        map_response(operation([ID], name), answer(body))
    assert caught.value.code == "E_RESPONSE"
    assert f"(status 200, application/json): {body.decode()}" in caught.value.message


def test_a_document_that_is_a_scalar_is_an_error_too() -> None:
    with pytest.raises(MappingError, match="single JSON value"):
        map_document(operation([ID]), 200, 5)


# Reading


def test_an_answer_without_a_type_says_so() -> None:
    with pytest.raises(MappingError, match=r"\(status 200, no type\)"):
        read_json(Response(200, body=b"x"))


@given(JSON)
def test_any_answer_maps_or_is_a_scalar(document: Any) -> None:
    for name in ("read", "list"):
        found = operation([ID, {"name": "all", "type": "Integer", "selector": ["a", 0, "b"], "multivalue": True}], name)
        try:
            result = map_response(found, answer(document))
        except MappingError:
            assert not isinstance(document, (dict, list))
            continue
        assert result.raw == document


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
#: What the fields below select in, or something that it is not.
ROWS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)
EVERY_KIND_OF_FIELD = [
    {"name": "member", "type": "Integer", "selector": ["a"]},
    {"name": "inner", "type": "String", "selector": ["a", "b", "c"]},
    {"name": "element", "type": "Any", "selector": ["a", 0]},
    {"name": "levels", "type": "Number", "selector": ["b", "*", "c"]},
    {"name": "flat", "type": "Integer", "selector": ["b", 0, "c"], "multivalue": True},
    {"name": "one", "type": "String", "selector": ["c"], "multivalue": True},
    {"name": "text", "type": "String", "selector": ["c"], "join": ["a"]},
    {"name": "whole", "type": "Object", "selector": []},
]


@given(st.lists(ROWS, max_size=5))
def test_records_are_mapped_together_as_each_is_by_itself(rows: list[Any]) -> None:
    fields = operation(EVERY_KIND_OF_FIELD).fields
    assert [map_fields(fields, row) for row in rows] == map_records(fields, rows)
    found = operation(EVERY_KIND_OF_FIELD, "list")
    alone = {said for row in rows for said in map_document(found, 200, [row]).warnings if "stays raw" in said}
    together = {said for said in map_document(found, 200, rows).warnings if "stays raw" in said}
    # Of each field the first reason is said.
    assert together <= alone
    assert {said.partition(":")[0] for said in together} == {said.partition(":")[0] for said in alone}


def test_a_failure_is_read_as_far_as_it_can_be() -> None:
    assert read_leniently(answer(b'{"a": 1, "a": 2}')) == '{"a": 1, "a": 2}'


# Records


def test_declared_records_are_taken_without_a_word() -> None:
    result = map_response(
        operation([ID], "search", records=["hits", "items"]), answer({"hits": {"items": [{"id": 1}, {}]}})
    )
    assert (result.records, result.fields, result.warnings) == ([{"id": "1"}, {"id": None}], None, ())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "records: nothing at $.data"),
        ({"data": {}}, "records: no list at $.data"),
        ([], "records: nothing at $.data"),
    ],
)
def test_declared_records_that_are_not_there_are_none_and_reported(document: Any, words: str) -> None:
    result = map_response(operation([ID], "list", records=["data"]), answer(document))
    assert (result.records, result.warnings) == ([], (words,))


@pytest.mark.parametrize(
    ("document", "records", "root"),
    [
        pytest.param([{"id": "a"}], [{"id": "a"}], "$", id="bare array"),
        pytest.param([], [], "$", id="empty bare array"),
        pytest.param({"things": [{"id": "a"}], "n": 1}, [{"id": "a"}], "$.things", id="only array of objects"),
        pytest.param({"things": [], "n": 1}, [], "$.things", id="only array, empty"),
        pytest.param(
            {"things": [{"id": "a"}], "tags": ["x"], "data": ["y"]}, [{"id": "a"}], "$.things", id="before data"
        ),
        pytest.param({"a": [{}], "b": [{}], "items": [{"id": "a"}]}, [{"id": "a"}], "$.items", id="usual name"),
        pytest.param({"errors": [], "data": [{"id": "a"}]}, [{"id": "a"}], "$.data", id="data beside an empty list"),
        pytest.param(
            {"results": [{"id": "r"}], "data": [{"id": "d"}]}, [{"id": "d"}], "$.data", id="data before results"
        ),
        pytest.param({"value": ["x"]}, ["x"], "$.value", id="usual name of scalars"),
    ],
)
def test_undeclared_records_are_inferred_in_order_and_reported(document: Any, records: list[Any], root: str) -> None:
    said = f"records: taken from {root}, since the definition does not declare `records`"
    assert (records, said) == find_records(operation([ID], "list"), document)
    assert said in map_response(operation([ID], "list"), answer(document)).warnings


@pytest.mark.parametrize("document", [{"id": "a"}, {"a": [{}], "b": [{}]}, {"data": {"id": "a"}}])
def test_else_the_whole_answer_is_one_record(document: Any) -> None:
    said = "records: the whole answer is one record, since the definition does not declare `records`"
    assert ([document], said) == find_records(operation([ID], "list"), document)


def test_only_the_operation_named_list_is_inferred() -> None:
    assert map_response(operation([ID], "search"), answer({"id": "x", "data": [{"id": "a"}]})).fields == {"id": "x"}


def test_the_recorded_list_maps_to_records(mistral: Connector) -> None:
    example = json.loads((SHIPPED / "examples" / "models.list.json").read_text("utf-8"))
    result = map_response(mistral.operation("models.list"), answer(example["body"]))
    assert result.records is not None
    assert [each["id"] for each in result.records] == [each["id"] for each in example["body"]["data"]]
    assert result.warnings == ()


# Nothing matched


def test_nothing_matched_says_where_the_fields_would_match(mistral: Connector) -> None:
    model = {
        **dict.fromkeys(["id", "object", "owned_by"], "x"),
        "created": 1,
        "capabilities": dict.fromkeys(["completion_chat", "completion_fim", "fine_tuning", "vision"], True),
        "max_context_length": 2,
        "deprecation": None,
    }
    result = map_response(mistral.operation("models.read"), answer({"data": [model]}))
    assert result.warnings == ("0 of 10 fields matched; 9 of 10 match at $.data[*]",)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"x": 1}, "0 of 2 fields matched"),
        ([], "0 of 2 fields matched"),
        ([{"id": 1}], "0 of 2 fields matched; 1 of 2 match at $[*]"),
        ({"result": {"id": 1, "count": 2}}, "0 of 2 fields matched; 2 of 2 match at $.result"),
        ({"a": {"b": {"id": 1}}}, "0 of 2 fields matched; 1 of 2 match at $.a.b"),
        ({"a": [{"b": {"id": 1}}]}, "0 of 2 fields matched"),
        ([[{"id": 1}]], "0 of 2 fields matched; 1 of 2 match at $[*][*]"),
        ({"a": {"id": 1}, "b": {"id": 1, "count": 2}}, "0 of 2 fields matched; 2 of 2 match at $.b"),
    ],
)
def test_the_best_place_of_the_first_two_levels_is_named(document: Any, said: str) -> None:
    assert said == explain_nothing(operation([ID, COUNT]).fields, document)


def test_a_list_of_nothing_but_null_counts_as_nothing() -> None:
    fields = [{"name": "n", "type": "String", "selector": ["rows", 0, "name"], "multivalue": True}]
    result = map_response(operation(fields), answer({"rows": [{}, {}]}))
    assert result.fields == {"n": [None, None]}
    assert result.warnings == ("0 of 1 fields matched",)


def test_records_of_which_none_matched_are_counted() -> None:
    result = map_response(operation([ID], "list", records=["d"]), answer({"d": [{"x": {"id": 1}}, {}]}))
    assert result.warnings == ("0 of 1 fields matched in 2 records; 1 of 1 match at $.x",)


def test_looking_for_a_better_place_is_bounded() -> None:
    fields = operation([ID]).fields
    document: dict[str, Any] = {str(number): {"x": number} for number in range(1000)}
    assert explain_nothing(fields, {"near": {"id": 1}, **document}) == "0 of 1 fields matched; 1 of 1 match at $.near"
    assert explain_nothing(fields, {**document, "far": {"id": 1}}) == "0 of 1 fields matched"


# The provider's own words


# Events


def test_a_list_of_more_values_than_a_result_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.answers.mapping.MAX_VALUES", 100)
    found = operation([ID, {**ID, "name": "other"}], "list")
    assert len(map_document(found, 200, [{}] * 50).records or []) == 50
    with pytest.raises(MappingError, match="51 records of 2 fields, too many for one result"):
        map_document(found, 200, [{}] * 51)


def test_long_lists_are_mapped_in_turns() -> None:
    found = operation([ID], "list")
    rows = [{"id": number} for number in range(2 * RECORDS_PER_TURN + 1)]
    response = Response(200, Headers({"Content-Type": "application/json"}), json.dumps(rows).encode())
    turns = map_turns(found, response)
    yielded = 0
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result = end.value
            break
        yielded += 1
    assert yielded == 3
    assert [record["id"] for record in result.records] == [str(row["id"]) for row in rows]


def read_stream(text: bytes, **response: Any) -> Any:
    fields = [{"name": "t", "type": "String"}]
    declared = {"kind": "sse", "join": ["t"], "fields": fields, **response}
    operation = {"method": "GET", "response": declared}
    resource = {"handle": "things", "endpoint": "/things", "operations": {"do": operation}}
    definition = {"handle": "demo", "service": {"baseURL": "https://api.example.com"}, "resources": [resource]}
    found = parse_connector(definition).operation("things.do")
    return map_response(found, Response(200, Headers({"Content-Type": "text/event-stream"}), text))


@pytest.mark.parametrize(
    ("text", "response"),
    [
        pytest.param(b'data: {"t":"ab"}\n\ndata: [DONE]', {"done": "[DONE]"}, id="the end"),
        pytest.param(b'data: {"t":"ab"}\n\nevent: over\ndata: {}', {"done": "over"}, id="the event of the end"),
        pytest.param(b'data: {"t":"a"}\n\ndata: {"t":"b"}\n', {}, id="a message"),
        pytest.param(b'data: {"t":"ab"}\n\ndata: {"t":"c', {}, id="a message that is cut off is left out"),
        pytest.param(b'data: {"t":"ab"}\n\ndata: 12', {}, id="a number may be cut off"),
    ],
)
def test_report_09_the_last_message_counts_if_it_is_whole(text: bytes, response: dict[str, Any]) -> None:
    assert read_stream(text, **response).fields == {"t": "ab"}


def test_report_33_what_keeps_a_stream_alive_is_not_a_message() -> None:
    text = b'data: {"t":"a"}\n\ndata:\n\nevent: ping\ndata: pong\n\ndata: {"t":"b"}\n\ndata: [DONE]\n\n'
    result = read_stream(text, done="[DONE]", ignore={"events": ["ping"]})
    assert (result.fields, result.raw) == ({"t": "ab"}, [{"t": "a"}, {"t": "b"}])
    with pytest.raises(MappingError, match="not JSON"):
        read_stream(text, done="[DONE]")


def test_report_30_an_answer_that_has_not_been_modified_is_a_success_without_fields() -> None:
    operation = parse_connector(
        {
            "handle": "demo",
            "service": {"baseURL": "https://api.example.com"},
            "resources": [{"handle": "things", "endpoint": "/things", "operations": {"do": {"method": "GET"}}}],
        }
    ).operation("things.do")
    result = map_response(operation, Response(304))
    assert (result.ok, result.status, result.fields, result.raw) == (True, 304, None, None)
    assert result.warnings == ("it has not been modified",)
