"""Resolves the references of a specification, and merges its schemas in the words of OpenAPI 3.1.

References lead within the document and are never fetched. A schema is *flat* once its `$ref`, `allOf`, `oneOf` and
`anyOf` are merged into one level and the words of OpenAPI 3.0 are replaced; its properties are flattened only when they
are read, so a schema that holds itself costs nothing.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from connector.describe.schemas import with_null
from connector.pointers import read_pointer

#: References, alternatives and parts are followed this deep, and this many of them are read.
MAX_DEPTH = 100
MAX_BRANCHES = 100
#: This many properties of one object are read.
MAX_PROPERTIES = 2000
#: A schema that is kept has at most this many parts, and nests at most this deep as JSON.
MAX_KEPT = 600
MAX_KEPT_NESTING = 18

#: Members that are taken over from one schema into another if they are of their kind.
_MEMBERS: Mapping[str, type] = {
    **dict.fromkeys(("type", "default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), object),
    **dict.fromkeys(("multipleOf", "items", "additionalProperties", "example", "variants"), object),
    **dict.fromkeys(("format", "pattern", "title", "description", "contentMediaType", "contentEncoding"), str),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), int),
    **dict.fromkeys(("readOnly", "writeOnly", "deprecated", "nullable", "uniqueItems"), bool),
    **dict.fromkeys(("enum", "examples"), list),
    "x-connector": dict,
}
#: Members of a kept schema other than its type, properties, items and alternatives.
_KEPT = (
    *("format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems", "multipleOf"),
)
_DESCRIPTION = 160

Flat = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """One finding of an import: what was `kept`, `guessed` or `lost`, and of which part of the specification."""

    kind: Literal["kept", "guessed", "lost"]
    where: str
    message: str


@dataclass(slots=True)
class Report:
    """What an import kept, guessed and lost, in the order it was found, each once."""

    notes: dict[Note, None] = field(default_factory=dict)

    def add(self, kind: Literal["kept", "guessed", "lost"], where: str, message: str) -> None:
        """Adds one note."""
        self.notes[Note(kind, where, message)] = None


@dataclass(slots=True)
class Specification:
    """A parsed OpenAPI document: what its references lead to and what its schemas come to.

    A reference that cannot be followed is reported, and counts as a schema that allows anything.
    """

    document: Mapping[str, Any]
    report: Report = field(default_factory=Report)
    flats: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: Which member of a flat schema holds the records of a list, by the identity of the schema.
    lists: dict[int, str | None] = field(default_factory=dict)

    def resolve(self, node: Any, where: str) -> Mapping[str, Any]:
        """The object that a node is, or that its references lead to; empty for anything else."""
        seen: set[str] = set()
        while isinstance(node, Mapping) and isinstance(node.get("$ref"), str):
            reference = node["$ref"]
            if reference in seen or len(seen) > MAX_DEPTH:
                self.report.add("lost", where, f"the reference {reference[:100]!r} leads to itself")
                return {}
            seen.add(reference)
            node = self._follow(reference, where)
        return as_object(node)

    def _follow(self, reference: str, where: str) -> Any:
        if not reference.startswith("#"):
            message = f"the reference {reference[:100]!r} leads out of the file; bundle the files into one first"
            self.report.add("lost", where, message)
            return None
        node: Any = self.document
        for step in read_pointer(urllib.parse.unquote(reference[1:])):
            if isinstance(node, Mapping):
                node = node.get(step)
            elif isinstance(node, list) and step.isascii() and step.isdigit() and len(step) < 7:
                node = node[int(step)] if int(step) < len(node) else None
            else:
                node = None
        if node is None:
            self.report.add("lost", where, f"the reference {reference[:100]!r} leads nowhere")
        return node

    def flat(self, schema: Any, where: str, depth: int = 0) -> Flat:
        """The schema on one level.

        It has `type` (at most one), `nullable`, `enum`, `properties`, `required`, `items` and other members of schemas;
        `variants` is how many alternatives were merged into it.
        """
        if not isinstance(schema, Mapping):
            return {}
        known = self.flats.get(id(schema))
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            self.report.add("lost", where, "a schema nests too deeply to be read")
            return {}
        # A schema that is part of itself adds nothing to itself.
        self.flats[id(schema)] = {}
        merged: dict[str, Any] = {}
        if isinstance(schema.get("$ref"), str):
            merged = dict(self.flat(self.resolve(schema, where), where, depth + 1))
        for part in islice(items(schema.get("allOf")), MAX_BRANCHES):
            _merge(merged, self.flat(part, where, depth + 1))
        for alternatives in (schema.get("oneOf"), schema.get("anyOf")):
            branches = [self.flat(each, where, depth + 1) for each in islice(items(alternatives), MAX_BRANCHES)]
            if branches:
                _merge(merged, _choice(branches))
        _merge(merged, _own(schema))
        if "type" not in merged and (inferred := _infer(merged)) is not None:
            merged["type"] = inferred
        self.flats[id(schema)] = merged
        return merged

    def keep(self, schema: Any, where: str, *, nesting: int = MAX_KEPT_NESTING) -> dict[str, Any]:
        """The schema in JSON Schema 2020-12, its references in place, cut where it nests too deeply or holds itself."""
        return _Keeper(self, where).keep(schema, nesting, ())


def _own(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a schema itself, without its references and parts, in the words of OpenAPI 3.1."""
    own = {key: schema[key] for key, kind in _MEMBERS.items() if key in schema and isinstance(schema[key], kind)}
    _put_type(own, own.pop("type", None))
    values = [schema["const"]] if "const" in schema else own.pop("enum", [])
    if None in values:
        own["nullable"] = True
    if rest := [each for each in values if each is not None]:
        own["enum"] = rest
    elif values:
        own["type"] = "null"
    for low, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        # In OpenAPI 3.0 a flag that makes the other bound exclusive.
        if isinstance(own.get(exclusive), bool) and own.pop(exclusive) and low in own:
            own[exclusive] = own.pop(low)
    for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"):
        if not is_number(own.get(bound, 0)):
            del own[bound]
    if own.get("type") == "null":
        del own["type"]
        own["nullable"] = own["null"] = True
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        own["properties"] = dict(islice(properties.items(), MAX_PROPERTIES))
    required = [name for name in islice(items(schema.get("required")), MAX_PROPERTIES) if isinstance(name, str)]
    if required:
        own["required"] = required
    return own


