"""The shape of a definition: reading its text, finding what the JSON Schema files refuse, and where each thing stands.

A `Document` is one JSON text with its kind and file name; it turns a path into a line and column only when a problem
has to be shown. The schema files in `schemas/` are the one statement of the shape, for this module and for editors.
What a well-shaped definition *means* is checked by `parsing`, not here.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from connector.errors import InvalidDefinition, Problem, did_you_mean

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

Kind = Literal["service", "resources", "operations", "overlay", "connector"]
#: The kinds of document and the definition in the schema that each must meet.
KINDS: dict[Kind, str] = {
    "service": "Service",
    "resources": "Resources",
    "operations": "CustomOperations",
    "overlay": "Overlay",
    "connector": "Connector",
}
#: A definition file has at most this many bytes and nests at most this deep.
MAX_BYTES = 1024 * 1024
MAX_NESTING = 32

Path = tuple[str | int, ...]
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path of a document; `at_key` points at the key there instead of its value."""

    code: str
    message: str
    path: Path
    hint: str = ""
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """One definition document: its value, its kind, and the text and file it came from, if it did."""

    value: Any
    kind: Kind
    text: str | None = None
    file: str | None = None
    doubled: tuple[Finding, ...] = ()

    @classmethod
    def from_text(cls, text: str, kind: Kind, file: str | None = None) -> Document:
        """Reads JSON text; raises InvalidDefinition when it is too large, too deep, or not JSON.

        A doubled key does not stop the reading: it is kept as a finding, so that all problems are shown at once.
        """
        if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise _refused("E_LIMIT", f"the file is larger than {MAX_BYTES} bytes", "split it: resources/<group>.json", file)
        doubled = False

        def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal doubled
            found = dict(members)
            doubled = doubled or len(found) != len(members)
            return found

        def constant(name: str) -> Any:
            raise _refused("E_JSON", f"{name} is not JSON", "write a number, a text or null", file)

        try:
            value = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=pairs, parse_constant=constant)
        except json.JSONDecodeError as error:
            raise InvalidDefinition(
                [Problem("E_JSON", f"not JSON: {error.msg.lower()}", "", "", file, error.lineno, error.colno)]
            ) from None
        except (RecursionError, ValueError):
            raise _refused("E_LIMIT", "the file nests too deeply or holds a number too long to read", "", file) from None
        document = cls(value, kind, text, file)
        if nesting(value) > MAX_NESTING:
            raise _refused("E_LIMIT", f"the file nests deeper than {MAX_NESTING}", "", file)
        if doubled:
            return cls(value, kind, text, file, tuple(Positions(text).doubled))
        return document

    def problems(self, findings: Iterator[Finding] | list[Finding]) -> list[Problem]:
        """The findings as problems with line and column, in the order of the file."""
        positions = Positions(self.text) if self.text is not None else None
        return sorted(
            (self._problem(finding, positions) for finding in findings),
            key=lambda problem: (problem.line or 0, problem.column or 0),
        )

    def _problem(self, finding: Finding, positions: Positions | None) -> Problem:
        line = column = None
        if positions is not None:
            line, column = positions.find(finding.path, at_key=finding.at_key)
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in finding.path)
        return Problem(finding.code, finding.message, finding.hint, pointer, self.file or self.kind, line, column)


def _refused(code: str, message: str, hint: str, file: str | None) -> InvalidDefinition:
    return InvalidDefinition([Problem(code, message, hint, "", file, 1, 1)])


