"""Writes the documents of an imported connector as files that people can read, none larger than a file may be.

The same documents make the same bytes, so that version control shows what changed between two imports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

#: Resources are split into groups where together they have more characters than this.
LARGE = 200_000
#: No file has more bytes than this; the language reads 1 MiB.
MAX_FILE = 900_000
_WIDTH = 100
_dumps = json.JSONEncoder(ensure_ascii=False).encode


def split_group(group: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """A group of resources in parts that a file can hold; a resource that is too large for one loses its schemas."""
    part: list[dict[str, Any]] = []
    size = 0
    for resource in group:
        length = len(show(resource).encode())
        if length > MAX_FILE:
            resource = _without_schemas(resource)  # noqa: PLW2901 - what is written in its place
            length = len(show(resource).encode())
        if part and size + length > MAX_FILE:
            yield part
            part, size = [], 0
        part.append(resource)
        size += length
    yield part


def _without_schemas(value: Any) -> Any:
    if isinstance(value, dict):
        is_declared = "type" in value and "name" in value
        return {key: _without_schemas(each) for key, each in value.items() if key != "schema" or not is_declared}
    return [_without_schemas(each) for each in value] if isinstance(value, list) else value


def show(value: Any) -> str:
    """JSON text for people: what fits into 100 characters is on one line."""
    return _show(value, 0) + "\n"


def _show(value: Any, indent: int) -> str:
    line = _dumps(value)
    if len(line) <= _WIDTH - indent or not value or not isinstance(value, (dict, list)):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [f"{inner}{_dumps(key)}: {_show(each, indent + 2)}" for key, each in value.items()]
    else:
        parts = [inner + _show(each, indent + 2) for each in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n" + ",\n".join(parts) + f"\n{' ' * indent}{last}"
