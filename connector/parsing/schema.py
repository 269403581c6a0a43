"""The shape of a definition: reading its text, finding what the JSON Schema files refuse, and where each thing stands.

A `Document` is one JSON text with its kind and file name; it finds line and column of a path only for problems. The
JSON Schema files in `schemas/` define the shape, for this module and for editors: `fits` checks it fast, and
`find_shape_problems` reports what is wrong. The other modules of `parsing` check what a definition *means*.
"""

from __future__ import annotations

import bisect
import functools
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from connector.errors import InvalidDefinition, Problem, did_you_mean
from connector.pointers import write_pointer
from connector.strict_json import nesting

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

Kind = Literal["service", "resources", "operations", "overlay", "connector", "automation", "mapping"]
#: The kinds of document and the definition in the schema that each must meet.
KINDS: Mapping[Kind, str] = {
    "service": "Connector",
    "resources": "ResourcesFile",
    "operations": "OperationsFile",
    "overlay": "Overlay",
    "connector": "Connector",
    "automation": "Automation",
    "mapping": "Mapping",
}
#: A definition file has at most this many bytes and nests at most this deep.
MAX_BYTES = 1024 * 1024
MAX_NESTING = 32

Path = tuple[str | int, ...]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_WORDS = {"object": "an object", "array": "a list", "string": "text", "integer": "an integer", "number": "a number"}
_WORDS |= {"boolean": "true or false", "null": "null"}
#: One JSON token: a string, a mark, or a number or word.
_TOKEN = re.compile(r'[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s,\]}]+)', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
#: Of each severity no more problems than this are looked for, and a message has at most this many characters.
_MAX_FINDINGS = 1000
_MAX_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path of a document.

    `at_key` points at the key there instead of its value; `missing` is the member that is not there, if one is.
    """

    code: str
    message: str
    path: Path
    _: KW_ONLY
    hint: str = ""
    at_key: bool = False
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One definition document: its value, its kind, and the text and file it came from, if it did.

    `defects` are what is wrong with the text itself although it can be read: doubled keys.
    """

    value: Any
    kind: Kind
    text: str | None = None
    file: str | None = None
    defects: tuple[Problem, ...] = ()

    @classmethod
    def from_text(cls, text: str, kind: Kind, file: str | None = None) -> Document:
        """Reads JSON text; raises InvalidDefinition when it is too large, too deep, or not JSON.

        Not JSON are also NaN, numbers that no float holds, and texts with half a surrogate pair.
        """

        def refused(code: str, message: str, hint: str = "", line: int = 1, column: int = 1) -> InvalidDefinition:
            return InvalidDefinition([Problem(code, message, hint=hint, file=file or kind, line=line, column=column)])

        if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise refused("E_LIMIT", f"the file is larger than {MAX_BYTES} bytes", "split it: resources/<group>.json")
        text = text.removeprefix("\ufeff")
        suspect = _SURROGATE.search(text) is not None

        def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal suspect
            found = dict(members)
            suspect = suspect or len(found) != len(members)
            return found

        def number(digits: str) -> float:
            nonlocal suspect
            value = float(digits)
            suspect = suspect or not math.isfinite(value)
            return value

        too_deep = f"the file nests deeper than {MAX_NESTING}"
        try:
            value = json.loads(text, object_pairs_hook=pairs, parse_float=number, parse_constant=number)
            # Seldom needed, and then for the text only, since of a doubled key the value keeps the last.
            defects = Positions(text).defects if suspect else []
        except json.JSONDecodeError as error:
            raise refused("E_JSON", f"not JSON: {error.msg.lower()}", "", error.lineno, error.colno) from None
        except RecursionError:
            raise refused("E_LIMIT", too_deep) from None
        except ValueError as error:
            message = too_deep if isinstance(error, _TooDeep) else "a number of the file is too long to be read"
            raise refused("E_LIMIT", message) from None
        if nesting(value) > MAX_NESTING:
            raise refused("E_LIMIT", too_deep)
        document = cls(value=value, kind=kind, text=text, file=file)
        problems = tuple(document._problem(finding, place) for finding, place in defects)
        if any(problem.code == "E_JSON" for problem in problems):
            raise InvalidDefinition(problems)
        return replace(document, defects=problems)

    @classmethod
    def from_value(cls, value: Any, kind: Kind, file: str | None = None) -> Document:
        """The same for parsed JSON, which is copied; its problems have a pointer, but no line and column."""
        try:
            text = json.dumps(value, default=_plain)
            document = cls.from_text(text, kind, file)
        except (TypeError, ValueError, RecursionError):
            problem = Problem(
                "E_JSON",
                "expected a JSON value: objects, lists, texts, numbers",
                file=file or kind,
            )
            raise InvalidDefinition([problem]) from None
        except InvalidDefinition as error:
            raise InvalidDefinition(_without_place(error.problems)) from None
        return replace(document, text=None, defects=_without_place(document.defects))

    def problems(self, findings: Iterable[Finding]) -> list[Problem]:
        """The findings, and the document's own defects, as problems in the order of the file."""
        listed = list(findings)
        positions = Positions(self.text, deepest=sys.maxsize) if self.text is not None and listed else None
        placed = [
            self._problem(
                each, positions.find(each.path, at_key=each.at_key) if positions is not None else (None, None)
            )
            for each in listed
        ]
        return sorted((*self.defects, *placed), key=lambda problem: (problem.line or 0, problem.column or 0))

    def _problem(self, finding: Finding, place: tuple[int | None, int | None]) -> Problem:
        message = finding.message if len(finding.message) <= _MAX_MESSAGE else finding.message[:_MAX_MESSAGE] + "…"
        where = {"file": self.file or self.kind, "pointer": write_pointer(finding.path)}
        return Problem(finding.code, message, hint=finding.hint, line=place[0], column=place[1], **where)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError


def _without_place(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(replace(problem, line=None, column=None) for problem in problems)


class _TooDeep(ValueError):
    pass


class Positions:
    """Where each value and key of a JSON text stands. The text has been parsed once, so it is known to be JSON.

    `defects` are errors that a parser accepts: duplicate keys in one object, numbers that are infinite or NaN, texts
    with half a surrogate pair; each with its line and column.
    """

    def __init__(self, text: str, *, deepest: int = MAX_NESTING) -> None:
        self._deepest = deepest
        self._values: dict[Path, int] = {}
        self._keys: dict[Path, int] = {}
        self._line_starts = [0, *(newline.end() for newline in re.finditer("\n", text))]
        self.defects: list[tuple[Finding, tuple[int, int]]] = []
        tokens = ((token[1], token.start(1)) for token in _TOKEN.finditer(text))
        self._read(tokens, *next(tokens), ())

    def find(self, path: Path, *, at_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of the value (or key) at the path, or of the nearest thing that encloses it."""
        offset = self._keys.get(path) if at_key else None
        while offset is None:
            offset = self._values.get(path)
            path = path[:-1]
        return self._place(offset)

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def _read(self, tokens: Iterator[tuple[str, int]], token: str, offset: int, path: Path) -> None:
        if len(path) > self._deepest:
            raise _TooDeep
        self._values[path] = offset
        if token == "{":
            seen: set[str] = set()
            while (key := next(tokens))[0] != "}":
                if key[0] != ",":
                    self._read_member(tokens, *key, path, seen)
        elif token == "[":
            index = 0
            while (item := next(tokens))[0] != "]":
                if item[0] != ",":
                    self._read(tokens, *item, (*path, index))
                    index += 1
        elif token not in ("true", "false", "null"):
            self._check_scalar(token, offset, path)

    def _read_member(
        self, tokens: Iterator[tuple[str, int]], key: str, offset: int, path: Path, seen: set[str]
    ) -> None:
        name = json.loads(key)
        path = (*path, name)
        self._check_scalar(key, offset, path)
        if name in seen:
            self._complain("E_JSON_DOUBLED_KEY", f"{name[:70]!r} is duplicated", path, offset)
        seen.add(name)
        self._keys[path] = offset
        next(tokens)  # the colon
        self._read(tokens, *next(tokens), path)

    def _check_scalar(self, token: str, offset: int, path: Path) -> None:
        if token[0] != '"':
            if not math.isfinite(float(token)):
                self._complain("E_JSON", f"{token[:70]} is not a JSON number, or is too large for one", path, offset)
        elif _SURROGATE.search(token):
            try:
                json.loads(token).encode()
            except UnicodeEncodeError:
                self._complain("E_JSON", "the text holds an unpaired surrogate", path, offset)

    def _complain(self, code: str, message: str, path: Path, offset: int) -> None:
        self.defects.append((Finding(code, message, path), self._place(offset)))


@functools.cache
def load_schema() -> dict[str, Any]:
    """The schema of all definitions, from the package's own files."""
    # 10 ms to import, which only a process that reads a definition has to pay for.
    import importlib.resources

    text = importlib.resources.files("connector").joinpath("schemas/definition.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text, object_hook=_open)
    return schema


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose open `enum` refuses nothing: plug-ins add to the tables, and readers compare with those.

    The names are in `x-open` then, for hints.
    """
    if "x-open" in schema:
        schema["x-open"] = schema.pop("enum")
    return schema


def fits(value: Any, kind: Kind) -> bool:
    """True if the schema of this kind of document accepts the value: no shape problem but, at most, unknown keys.

    jsonschema reports what is wrong, but takes 66 ms to import and long to run, so valid definitions do not need it.
    """
    return _compile_named(KINDS[kind])(value)


@functools.cache
def _compile_named(name: str) -> Callable[[Any], bool]:
    return _compile(load_schema()["$defs"][name])


def _compile(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """A function that answers as jsonschema's `is_valid`, for those keywords that our schema uses."""
    if "$ref" in schema:
        return _compile_named(schema["$ref"].rpartition("/")[2])
    names = schema.get("type", list(_TYPES))
    types = {each for name in ([names] if isinstance(names, str) else names) for each in _TYPES[name]}
    members = {name: _compile(each) for name, each in schema.get("properties", {}).items()}
    other = _compile(schema["additionalProperties"]) if "additionalProperties" in schema else None
    key = _compile(schema["propertyNames"]) if "propertyNames" in schema else None
    item = _compile(schema["items"]) if "items" in schema else None
    required = frozenset(schema.get("required", ()))
    fewest, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    most_members = schema.get("maxProperties", math.inf)
    shortest = schema.get("minLength", 0)
    pattern = re.compile(schema.get("pattern", ""))
    words = schema.get("enum")
    least, greatest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above = schema.get("exclusiveMinimum", -math.inf)
    every = [_compile(each) for each in schema.get("allOf", ())]
    some = [_compile(each) for each in schema.get("anyOf", ())]
    if "if" in schema:
        condition = _compile(schema["if"])
        branches = [_compile(schema.get(branch, {})) for branch in ("else", "then")]
        every.append(lambda value: branches[condition(value)](value))

    def accepts(value: Any) -> bool:
        if type(value) not in types or (words is not None and value not in words):
            return False
        if type(value) is dict:
            if not required <= value.keys() or len(value) > most_members:
                return False
            for name, each in value.items():
                check = members.get(name, other)
                if (check is not None and not check(each)) or (key is not None and not key(name)):
                    return False
        elif type(value) is list:
            if not fewest <= len(value) <= most or (item is not None and not all(map(item, value))):
                return False
        elif type(value) is str:
            if len(value) < shortest or not pattern.search(value):
                return False
        elif type(value) in (int, float) and not (least <= value <= greatest and value > above):
            return False
        return all(each(value) for each in every) and (not some or any(each(value) for each in some))

    return accepts


@functools.cache
def _validator(kind: Kind) -> Draft202012Validator:
    import jsonschema
    import jsonschema.validators
    import referencing

    standard = jsonschema.Draft202012Validator

    def properties(validator: Any, known: Any, instance: Any, schema: Any) -> Iterator[Any]:
        yield from standard.VALIDATORS["properties"](validator, known, instance, schema)
        names = sorted(known.keys() - {"$schema"})
        # Where other members have a schema of their own, their names are the author's.
        for key in instance if isinstance(instance, dict) and "additionalProperties" not in schema else ():
            if key not in known:
                yield jsonschema.ValidationError(key, validator="unknown", validator_value=names, path=(key,))

    def required(validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001 - theirs
        for name in names if isinstance(instance, dict) else ():
            if name not in instance:
                yield jsonschema.ValidationError(name)

    def unless_too_many(keyword: str) -> Any:
        def check(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
            # What is refused for its number alone need not be looked at one by one (hazard T12).
            if not isinstance(instance, (dict, list)) or len(instance) <= schema.get("maxItems", math.inf):
                yield from standard.VALIDATORS[keyword](validator, inner, instance, schema)

        return check

    checks = {
        "properties": properties,
        "required": required,
        "items": unless_too_many("items"),
        "additionalProperties": unless_too_many("additionalProperties"),
        "propertyNames": unless_too_many("propertyNames"),
    }
    # 1.0 is an integer for jsonschema, but not an index.
    types = standard.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    ours: Any = jsonschema.validators.extend(standard, checks, type_checker=types)  # type: ignore[no-untyped-call]
    # An empty registry: a $ref outside the schema fails instead of being fetched (hazard T52).
    schema = {"$ref": f"#/$defs/{KINDS[kind]}", "$defs": load_schema()["$defs"]}
    validator: Draft202012Validator = ours(schema, registry=referencing.Registry())
    return validator


def find_shape_problems(value: Any, kind: Kind) -> list[Finding]:
    """What the schema of this kind of document refuses (`E_…`), and the keys it does not know (`W_UNKNOWN_KEY`)."""
    errors: dict[Finding, None] = {}
    warnings: dict[Finding, None] = {}
    for error in _validator(kind).iter_errors(value):
        finding = _finding(error)
        found = errors if finding.code.startswith("E_") else warnings
        # One mistake can be met on two branches of the schema.
        if len(found) < _MAX_FINDINGS:
            found[finding] = None
        if len(errors) == _MAX_FINDINGS:
            break
    return [*errors, *warnings]


def _finding(error: Any) -> Finding:
    path: Path = tuple(error.absolute_path)
    expected = error.validator_value
    hint = _description(error.schema)
    at_key = "propertyNames" in error.absolute_schema_path
    if at_key:
        path = (*path, error.instance)
    match error.validator:
        case "unknown":
            hint = did_you_mean(error.message, expected)
            return Finding("W_UNKNOWN_KEY", f"unknown key {error.message[:70]!r}", path, hint=hint, at_key=True)
        case "required":
            name = error.message
            hint = _description(error.schema.get("properties", {}).get(name, {}))
            return Finding("E_MISSING", f"{name!r} is missing", path, hint=hint, missing=name)
        case "anyOf":
            names = " or ".join(repr(name) for branch in expected for name in branch["required"])
            return Finding("E_MISSING", f"{names} is missing", path, hint=hint)
        case "type":
            words = " or ".join(_WORDS[each] for each in ([expected] if isinstance(expected, str) else expected))
            got = next(_WORDS[name] for name, types in _TYPES.items() if type(error.instance) in types)
            return Finding("E_SHAPE", f"expected {words}, got {got}", path, hint=hint)
        case "pattern":
            return Finding("E_NAME", f"{error.instance[:70]!r} is not allowed here", path, hint=hint, at_key=at_key)
        case "enum" | "minimum" | "exclusiveMinimum" | "maximum":
            bound = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}.get(error.validator)
            words = f"{bound} {expected}" if bound else " or ".join(map(repr, expected))
            return Finding("E_SHAPE", f"expected {words}", path, hint=hint)
        case "maxItems" | "maxProperties":
            return Finding("E_LIMIT", f"more than {expected} entries", path, hint=hint)
        case _:
            return Finding("E_SHAPE", "is empty", path, hint=hint)


def _description(schema: Mapping[str, Any]) -> str:
    # A hint is the first sentence of the description, and the names to choose from.
    first, dot, rest = str(schema.get("description", "")).partition(". ")
    hint = first + dot.strip() if rest else first
    named = load_schema()["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    names = named.get("x-open")
    return f"{hint} Known: {', '.join(names)}." if names else hint
