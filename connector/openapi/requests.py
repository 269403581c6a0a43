"""Writes the parameters and the body of one operation as path, query, headers and body template.

A body is taken apart one level: each of its properties is an input, and what nests deeper is an input of type Object
or Array that keeps its JSON Schema. What the language cannot express goes to the report as lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from connector.headers import check_header_name
from connector.openapi.document import (
    Flat,
    Specification,
    as_object,
    extension,
    find_alternatives,
    items,
    members,
    text_of,
)
from connector.openapi.inputs import STRUCTURED, Inputs, SpecOperation, is_json_type, read_type, slot, template
from connector.openapi.names import InputNames, is_placeholder
from connector.templates import MAX_SLOTS

_MAX_PARAMETERS = 300
#: Headers that OpenAPI describes elsewhere (3.1.1, section 4.8.12).
NO_PARAMETERS = frozenset({"accept", "content-type", "authorization"})
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_PARAMETER = re.compile(r"\{([^{}/]*)\}")


def read_parameters(spec: Specification, where: str, *levels: Any) -> tuple[Mapping[str, Any], ...]:
    """The parameters of an operation over those of its path, references resolved."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for level in levels:
        for each in items(level)[:_MAX_PARAMETERS]:
            parameter = spec.resolve(each, where)
            name, place = parameter.get("name"), parameter.get("in")
            if isinstance(name, str) and name and isinstance(place, str):
                found[place, name] = parameter
    return tuple(found.values())


def read_request(spec: Specification, call: SpecOperation, reserved: frozenset[str]) -> dict[str, Any]:
    """`path`, `headers`, `queryParams`, `bodyTemplate` and `form` of the operation, those that it has."""
    return _Request(spec, call, Inputs(spec, call, InputNames(reserved))).read()


