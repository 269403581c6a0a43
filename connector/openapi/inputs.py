"""The inputs of one operation of a specification: their names, types, bounds and options.

Where an input lands in the request is decided in `requests`. What the language cannot express goes to the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.openapi.document import Flat, Specification, is_number, shorten
from connector.openapi.names import InputNames, camel, is_placeholder

#: Types of the language by type and format of a schema.
_TYPES = {"string": "String", "integer": "Integer", "number": "Number", "boolean": "Boolean", "array": "Array"}
_TYPES["object"] = "Object"
_FORMATS = {"date": "Date", "date-time": "DateTime"}
STRUCTURED = ("Array", "Object", "Any")
_DESCRIPTION = 300
_MAX_OPTIONS = 500
#: Members of a schema that its placeholder has itself.
_OWN = frozenset({"type", "enum", "minimum", "maximum", "description"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecOperation:
    """One operation of a specification: where it is, its parameters merged with those of its path.

    `constants` are members of its body that are fixed here, `without` those that are left out: how one operation that
    answers in two ways becomes two.
    """

    where: str
    path: str
    source: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    #: True where inputs keep the names that their parameters have, since they are those of a definition.
    named: bool = False


def read_type(schema: Flat, *, binary: bool = False) -> str:
    """The type of the language that fits a schema; `binary` where the content of a file may travel."""
    kind = schema.get("type")
    if binary and kind in (None, "string"):
        is_file = schema.get("format") == "binary" or "contentMediaType" in schema
        if is_file and schema.get("contentEncoding") is None:
            return "File"
    if kind == "string":
        return "String" if "enum" in schema else _FORMATS.get(schema.get("format", ""), "String")
    return _TYPES.get(kind, "Any") if isinstance(kind, str) and not schema.get("mixed") else "Any"


def is_json_type(media_type: str) -> bool:
    """True for a media type of JSON documents; a wildcard counts as one."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json", "*/*", "application/*") or kind.endswith("+json")


def slot(name: str) -> str:
    """`{{name}}`."""
    return f"{{{{{name}}}}}"


def template(value: Any, placeholders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A template of a definition, with the placeholders that it has."""
    return {"value": value, **({"placeholders": list(placeholders)} if placeholders else {})}


@dataclass(slots=True)
class Inputs:
    """The inputs of one call, each with a name of its own."""

    spec: Specification
    call: SpecOperation
    names: InputNames

    def lose(self, message: str) -> None:
        """Reports what is not imported."""
        self.spec.report.add("lost", self.call.where, message)

    def guess(self, message: str) -> None:
        """Reports what the specification leaves open."""
        self.spec.report.add("guessed", self.call.where, message)

    def take(self, wire: str, place: str) -> str:
        """The name of an input for something that is called `wire` where it lands."""
        if self.call.named and is_placeholder(wire):
            return wire
        # A query parameter that has the name of its input needs no template.
        is_kept = place == "query" and is_placeholder(wire)
        return self.names.take(wire if is_kept else camel(wire), place)

    def placeholder(
        self, name: str, schema: Any, *, required: bool, description: Any = "", binary: bool = False
    ) -> dict[str, Any]:
        """One input as a definition declares it."""
        flat = self.spec.flat(schema, self.call.where)
        found: dict[str, Any] = {"name": name, "type": read_type(flat, binary=binary)}
        text = shorten(description, _DESCRIPTION) or shorten(flat.get("description"), _DESCRIPTION)
        if text:
            found["description"] = text
        if required:
            found["required"] = True
        self._limit(found, flat)
        if flat.get("nullable"):
            found["nullable"] = True
        kept = self.spec.keep(schema, self.call.where) if found["type"] != "File" else {}
        kept.pop("description", None)
        is_structured = found["type"] in STRUCTURED
        is_plain = not is_structured or kept.get("type") in ("array", "object")
        own = _OWN | ({"format"} if found["type"] in ("Date", "DateTime") else frozenset())
        if (is_plain and kept.keys() - own and "anyOf" not in kept) or (is_structured and kept and not is_plain):
            found["schema"] = kept
        return found

    def _limit(self, found: dict[str, Any], flat: Flat) -> None:
        """Adds options, bounds and the default, those that the type takes."""
        kind = found["type"]
        plain: Any = {"String": str, "Integer": int, "Number": (int, float), "Boolean": bool}.get(kind)
        values, known = (self.spec.flat(flat.get("items"), self.call.where), str) if kind == "Array" else (flat, plain)
        options = values.get("enum", [])[:_MAX_OPTIONS]
        if options and known is not None and all(_is(each, known) for each in options):
            found["options"] = list(dict.fromkeys(options))
        if kind in ("Integer", "Number"):
            step = 1 if kind == "Integer" else 0
            for bound, exclusive, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
                if bound in flat:
                    found[bound] = flat[bound]
                elif exclusive in flat:
                    found[bound] = flat[exclusive] + sign * step
            if found.get("minimum", 0) > found.get("maximum", found.get("minimum", 0)):
                del found["minimum"], found["maximum"]
        default = flat.get("default")
        if default is None or plain is None or not _is(default, plain) or kind in ("Date", "DateTime"):
            return
        low, high = found.get("minimum", default), found.get("maximum", default)
        if default not in found.get("options", [default]) or (is_number(default) and not low <= default <= high):
            self.guess(f"the default of {found['name']} is not one of its own values, and is left out")
            return
        found["default"] = default


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool))