def _put_type(own: dict[str, Any], types: Any) -> None:
    """The one type, or `types` where there are several; null among them makes the value nullable."""
    if isinstance(types, list):
        named = [each for each in types if isinstance(each, str)]
        rest = [each for each in named if each != "null"]
        if len(rest) < len(named):
            own["nullable"] = True
        types = rest[0] if len(rest) == 1 else "number" if set(rest) == {"integer", "number"} else None
        if len(rest) > 1 and types is None:
            own["types"] = rest
    if isinstance(types, str):
        own["type"] = types


def is_number(value: Any) -> bool:
    """True for a JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _infer(schema: Mapping[str, Any]) -> str | None:
    """The type of a schema that does not name it."""
    if "properties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    kinds = {type(each) for each in schema.get("enum", ())}
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(kinds.pop()) if len(kinds) == 1 else None


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds more about the same value: properties and required names are joined, all else is replaced."""
    for key, value in more.items():
        if key == "properties":
            into[key] = dict(islice({**into.get(key, {}), **value}.items(), MAX_PROPERTIES))
        elif key == "required":
            into[key] = list(dict.fromkeys([*into.get(key, []), *value]))
        else:
            into[key] = value


def _choice(branches: list[Flat]) -> dict[str, Any]:
    """What is known of a value that is one of these."""
    nullable = {"nullable": True} if any(each.get("nullable") for each in branches) else {}
    branches = [each for each in branches if "null" not in each]
    found = dict(branches[0]) if len(branches) == 1 else _alternatives(branches)
    return {**found, **nullable}


def _alternatives(branches: list[Flat]) -> dict[str, Any]:
    types = {each.get("type") for each in branches}
    found: dict[str, Any] = {"variants": len(branches)}
    if types == {"object"} and all("properties" in each for each in branches):
        found["type"] = "object"
        found["properties"] = {}
        for each in branches:
            for name, schema in each["properties"].items():
                found["properties"].setdefault(name, schema)
        shared = set.intersection(*(set(each.get("required", ())) for each in branches))
        found["required"] = [name for name in branches[0].get("required", ()) if name in shared]
    elif len(types) == 1 and types <= {"string", "integer", "number", "boolean"}:
        found["type"] = next(iter(types))
        if all("enum" in each for each in branches):
            values = (value for each in branches for value in each["enum"] if not isinstance(value, (list, dict)))
            found["enum"] = list(dict.fromkeys(values))
    elif types == {"integer", "number"}:
        found["type"] = "number"
    else:
        found["mixed"] = bool(branches)
    return found