@dataclass(slots=True)
class _Request:
    """One operation being read."""

    spec: Specification
    call: SpecOperation
    inputs: Inputs
    headers: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        path = self._path()
        for parameter in self.call.parameters:
            if parameter["in"] == "query":
                self._query(parameter)
            elif parameter["in"] == "header":
                self._header(parameter)
        self._cookies([each for each in self.call.parameters if each["in"] == "cookie"])
        body = self._body()
        found = {"headers": self.headers, "queryParams": self.query, "bodyTemplate": body, "form": self.form}
        return {"path": path, **{key: value for key, value in found.items() if value not in (None, {})}}

    # Parameters

    def _path(self) -> Any:
        declared = {each["name"]: each for each in self.call.parameters if each["in"] == "path"}
        placeholders: dict[str, dict[str, Any]] = {}

        def put(found: re.Match[str]) -> str:
            wire = found[1]
            parameter = declared.get(wire, {})
            if wire not in placeholders:
                if not parameter:
                    self.inputs.guess(f"the path parameter {wire!r} is not declared; it is taken as text")
                entry = self._input(parameter, wire, "path")
                if entry["type"] in STRUCTURED:
                    entry["type"] = "String"
                    entry.pop("schema", None)
                if extension(parameter).get("multi") is True:
                    entry["multi"] = True
                entry.pop("nullable", None)
                placeholders[wire] = entry
            before = {"label": ".", "matrix": f";{wire}="}.get(text_of(parameter, "style"), "")
            return before + slot(placeholders[wire]["name"])

        text = _PARAMETER.sub(put, self.call.path.replace("{{", "{").replace("}}", "}"))
        return template(text, list(placeholders.values())) if placeholders else text

    def _input(self, parameter: Mapping[str, Any], wire: str, place: str) -> dict[str, Any]:
        """The input that fills a parameter, named as `x-connector` wants or after the parameter."""
        own = text_of(extension(parameter), "input")
        name = own if is_placeholder(own) else self.inputs.take(wire, place)
        required, description = parameter.get("required") is True or place == "path", parameter.get("description")
        return self.inputs.placeholder(name, self._schema_of(parameter), required=required, description=description)

    def _flat(self, schema: Any) -> Flat:
        return self.spec.flat(schema, self.call.where)

    def _schema_of(self, parameter: Mapping[str, Any]) -> Any:
        """The schema of a parameter, or that of its one content."""
        content = next(members(parameter.get("content")), None)
        if content is not None:
            return self.spec.resolve(content[1], self.call.where).get("schema", {})
        return parameter.get("schema", {})

    def _query(self, parameter: Mapping[str, Any]) -> None:
        wire = parameter["name"]
        flat = self._flat(self._schema_of(parameter))
        style, is_json = text_of(parameter, "style", "form"), "content" in parameter
        explode = parameter.get("explode", style == "form")
        if not is_json and (read_type(flat) == "Object" or style == "deepObject"):
            if style == "form" and explode and (self.call.named or not flat.get("properties")):
                # The name of the parameter is never sent, so the input's may take its place.
                entry = self._input(parameter, wire, "query")
                name = entry.pop("name")
                self.query[name] = {**entry, "explode": True}
            elif explode or style == "deepObject":
                self._spread(parameter, flat, "{}[{}]" if style == "deepObject" else "{1}")
            else:
                self.inputs.lose(f"the query parameter {wire!r}: an object in the style {style!r}")
            return
        entry = self._input(parameter, wire, "query")
        if is_json and entry["type"] == "Array":
            # An Array would repeat its name; a list of type Any is sent as one JSON text.
            entry["type"] = "Any"
        elif entry["type"] == "Array" and not explode:
            mark = {"spaceDelimited": "spaces", "pipeDelimited": "'|'"}.get(style, "commas")
            description = f"{entry.get('description', '')} Several values are written with {mark} between them."
            entry |= {"type": "String", "description": description.strip()}
            for key in ("schema", "options", "default"):
                entry.pop(key, None)
            self.inputs.guess(f"the query parameter {wire!r} is a text of values with {mark} between them")
        self._add_query(wire, entry)

    def _add_query(self, wire: str, entry: dict[str, Any]) -> None:
        name = entry["name"]
        if name == wire:
            self.query[wire] = {key: value for key, value in entry.items() if key != "name"}
        else:
            self.query[wire] = template(slot(name), [entry])

    def _spread(self, parameter: Mapping[str, Any], flat: Flat, pattern: str) -> None:
        """An object whose properties are query parameters of their own."""
        outer = parameter["name"]
        if not flat.get("properties"):
            # Of alternatives, a style for objects means the one with members.
            target = self.spec.resolve(self._schema_of(parameter), self.call.where)
            branches = find_alternatives(self.spec, target, self.call.where)
            flats = (self._flat(each) for each in branches)
            flat = next((each for each in flats if each.get("properties")), flat)
        required = set(flat.get("required", ())) if parameter.get("required") is True else set()
        for name, schema in islice(members(flat.get("properties")), _MAX_PARAMETERS):
            inner = self._flat(schema)
            wire = pattern.format(outer, name)
            if read_type(inner) == "Object" or not wire.isprintable() or wire in self.query:
                self.inputs.lose(f"the query parameter {wire!r}: it nests too deeply, or another has its name")
                continue
            part = {"required": name in required, "schema": schema}
            self._add_query(wire, self._input(part, wire, "query"))
        if not flat.get("properties"):
            self.inputs.lose(f"the query parameter {outer!r}: an object whose members are not known")

    def _header(self, parameter: Mapping[str, Any]) -> None:
        wire = parameter["name"]
        if wire.lower() in NO_PARAMETERS:
            return
        try:
            check_header_name(wire)
        except ValueError as error:
            self.inputs.lose(f"the header {wire!r}: {error}")
            return
        entry = self._input(parameter, wire, "header")
        if entry["type"] == "Array":
            entry["type"] = "String"
            entry.pop("options", None)
        self.headers[wire] = template(slot(entry["name"]), [entry])

    def _cookies(self, parameters: list[Mapping[str, Any]]) -> None:
        texts, placeholders = [], []
        for parameter in parameters:
            wire = parameter["name"]
            if parameter.get("required") is not True or "{" in wire:
                self.inputs.lose(f"the cookie {wire!r}: only cookies that are required can be sent")
                continue
            placeholders.append(self._input(parameter, wire, "cookie"))
            texts.append(f"{wire}={slot(placeholders[-1]['name'])}")
        if texts and all(text.isascii() and text.isprintable() for text in texts):
            self.headers["Cookie"] = template("; ".join(texts), placeholders)

    # Bodies

    def _body(self) -> Any:
        request = self.spec.resolve(self.call.source.get("requestBody"), self.call.where)
        media_type, media = find_body(self.spec, self.call.source, self.call.where)
        if not media_type:
            return None
        kind = media_type.partition(";")[0].strip().lower()
        if (count := len(as_object(request.get("content")))) > 1:
            self.inputs.guess(f"of {count} kinds of body {kind} is taken")
        schema, required = media.get("schema", {}), request.get("required") is True
        if is_json_type(kind):
            if kind not in ("application/json", "*/*", "application/*"):
                self.headers["Content-Type"] = kind
            return self._fields(schema, required=required)
        if kind.endswith("xml"):
            self.inputs.lose(f"the body: {kind} is written as a template by hand, in the overlay")
            return None
        is_text = kind.startswith("text/")
        self.headers["Content-Type"] = "application/octet-stream" if "*" in kind and not is_text else kind
        if kind in _FORMS:
            if any(as_object(each).get("style") == "deepObject" for _, each in members(media.get("encoding"))):
                self.form["lists"] = "indexes"
            return self._fields(schema, required=required, parts=True)
        if "ndjson" in kind or "jsonl" in kind:
            return self._whole(schema, required=required)
        if is_text:
            return self._whole({"type": "string"}, required=required, name="text")
        return self._whole({"type": "string", "format": "binary"}, required=required, name="file")

    def _whole(self, schema: Any, *, required: bool, name: str = "body") -> Any:
        """A body that is one input."""
        name = self.inputs.names.take(name, "the")
        entry = self.inputs.placeholder(name, schema, required=required, binary=name == "file")
        return template(slot(name), [entry])

    def _fields(self, schema: Any, *, required: bool, parts: bool = False) -> Any:
        """A body each of whose properties is an input."""
        flat = self._flat(schema)
        properties = {
            name: each
            for name, each in members(flat.get("properties"))
            if name not in self.call.without and self._flat(each).get("readOnly") is not True
        }
        if not parts and (flat.get("type") != "object" or not properties or len(properties) > MAX_SLOTS):
            return self._whole(schema, required=required)
        if flat.get("variants", 1) > 1:
            self.inputs.guess("the body is one of several; its inputs are those of all of them")
        if isinstance(flat.get("additionalProperties"), Mapping) and properties:
            self.inputs.lose("further members of the body, which have no names")
        needed = set(flat.get("required", ()))
        if needed and not required:
            self.inputs.guess("the body is optional, but has required members")
        value: dict[str, Any] = {}
        placeholders = []
        for wire, each in islice(properties.items(), MAX_SLOTS):
            if not _is_fixed_text(wire):
                self.inputs.lose(f"the member {wire[:70]!r} of the body: its name would be read as a template")
                continue
            part = self._flat(each)
            constant = self.call.constants.get(wire, _constant(part, required=wire in needed))
            if constant is not None and wire not in self.call.without:
                value[wire] = constant
                continue
            placeholders.append(self._property(wire, each, required=wire in needed, parts=parts))
            value[wire] = slot(placeholders[-1]["name"])
        return template(value, placeholders)

    def _property(self, wire: str, schema: Any, *, required: bool, parts: bool) -> dict[str, Any]:
        flat = self._flat(schema)
        inner = self._flat(flat.get("items"))
        if parts and flat.get("type") == "array" and read_type(inner, binary=True) == "File":
            self.inputs.guess(f"of the files of {wire!r} one can be sent")
            schema = flat["items"]
        return self.inputs.placeholder(self.inputs.take(wire, "body"), schema, required=required, binary=parts)


def find_body(spec: Specification, source: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]]:
    """The media type that a body is sent as, and what is known of it; empty without a body.

    JSON comes first, then what takes files, then forms, then the first.
    """

    def rank(media_type: str) -> int:
        kind = media_type.partition(";")[0].strip().lower()
        if kind == "application/json":
            return 0
        if is_json_type(kind) and "*" not in kind:
            return 1
        return 2 + _FORMS.index(kind) if kind in _FORMS else 9 + ("xml" in kind)

    content = dict(islice(members(spec.resolve(source.get("requestBody"), where).get("content")), 20))
    media_type = min(content, key=rank, default="")
    return media_type, spec.resolve(content.get(media_type), where)


def _is_fixed_text(text: str) -> bool:
    return "{{" not in text and "{%" not in text and "{#" not in text and text != "$if"


def _constant(schema: Flat, *, required: bool) -> Any:
    """The one value that a property may have, where it has to be sent; None if there is a choice."""
    values = schema.get("enum", ())
    if len(values) != 1 or isinstance(values[0], (list, dict)) or schema.get("nullable"):
        return None
    is_fixed = not isinstance(values[0], str) or _is_fixed_text(values[0])
    return values[0] if is_fixed and (required or schema.get("default") == values[0]) else None
