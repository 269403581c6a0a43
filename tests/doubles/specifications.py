"""Small OpenAPI documents for tests, what an import makes of them, and the specifications in `tests/specs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connector.openapi.importer import Imported, from_openapi
from connector.openapi.text import parse_spec
from connector.requests.build import build_request
from tests.doubles.spec_values import values_of

FOLDER = Path(__file__).parents[1] / "specs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
OBJECT: dict[str, Any] = {"type": "object"}


def load(name: str) -> Any:
    return parse_spec((FOLDER / f"{name}.yaml").read_bytes(), name)


def spec(paths: Any = None, **members: Any) -> dict[str, Any]:
    """A document with these paths, and whatever else."""
    base = {"openapi": "3.1.0", "info": {"title": "Demo", "version": "1"}, "servers": [{"url": "https://demo.example"}]}
    return {**base, "paths": paths or {}, **members}


def call(operation: Any, path: str = "/things", method: str = "post", **members: Any) -> Imported:
    return from_openapi(spec({path: {method: operation}}, **members))


def body(schema: Any, media_type: str = "application/json", **members: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media_type: {"schema": schema, **members}}}}


def answer(schema: Any, media_type: str = "application/json", **members: Any) -> dict[str, Any]:
    return {"responses": {"200": {"description": "ok", "content": {media_type: {"schema": schema, **members}}}}}


def query(schema: Any, **members: Any) -> dict[str, Any]:
    return {"parameters": [{"name": "q", "in": "query", "schema": schema, **members}]}


def only(imported: Imported) -> Any:
    """The definition of the one operation."""
    (group,) = imported.groups.values()
    (operation,) = group[0]["operations"].values()
    return operation


def notes(imported: Imported, kind: str) -> list[str]:
    return [note.message for note in imported.report.notes if note.kind == kind]


def render(imported: Imported, name: str, **inputs: Any) -> tuple[str, str, Any]:
    operation = imported.connector.operation(name)
    request = build_request(operation, inputs, values_of(operation.service))
    return request.method, request.url, request.text
