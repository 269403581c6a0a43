"""Operations as tools for models: names, descriptions and JSON Schemas, for MCP and for function calling.

Every property of an object is required, an optional one may be null, and no others are allowed, as strict modes demand.
A tool with an input that is an object of any shape is marked as not strict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from connector.describe.schemas import fields_schema, input_schema, with_null
from connector.errors import UnknownOperation
from connector.model.definition import AnyOperation, Connector, CustomOperation, Operation

Form = Literal["mcp", "functions"]
FORMS: tuple[Form, ...] = ("mcp", "functions")
#: Characters that are not allowed in the name of a tool, and its greatest length.
_NOT_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
LONGEST_NAME = 64
#: Characters that are not allowed in the name of a property: a model's API refuses all tools for one of them.
_NOT_PROPERTY = re.compile(r"[^a-zA-Z0-9_.-]+")
_ANYTHING = ("string", "number", "boolean", "object", "array")
#: The elements of an array that is described no further; Gemini and OpenAI refuse an array without `items`.
_ANY_ITEMS = {"type": ["string", "number", "boolean", "object"]}
#: What an operation whose POST only adds something is called.
_ADDS = frozenset({"add", "append", "create", "insert", "invite", "post", "publish", "register", "send", "upload"})
#: Members of a schema that do not restrict values.
_WORDS = frozenset({"description", "default"})


def to_tools(connector: Connector, form: Form = "mcp") -> list[dict[str, Any]]:
    """Returns a tool for each operation, the custom ones last.

    For `mcp`: `name`, `description`, `inputSchema`, `outputSchema`, `annotations`; for `functions`, as function calling
    takes it: `{"type": "function", "function": {"name", "description", "parameters", "strict"}}`.
    """
    return [_tool(name, operation, form) for name, operation in name_tools(connector).items()]


def name_tools(connector: Connector) -> dict[str, AnyOperation]:
    """Returns the operations by unique names of tools: at most 64 letters, digits, `_` and `-`."""
    named: dict[str, AnyOperation] = {}
    operations: list[AnyOperation] = [*connector.operations.values(), *connector.custom_operations.values()]
    for operation in operations:
        short = _NOT_NAME.sub("_", operation.id)[:LONGEST_NAME]
        name, number = short, 2
        while name in named:
            mark = f"_{number}"
            name, number = short[: LONGEST_NAME - len(mark)] + mark, number + 1
        named[name] = operation
    return named


def name_inputs(operation: AnyOperation) -> dict[str, str]:
    """Returns the inputs of an operation by the names of a tool's properties: `created[gte]` by `created_gte`."""
    named: dict[str, str] = {}
    for name in operation.inputs:
        short = (_NOT_PROPERTY.sub("_", name).strip("_") or "_")[:LONGEST_NAME]
        unique, number = short, 2
        while unique in named or (unique != name and unique in operation.inputs):
            mark = f"_{number}"
            unique, number = short[: LONGEST_NAME - len(mark)] + mark, number + 1
        named[unique] = name
    return named


def read_tool_call(connector: Connector, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the id of an operation and its inputs for a model's call of a tool; null means "not given".

    Raises UnknownOperation for an unknown tool. An argument without a property is kept, so that the call refuses it.
    """
    tools = name_tools(connector)
    if name not in tools:
        raise UnknownOperation(connector.handle, name, list(tools))
    operation = tools[name]
    names = name_inputs(operation)
    nullable = {each for each, placeholder in operation.inputs.items() if placeholder.nullable}
    given = {names.get(each, each): value for each, value in arguments.items()}
    return operation.id, {each: value for each, value in given.items() if value is not None or each in nullable}


def _annotations(operation: AnyOperation) -> dict[str, bool]:
    """Returns the hints of MCP; `destructiveHint` is false only for what only reads or adds."""
    if not isinstance(operation, Operation):
        # Its steps may do anything, and so may a call of any path.
        return {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}
    reads = operation.method in ("GET", "HEAD", "OPTIONS")
    adds = operation.method == "POST" and re.split(r"[-_]", operation.name.lower())[0] in _ADDS
    return {
        "readOnlyHint": reads,
        "destructiveHint": not (reads or adds),
        "idempotentHint": operation.idempotent,
        "openWorldHint": True,
    }


def _tool(name: str, operation: AnyOperation, form: Form) -> dict[str, Any]:
    schema = tool_inputs(operation)
    words = [text for text in (operation.short, operation.description) if text]
    if isinstance(operation, Operation) and operation.deprecated:
        words.append("Deprecated.")
    description = "\n".join(words) or operation.id
    if form == "functions":
        function = {"name": name, "description": description, "parameters": schema, "strict": _is_closed(schema)}
        return {"type": "function", "function": function}
    output = result_schema(operation)
    hints = _annotations(operation)
    return {
        "name": name,
        "description": description,
        "inputSchema": schema,
        "outputSchema": output,
        "annotations": hints,
    }


def tool_inputs(operation: AnyOperation) -> dict[str, Any]:
    """Returns the schema of an object with all inputs; an optional one may be null, which means "not given"."""
    members = {}
    for shown, name in name_inputs(operation).items():
        placeholder = operation.inputs[name]
        schema = _closed(input_schema(placeholder, operation.places.get(name, ())))
        must = placeholder.required and placeholder.default is None
        if "type" not in schema and "anyOf" not in schema:
            # Null means "not given", so a required input is anything else.
            schema |= {"type": list(_ANYTHING), "items": _ANY_ITEMS}
        members[shown] = schema if must else with_null(schema)
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a schema in which every object with known members requires all of them and allows no others."""
    found = dict(schema)
    if "array" in (found.get("type"), *_listed(found.get("type"))) and "prefixItems" not in found:
        found.setdefault("items", _ANY_ITEMS)
    if isinstance(found.get("items"), Mapping):
        found["items"] = _closed(found["items"])
    if isinstance(found.get("anyOf"), list):
        found["anyOf"] = [_closed(each) for each in found["anyOf"]]
    if isinstance(found.get("properties"), Mapping) and not isinstance(found.get("additionalProperties"), Mapping):
        required = found.get("required", [])
        found["properties"] = {
            name: _closed(each) if name in required else with_null(_closed(each))
            for name, each in found["properties"].items()
        }
        found["required"] = list(found["properties"])
        found["additionalProperties"] = False
    return found


def _listed(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else []


def _is_closed(schema: Mapping[str, Any]) -> bool:
    """Returns True if a schema restricts every part of a value, as strict modes demand."""
    if not schema.keys() - _WORDS:
        return False
    kind = schema.get("type")
    kinds = _listed(kind) or [kind]
    if "object" in kinds and schema.get("additionalProperties") is not False:
        return False
    return all(_is_closed(each) for each in _parts(schema))


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from schema.get("properties", {}).values()
    yield from schema.get("anyOf", ())
    if isinstance(schema.get("items"), Mapping):
        yield schema["items"]


def result_schema(operation: AnyOperation) -> dict[str, Any]:
    """Returns the schema of a result: `status`, and `fields` or `records`; the other one is null."""
    fields = operation.output if isinstance(operation, CustomOperation) else operation.fields
    one = fields_schema(fields) if fields else {"type": "object"}
    lists = isinstance(operation, Operation) and operation.lists
    return {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "status": {"type": "integer"},
            "fields": {"type": "null"} if lists else with_null(one),
            "records": {"type": ["array", "null"], "items": one} if lists else {"type": "null"},
            "raw": {"description": "The whole answer of the provider."},
        },
        "required": ["ok", "status", "fields", "records"],
    }
