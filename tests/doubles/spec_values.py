"""Values for the inputs of a connector that was made from a specification: from the schema that an input keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connector.model.definition import Operation
from connector.model.service import Service
from connector.templates import Placeholder

FORMATS = {
    "uuid": "5d2c9f0e-8a4b-4c1d-9e7f-0a1b2c3d4e5f",
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "uri": "https://mail.example/x",
    "email": "name@mail.example",
    "binary": "text",
}


def value_of(placeholder: Placeholder, *, full: bool = False) -> Any:
    """A value for one input; `full` adds optional members of objects."""
    if placeholder.type == "File":
        return b"a,b\n1,2\n"
    if placeholder.options:
        return list(placeholder.options[:1]) if placeholder.type == "Array" else placeholder.options[0]
    if placeholder.schema:
        return from_schema(placeholder.schema, full=full)
    simple = {"String": "text", "Number": 0.5, "Boolean": True, "Array": ["text"], "Object": {}, "Any": "text"}
    simple |= {"Date": "2026-01-02", "DateTime": "2026-01-02T03:04:05Z"}
    if placeholder.type in ("Integer", "Number"):
        value = simple.get(placeholder.type, 3)
        value = max(value, placeholder.minimum if placeholder.minimum is not None else value)
        return min(value, placeholder.maximum if placeholder.maximum is not None else value)
    return simple[placeholder.type]


def inputs_of(operation: Operation, *, full: bool) -> dict[str, Any]:
    """The inputs that are required, or all that there are."""
    return {
        name: value_of(each, full=full)
        for name, each in operation.inputs.items()
        if full or (each.required and each.default is None)
    }


def from_schema(schema: Mapping[str, Any], *, full: bool = False) -> Any:
    """A value of a kept schema: required members, first alternatives."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return from_schema(schema["anyOf"][0], full=full)
    kind = schema.get("type")
    kind = next(each for each in kind if each != "null") if isinstance(kind, list) else kind
    if kind == "object":
        required = schema.get("required", ())
        members = schema.get("properties", {})
        return {
            name: from_schema(each, full=full)
            for name, each in members.items()
            if full or name in required or len(each.get("enum", ())) == 1
        }
    if kind == "array":
        return [from_schema(schema.get("items", {}), full=full)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2))
        return int((low + high) / 2) if kind == "integer" else (low + high) / 2
    if kind == "boolean":
        return True
    text = FORMATS.get(schema.get("format", ""), "text")
    if "pattern" in schema:
        return next((each for each in ("text", "en", "a-1") if re.search(schema["pattern"], each)), text)
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 9999)]


def values_of(service: Service) -> dict[str, str]:
    """Values of a connection that can be used."""
    found = {"baseURL": "https://demo.example"} if "baseURL" in service.placeholders else {}
    for name, placeholder in service.placeholders.items():
        if name != "authMethod":
            found.setdefault(name, placeholder.default or (placeholder.options or ("x",))[0])
    return found
