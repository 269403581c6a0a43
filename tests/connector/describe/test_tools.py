"""Operations as tools: names, strict schemas, and that a schema accepts what the runtime accepts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from connector.describe.tools import LONGEST_NAME, name_inputs, name_tools, read_tool_call, to_tools, tool_inputs
from connector.errors import UnknownOperation
from connector.model.definition import Operation
from connector.parsing.connectors import parse_connector
from connector.requests.build import read_inputs
from runtime.config.catalog import Catalog
from tests.doubles.described import connector
from tests.doubles.spec_values import inputs_of

CATALOG = Catalog()
SHIPPED = [operation for handle in CATALOG.handles() for operation in CATALOG.get(handle).operations.values()]


def objects(schema: Any) -> Any:
    """Every object schema within one."""
    if isinstance(schema, dict):
        if "properties" in schema and "type" in schema:
            yield schema
        for each in schema.values():
            yield from objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from objects(each)


@pytest.mark.parametrize("form", ["mcp", "functions"])
@pytest.mark.parametrize("handle", CATALOG.handles())
def test_tools_are_named_described_and_closed(handle: str, form: Any) -> None:
    tools = to_tools(CATALOG.get(handle), form)
    names = [each["name"] if form == "mcp" else each["function"]["name"] for each in tools]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)
    for tool in tools:
        schema = tool["inputSchema"] if form == "mcp" else tool["function"]["parameters"]
        jsonschema.Draft202012Validator.check_schema(schema)
        assert (tool if form == "mcp" else tool["function"])["description"]
        for each in objects(schema):
            if each.get("additionalProperties") is False:
                assert list(each["properties"]) == each["required"]
        if form == "mcp":
            jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
        elif tool["function"]["strict"]:
            assert all(each["additionalProperties"] is False for each in objects(schema))


@pytest.mark.parametrize("operation", SHIPPED, ids=lambda operation: f"{operation.service.connector} {operation.id}")
def test_the_inputs_that_the_runtime_accepts_are_valid_and_no_others(operation: Operation) -> None:
    validator = jsonschema.Draft202012Validator(tool_inputs(operation))
    for full in (False, True):
        inputs = inputs_of(operation, full=full)
        given_all = dict.fromkeys(operation.inputs) | {
            name: "text" if isinstance(value, bytes) else value for name, value in inputs.items()
        }
        given = {shown: given_all[name] for shown, name in name_inputs(operation).items()}
        assert list(validator.iter_errors(given)) == []
        assert read_inputs(operation, given_all)[1] == []
    assert not validator.is_valid({**given, "no-such-input": 1})


def test_a_name_is_cut_and_told_apart() -> None:
    long = "r" * 60
    made = parse_connector(
        {
            "handle": "demo",
            "service": {"baseURL": "https://demo.example"},
            "resources": [
                {"handle": "a.b", "endpoint": "/a", "operations": {"c": {"method": "GET"}}},
                {"handle": "a_b", "endpoint": "/a", "operations": {"c": {"method": "DELETE", "deprecated": True}}},
                {"handle": long, "endpoint": "/a", "operations": {"one-operation": {"method": "GET"}, "one-operator": {"method": "GET"}}},
            ],
            "operations": [{"handle": "ask", "input": [{"name": "q", "type": "String"}], "steps": [{"type": "http", "http": {"method": "GET", "path": "/{{q}}"}}]}],
        }
    )  # fmt: skip
    made = replace(made, custom_operations={"ask": made.custom_operations["ask"]})
    names = list(name_tools(made))
    assert names[:2] == ["a_b_c", "a_b_c_2"]
    assert [len(name) for name in names[2:4]] == [LONGEST_NAME, LONGEST_NAME]
    tools = to_tools(made)
    assert tools[1]["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": True,
    }
    assert tools[1]["description"] == "Deprecated."
    assert tools[-1]["name"] == "ask"
    assert tools[-1]["annotations"]["destructiveHint"]


def test_kept_schemas_are_closed_and_what_is_open_is_not_strict() -> None:
    city = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "object", "properties": {"t": {}}}},
        },
        "required": ["name"],
    }
    made = connector({"city": {"type": "Object", "schema": city}})
    (tool,) = to_tools(made, "functions")
    closed = tool["function"]["parameters"]["properties"]["city"]
    assert closed["required"] == ["name", "tags"]
    assert closed["properties"]["tags"]["type"] == ["array", "null"]
    assert tool["function"]["strict"] is False
    either = {
        "anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "null"}]
    }
    for kind, schema, strict in (
        ("Any", either, True),
        ("Any", None, False),
        ("Object", {"type": "object", "additionalProperties": {"type": "string"}}, False),
        ("Array", {"type": "array", "items": {"type": "string"}}, True),
        ("Array", None, False),
        ("String", None, True),
    ):
        (tool,) = to_tools(connector({"q": {"type": kind, **({"schema": schema} if schema else {})}}), "functions")
        assert (kind, tool["function"]["strict"]) == (kind, strict)


@pytest.mark.parametrize("operation", SHIPPED, ids=lambda operation: f"{operation.service.connector} {operation.id}")
def test_E19_E20_every_property_has_a_name_and_every_array_items_that_the_apis_of_models_accept(
    operation: Operation,
) -> None:
    schema = tool_inputs(operation)
    assert [name for name in schema["properties"] if not re.fullmatch("[a-zA-Z0-9_.-]{1,64}", name)] == []
    assert sorted(name_inputs(operation).values()) == sorted(operation.inputs)

    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            if "array" in (value.get("type"), *(value["type"] if isinstance(value.get("type"), list) else ())):
                yield value
            for each in value.values():
                yield from arrays(each)
        elif isinstance(value, list):
            for each in value:
                yield from arrays(each)

    assert [each for each in arrays(schema) if "items" not in each and "prefixItems" not in each] == []


def test_E19_the_names_of_a_call_are_translated_back() -> None:
    names = ["created[gte]", "created_gte", "DateSent>", "ü", "a" * 80, "a" * 81]
    made = connector({name: {"type": "String"} for name in names})
    (tool,) = to_tools(made)
    shown = list(tool["inputSchema"]["properties"])
    assert shown == ["created_gte_2", "created_gte", "DateSent", "_", "a" * 64, "a" * 62 + "_2"]
    id, inputs = read_tool_call(made, tool["name"], {**dict.fromkeys(shown, "x"), "_": None, "more": 1})
    assert id == next(iter(made.operations))
    assert inputs == {**{name: "x" for name in names if name != "ü"}, "more": 1}
    with pytest.raises(UnknownOperation):
        read_tool_call(made, "nix", {})


@pytest.mark.parametrize(
    ("method", "name", "reads", "destroys"),
    [
        ("GET", "read", True, False),
        ("HEAD", "exists", True, False),
        ("POST", "create", False, False),
        ("POST", "send_message", False, False),
        ("POST", "cancel", False, True),
        ("POST", "recreate", False, True),
        ("PUT", "update", False, True),
        ("PATCH", "create", False, True),
        ("DELETE", "delete", False, True),
    ],
)
def test_E22_only_what_certainly_adds_is_not_destructive(method: str, name: str, reads: bool, destroys: bool) -> None:
    things = {"handle": "things", "endpoint": "/things", "operations": {name: {"method": method}}}
    made = parse_connector({"handle": "demo", "service": {"baseURL": "https://demo.example"}, "resources": [things]})
    tool, *_ = to_tools(made)
    assert (tool["annotations"]["readOnlyHint"], tool["annotations"]["destructiveHint"]) == (reads, destroys)


def test_E22_a_tool_of_several_steps_has_the_hints_of_the_worst() -> None:
    tools = {each["name"]: each["annotations"] for each in to_tools(CATALOG.get("slack"))}
    assert tools["api-request"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": True,
    }