def nesting(value: Any) -> int:
    """How deep a JSON value nests: 0 for a scalar, 1 for a flat list."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    return depth


class Positions:
    """Where each value and key of a JSON text stands. The text has been parsed once, so it is known to be JSON.

    `doubled` are the keys that occur twice in one object.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._values: dict[Path, int] = {}
        self._keys: dict[Path, int] = {}
        self.doubled: list[Finding] = []
        self._read(self._skip(1 if text.startswith("\ufeff") else 0), ())

    def find(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value (or key) at the path, or of the nearest thing that encloses it."""
        offset = self._keys.get(path) if at_key else None
        while offset is None:
            offset = self._values.get(path)
            path = path[:-1]
        before = self._text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    def _skip(self, place: int) -> int:
        return _SPACE.match(self._text, place).end()  # type: ignore[union-attr] - it matches anywhere

    def _read(self, place: int, path: Path) -> int:
        self._values[path] = place
        opening = self._text[place]
        if opening == '"':
            return json.decoder.scanstring(self._text, place + 1)[1]  # type: ignore[attr-defined]
        if opening not in "{[":
            return _SCALAR.match(self._text, place).end()  # type: ignore[union-attr] - a scalar stands here
        closing = "}" if opening == "{" else "]"
        place = self._skip(place + 1)
        index = 0
        while self._text[place] != closing:
            step: str | int = index
            if opening == "{":
                step, end = json.decoder.scanstring(self._text, place + 1)  # type: ignore[attr-defined]
                if (*path, step) in self._keys:
                    self.doubled.append(Finding("E_JSON_DOUBLED_KEY", f"{step!r} stands twice", (*path, step, 0), at_key=True))
                    self._keys[(*path, step, 0)] = place
                else:
                    self._keys[(*path, step)] = place
                place = self._skip(self._skip(end) + 1)
            place = self._skip(self._read(place, (*path, step)))
            index += 1
            if self._text[place] == ",":
                place = self._skip(place + 1)
        return place + 1


@functools.cache
def load_schema() -> dict[str, Any]:
    """The schema of all definitions, from the package's own files."""
    text = importlib.resources.files("connector").joinpath("schemas/definition.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


@functools.cache
def _validator(kind: Kind) -> Draft202012Validator:
    # 66 ms to import, which only a definition with problems (and `lint`) has to pay for.
    import jsonschema
    import referencing

    checks = jsonschema.Draft202012Validator.VALIDATORS

    def properties(validator: Any, known: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        yield from checks["properties"](validator, known, instance, schema)
        if isinstance(instance, dict) and "additionalProperties" not in schema:
            for key in instance:
                if key not in known:
                    yield jsonschema.ValidationError(
                        f"unknown key {key!r}", validator="unknown", path=(key,), validator_value=sorted(known)
                    )

    closed = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"properties": properties})
    # An empty registry: a $ref outside the schema fails instead of being fetched (hazard T52).
    schema = {"$ref": f"#/$defs/{KINDS[kind]}", "$defs": load_schema()["$defs"]}
    validator: Draft202012Validator = closed(schema, registry=referencing.Registry())
    return validator


def find_shape_problems(value: Any, kind: Kind) -> Iterator[Finding]:
    """What the schema of this kind of document refuses (codes `E_…`), and the keys it does not know (`W_UNKNOWN_KEY`)."""
    seen: set[tuple[str, Path]] = set()
    for error in _validator(kind).iter_errors(value):
        finding = _finding(error)
        if (finding.message, finding.path) not in seen:
            seen.add((finding.message, finding.path))
            yield finding


def _finding(error: ValidationError) -> Finding:
    path: Path = tuple(error.absolute_path)
    expected: Any = error.validator_value
    in_key = any(step == "propertyNames" for step in error.absolute_schema_path)
    if in_key:
        path = (*path, error.instance)
    match error.validator:
        case "unknown":
            return Finding("W_UNKNOWN_KEY", error.message, path, did_you_mean(str(path[-1]), expected), at_key=True)
        case "required":
            missing = next(name for name in expected if name not in error.instance)
            description = error.schema.get("properties", {}).get(missing, {}).get("description", "")
            return Finding("E_MISSING", f"{missing!r} is missing", path, description)
        case "type":
            wanted = expected if isinstance(expected, list) else [expected]
            words = " or ".join(_WORDS[each] for each in wanted)
            return Finding("E_SHAPE", f"expected {words}, got {_kind_of(error.instance)}", path, _hint(error), in_key)
        case "pattern":
            return Finding("E_NAME", f"{str(error.instance)[:70]!r} is not allowed here", path, _hint(error), in_key)
        case "enum":
            return Finding("E_SHAPE", "expected one of " + ", ".join(map(repr, expected)), path, _hint(error))
        case "maxItems" | "maxProperties":
            return Finding("E_LIMIT", f"more than {expected} entries", path, _hint(error))
        case "anyOf":
            return Finding("E_MISSING", "'handle' or 'name', 'type' or 'value' is missing", path, _hint(error))
        case _:
            return Finding("E_SHAPE", "empty", path, _hint(error), in_key)


def _hint(error: ValidationError) -> str:
    return str(error.schema.get("description", "")) if isinstance(error.schema, dict) else ""


def _kind_of(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean"}
    return _WORDS[names.get(type(value), "null")]
