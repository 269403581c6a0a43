"""A connector with one operation, and what is wrong with that operation."""

from __future__ import annotations

from typing import Any

from connector.model.definition import Operation
from connector.parsing.connectors import read_connector

AT = ("here",)


def document(source: dict[str, Any], endpoint: Any = "/things", **service: Any) -> dict[str, Any]:
    return {
        "handle": "demo",
        "service": {"baseURL": "https://demo.example/v1", **service},
        "resources": [{"handle": "things", "endpoint": endpoint, "operations": {"do": {"method": "POST", **source}}}],
    }


def read(source: dict[str, Any], **service: Any) -> tuple[Operation, list[tuple[str, str]]]:
    """The operation `things.do` of a connector, and its warnings as code and pointer below the operation."""
    connector, problems = read_connector(document(source, **service))
    assert connector is not None, problems
    prefix = "/resources/0/operations/do"
    found = [(each.code, each.pointer.removeprefix(prefix)) for each in problems if each.pointer.startswith(prefix)]
    return connector.operation("things.do"), found