@dataclass(slots=True)
class _Keeper:
    """One schema being kept: how many parts are left to it."""

    spec: Specification
    where: str
    left: int = MAX_KEPT

    def keep(self, schema: Any, nesting: int, within: tuple[int, ...]) -> dict[str, Any]:
        """The schema, its references replaced by what they lead to; a part that holds itself is cut."""
        self.left -= 1
        target = self.spec.resolve(schema, self.where)
        flat = self.spec.flat(schema, self.where)
        if id(target) in within or self.left < 0:
            return _nullable({"type": flat["type"]} if "type" in flat else {}, flat)
        within = (*within, id(target))
        alternatives = find_alternatives(self.spec, target, self.where)
        if alternatives and "properties" not in target:
            found = self._alternatives(alternatives, nesting, within)
        else:
            found = self._level(flat, nesting, within)
        if isinstance(flat.get("description"), str) and found:
            found["description"] = shorten(flat["description"], _DESCRIPTION)
        return _nullable(found, flat)

    def _alternatives(self, branches: Sequence[Any], nesting: int, within: tuple[int, ...]) -> dict[str, Any]:
        kept = [self.keep(each, nesting - 2, within) for each in branches] if nesting > 2 else [{}]
        kept = [each for each in kept if each != {"type": "null"}]
        if {} in kept:
            return {}
        return kept[0] if len(kept) == 1 else {"anyOf": kept}

    def _level(self, flat: Flat, nesting: int, within: tuple[int, ...]) -> dict[str, Any]:
        if flat.get("null"):
            return {"type": "null"}
        kind = flat.get("type", flat.get("types"))
        found = {} if kind is None else {"type": kind}
        found |= {key: flat[key] for key in _KEPT if key in flat}
        if "enum" in flat:
            found["enum"] = list(flat["enum"])
        if nesting > 3 and flat.get("properties"):
            found["properties"] = {
                name: self.keep(each, nesting - 2, within) for name, each in islice(flat["properties"].items(), 200)
            }
            if flat.get("required"):
                found["required"] = [name for name in flat["required"] if name in found["properties"]]
        extra = flat.get("additionalProperties")
        if extra is False and ("properties" in found or not flat.get("properties")):
            found["additionalProperties"] = False
        elif isinstance(extra, Mapping) and extra and nesting > 2:
            found["additionalProperties"] = self.keep(extra, nesting - 1, within)
        if (
            nesting > 2
            and isinstance(flat.get("items"), Mapping)
            and (kept := self.keep(flat["items"], nesting - 1, within))
        ):
            found["items"] = kept
        return found


def find_alternatives(spec: Specification, schema: Mapping[str, Any], where: str) -> Sequence[Any]:
    """The alternatives of a schema; none if all of them are null."""
    branches = [*islice(items(schema.get("oneOf")), MAX_BRANCHES), *islice(items(schema.get("anyOf")), MAX_BRANCHES)]
    return branches if any("null" not in spec.flat(each, where) for each in branches) else ()


def _nullable(kept: dict[str, Any], flat: Flat) -> dict[str, Any]:
    return with_null(kept) if flat.get("nullable") and not flat.get("null") else kept


def text_of(source: Mapping[str, Any], key: str, default: str = "") -> str:
    """A member that is text; the default for anything else."""
    value = source.get(key)
    return value if isinstance(value, str) else default


def extension(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object `x-connector` of a part of the specification; empty if it has none."""
    return as_object(source.get("x-connector"))


def shorten(text: Any, limit: int) -> str:
    """The first paragraph of a text on one line, cut at a word."""
    if not isinstance(text, str):
        return ""
    line = " ".join(text.strip().partition("\n\n")[0][: 4 * limit].split())
    return line if len(line) <= limit else line[:limit].rpartition(" ")[0].rstrip(".,;:") + "…"


def as_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """The items of a list; none of anything else."""
    return value if isinstance(value, list) else ()


def first_tag(operation: Mapping[str, Any]) -> str:
    """The first tag of an operation; empty if it has none."""
    return next((each for each in items(operation.get("tags"))[:1] if isinstance(each, str)), "")


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of an object whose keys are text; none of anything else."""
    if isinstance(value, Mapping):
        yield from ((key, each) for key, each in value.items() if isinstance(key, str))
