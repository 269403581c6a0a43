"""How the documents of an imported connector become files: texts that people can read, none larger than a file may be.

The same documents give the same bytes, so that what changed between two imports is what a version control shows.
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
    """A group of resources in parts that a file can hold; a resource that none can hold loses its schemas."""
    part: list[dict[str, Any]] = []
    size = 0
    for whole in group:
        resource = whole if len(show(whole).encode()) <= MAX_FILE else _without_schemas(whole)
        length = len(show(resource).encode())
        if part and size + length > MAX_FILE:
            yield part
            part, size = [], 0
        part.append(resource)
        size += length
    yield part


def _without_schemas(value: Any) -> Any:
    if isinstance(value, dict):
        keep = {
            key: each for key, each in value.items() if not (key == "schema" and "type" in value and "name" in value)
        }
        return {key: _without_schemas(each) for key, each in keep.items()}
    return [_without_schemas(each) for each in value] if isinstance(value, list) else value


def show(value: Any) -> str:
    """JSON text for people: what fits on a line of 100 characters stands on one."""
    return _show(value, 0) + "\n"


def _show(value: Any, indent: int) -> str:
    line = _line(value, _WIDTH - indent)
    if line is not None:
        return line
    if not isinstance(value, (dict, list)):
        return _dumps(value)
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [f"{inner}{_dumps(key)}: {_show(each, indent + 2)}" for key, each in value.items()]
    else:
        parts = [inner + _show(each, indent + 2) for each in value]
    first, last = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{first}\n" + ",\n".join(parts) + f"\n{' ' * indent}{last}"


def _line(value: Any, room: int) -> str | None:
    """The value on one line, or None as soon as it is known not to fit."""
    if not isinstance(value, (dict, list)):
        text = _dumps(value)
        return text if len(text) <= room else None
    named = isinstance(value, dict)
    parts = []
    for each in value:
        key = f"{_dumps(each)}: " if named else ""
        inner = _line(value[each] if named else each, room - len(key) - 2)
        if inner is None:
            return None
        parts.append(key + inner)
        room -= len(key) + len(inner) + 2
    return "{" + ", ".join(parts) + "}" if named else f"[{', '.join(parts)}]"
