"""JSON Schemas of inputs, fields and answers."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.describe.schemas import answer_schema, input_schema, inputs_schema, with_null
from connector.describe.tools import result_schema, tool_inputs
from connector.requests.build import read_inputs
from tests.doubles.described import connector

KINDS = ["String", "Integer", "Number", "Boolean", "Array", "Object", "Any", "Date", "DateTime", "File"]


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.floats(-10, 10)
    | st.text("ab", max_size=3)
    | st.lists(st.just("a"), max_size=2)
    | st.just({"a": 1})
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.booleans(),
    st.sampled_from([{}, {"options": True}, {"minimum": 0, "maximum": 5}, {"nullable": True}]),
    VALUES,
)
def test_what_a_schema_allows_the_runtime_accepts(kind: str, required: bool, more: Any, value: Any) -> None:
    options = {"String": ["a", "b"], "Integer": [1, 2], "Number": [0.5], "Array": ["a"]}.get(kind)
    bounds = {"options": options} if "options" in more and options else {} if "options" in more else more
    operation = connector({"q": {"type": kind, "required": required, **bounds}}).operation("x.y.do")
    allowed = jsonschema.Draft202012Validator(tool_inputs(operation)).is_valid({"q": value})
    accepted = read_inputs(operation, {"q": value})[1] == []
    if allowed:
        assert accepted
    elif accepted and value is not None:
        # What is accepted beyond: numbers as text, text as numbers, timestamps as dates.
        assert kind in ("String", "Integer", "Number", "Boolean", "Date", "DateTime", "File")
        assert isinstance(value, (str, int, float))


def test_null_joins_whatever_there_is() -> None:
    assert with_null({}) == {}
    assert with_null({"type": ["string", "null"]}) == {"type": ["string", "null"]}
    assert with_null({"type": ["string", "integer"]}) == {"type": ["string", "integer", "null"]}
    assert with_null({"type": "string", "enum": ["a"]}) == {"type": ["string", "null"], "enum": ["a", None]}
    assert with_null({"anyOf": [{"type": "string"}]}) == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert with_null({"anyOf": [{"type": "null"}]}) == {"anyOf": [{"type": "null"}]}


def test_results_and_answers_are_described() -> None:
    fields = [
        {"name": "id", "type": "Integer", "meta": {"description": "Its id."}},
        {"name": "tags", "type": "String", "selector": ["tags", 0], "multivalue": True},
    ]
    made = connector({}, fields=fields, records=["data"]).operation("x.y.do")
    row = result_schema(made)["properties"]["records"]["items"]
    assert row["properties"]["id"] == {"type": ["integer", "null"], "description": "Its id."}
    assert row["properties"]["tags"] == {"type": "array", "items": {"type": ["string", "null"]}}
    data = answer_schema(made)["properties"]["data"]
    assert data["items"]["properties"]["tags"] == {"type": "array", "items": {"type": ["string", "null"]}}
    assert answer_schema(connector({}).operation("x.y.do")) == {}
    clash = [{"name": "a", "type": "Any", "selector": ["a"]}, {"name": "b", "type": "Any", "selector": ["a", "b"]},
             {"name": "c", "type": "Any", "selector": ["a", 0]}, {"name": "d", "type": "String", "selector": ["a", "b"]}]  # fmt: skip
    assert answer_schema(connector({}, fields=clash).operation("x.y.do"))["properties"]["a"]["properties"]["b"] == {
        "type": ["string", "null"]
    }
    assert answer_schema(connector({}, records="$..x", fields=clash[:1]).operation("x.y.do"))["type"] == "array"
    path = connector({}, path="/{{id}}").operation("x.y.do")
    assert input_schema(path.inputs["id"], path.places["id"]) == {"type": "string", "minLength": 1}
    assert inputs_schema(path) == {
        "type": "object",
        "properties": {"id": {"type": "string", "minLength": 1}},
        "required": ["id"],
        "additionalProperties": False,
    }
