"""Inputs, bodies and answers of operations as JSON Schemas (2020-12), for tools, pages and OpenAPI documents.

A schema accepts the values that the runtime accepts, if they have their own JSON types (numeric text is not mentioned).
The schema of a type is in its row of `connector.types`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector.model.definition import AnyOperation, Field, Operation
from connector.protocols import Body
from connector.requests.trees import SlotSchema
from connector.selectors import Every, Selector, Walk, read_walk, show_walk
from connector.templates import Placeholder

Schema = dict[str, Any]
#: Types whose values stay as they are between quotes.
_TEXT_TYPES = frozenset({"String", "Date", "DateTime", "File", "Any"})


def input_schema(placeholder: Placeholder, places: Iterable[str] = ()) -> Schema:
    """Returns the schema of one input; `places` are where it lands: a value in a path is not empty."""
    schema: Schema = {**placeholder.convertor.json_schema, **(placeholder.schema or {})}
    if placeholder.type == "Array" and placeholder.options:
        schema["items"] = {**schema.get("items", {}), "enum": list(placeholder.options)}
    elif placeholder.options:
        schema["enum"] = list(placeholder.options)
    if placeholder.type in ("Integer", "Number", "Any"):
        bounds = {"minimum": placeholder.minimum, "maximum": placeholder.maximum}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if "path" in places and schema.get("type") == "string":
        schema.setdefault("minLength", 1)
    if placeholder.default is not None:
        schema["default"] = placeholder.default
    if placeholder.nullable:
        schema = with_null(schema)
    if placeholder.description:
        schema["description"] = placeholder.description
    return schema


def inputs_schema(operation: AnyOperation) -> Schema:
    """Returns the schema of an object with the inputs of an operation, and no others."""
    inputs = operation.inputs
    return {
        "type": "object",
        "properties": {name: input_schema(each, operation.places.get(name, ())) for name, each in inputs.items()},
        "required": [name for name, each in inputs.items() if each.required and each.default is None],
        "additionalProperties": False,
    }


def body_schema(operation: Operation, body: Body) -> tuple[Schema, bool]:
    """Returns the schema of a body once its slots are filled, and whether it is always sent."""

    def find(name: str) -> SlotSchema:
        placeholder = operation.inputs.get(name) or operation.service.placeholders[name]
        schema = input_schema(placeholder)
        return SlotSchema(
            value=schema,
            text=schema if placeholder.type in _TEXT_TYPES else {"type": "string"},
            is_given=placeholder.required or placeholder.default is not None,
            options=placeholder.options,
        )

    return body.describe(find)


def with_null(schema: Schema) -> Schema:
    """Returns the schema with null allowed."""
    kind = schema.get("type")
    if isinstance(kind, str):
        schema = {**schema, "type": [kind, "null"]}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    elif isinstance(kind, list):
        schema = schema if "null" in kind else {**schema, "type": [*kind, "null"]}
    elif "anyOf" in schema and {"type": "null"} not in schema["anyOf"]:
        schema = {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema


def field_schema(field: Field) -> Schema:
    """Returns the schema of one field of a result: null if it is missing, a list if there are many values."""
    schema = dict(field.convertor.json_schema)
    schema.pop("format", None)
    schema = {"type": "array", "items": with_null(schema)} if field.multivalue else with_null(schema)
    return {**schema, "description": field.description} if field.description else schema


def fields_schema(fields: Iterable[Field]) -> Schema:
    """Returns the schema of an object with all of these fields."""
    members = {each.name: field_schema(each) for each in fields}
    return {"type": "object", "properties": members, "required": list(members)}


def answer_schema(operation: Operation) -> Schema:
    """Returns the schema of the provider's answer, as far as the selectors of the operation show it."""
    records = operation.records
    return payload_schema(operation.fields, () if records is None else (*(_walk(records) or ()), Every()))


def payload_schema(fields: Iterable[Field], within: Walk = ()) -> Schema:
    """Returns the schema of a message, as far as the selectors of its fields show it; they begin `within` a part."""
    root: Schema = {}
    row = _at(root, within)
    for field in fields:
        walk = _walk(field.selector)
        if walk is None or (place := _at(row, walk)):
            continue
        place |= {key: value for key, value in with_null(dict(field.convertor.json_schema)).items() if key != "format"}
        if field.description:
            place["description"] = field.description
    return root


def _walk(selector: Selector) -> Walk | None:
    """Returns the steps of a selector; None if it is not a plain walk."""
    walk = read_walk(selector.text)
    return walk if show_walk(walk) == selector.text else None


def _at(schema: Schema, walk: Walk) -> Schema:
    """Returns the part at the end of a walk, and adds missing parts; a detached one if the walk is blocked."""
    for step in walk:
        key, kind = ("properties", "object") if isinstance(step, str) else ("items", "array")
        if schema.setdefault("type", kind) != kind:
            return {"type": kind}
        inner = schema.setdefault(key, {})
        schema = inner.setdefault(step, {}) if isinstance(step, str) else inner
    return schema
