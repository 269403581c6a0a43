"""The pieces that every definition document is made of: templates, placeholders, headers, query parameters, fields.

A Reader walks one document and collects findings. It uses what has the right shape and leaves out the rest, which the
JSON Schema reports; what a piece *means* is checked here. `services`, `operations` and `connectors` put whole services,
operations and connectors together.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.answers.picks import PLACES, Pick
from connector.conversions.pipeline import AN, MENDS, Pipeline, PipelineError
from connector.conversions.row import Kind
from connector.errors import did_you_mean, unknown_kind
from connector.headers import check_header_name, encode_header
from connector.model.definition import Field
from connector.parsing.schema import Finding, Path
from connector.selectors import Selector
from connector.templates import MAX_SLOTS, Placeholder, QueryPair, Slot, Template, TemplateSyntaxError, split_template
from connector.types import CONVERTORS, FILE_ENCODINGS, Convertor, find_convertor, read_default, to_text
from connector.urls import encode_query

#: What the conversions of a value of each type have to return.
_KINDS: Mapping[str, Kind] = {
    "String": "text",
    "Date": "text",
    "DateTime": "text",
    "File": "text",
    "Integer": "number",
    "Number": "number",
    "Boolean": "boolean",
    "Array": "list",
    "Object": "object",
}
#: What looks like a part of a template, up to its end or the end of the text.
_MARKUP = re.compile(r"\{[{%#].*?(?:[}%#]\}|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A placeholder and where it is declared."""

    placeholder: Placeholder
    path: Path


#: The placeholders of one template by name.
Declarations = Mapping[str, Declaration]


@dataclass(slots=True)
class Reader:
    """What has been found in one document so far."""

    findings: list[Finding] = field(default_factory=list)

    def complain(
        self, code: str, message: str, path: Path, hint: str = "", *, at_key: bool = False, missing: str = ""
    ) -> None:
        """Adds a finding at a path."""
        self.findings.append(Finding(code, message, path, hint=hint, at_key=at_key, missing=missing))

    def get(self, source: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        """Returns the member if it is of one of the kinds, else the default."""
        value = source.get(key, default)
        return value if isinstance(value, kinds) and (kinds is bool or not isinstance(value, bool)) else default

    def items(self, source: Any, path: Path, *identities: str) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
        """Yields the named objects in a list (by one of the identities) or in an object (by its keys); else nothing."""
        if isinstance(source, Mapping):
            yield from ((name, item, (*path, name)) for name, item in source.items() if isinstance(item, Mapping))
            return
        seen: set[str] = set()
        for index, item in enumerate(source if isinstance(source, list) else ()):
            identity = next((key for key in identities if isinstance(item, Mapping) and key in item), None)
            name = item[identity] if identity is not None else None
            if not isinstance(name, str):
                continue
            if name in seen:
                where = (*path, index, identity or "")
                self.complain("E_DOUBLED", f"{name[:70]!r} is duplicated", where, "names are unique")
                continue
            seen.add(name)
            yield name, item, (*path, index)

    def meta(self, source: Mapping[str, Any]) -> tuple[str, str]:
        """Returns the short text and the description in the `meta` of a source."""
        meta = self.get(source, "meta", dict, {})
        return self.get(meta, "short", str, ""), self.get(meta, "description", str, "")

    def convertor(self, source: Mapping[str, Any], path: Path) -> Convertor:
        """Returns the declared type; Any for an unknown type."""
        name = self.get(source, "type", str, "Any")
        convertor = find_convertor(name)
        if convertor is None:
            known = dict.fromkeys(row.name for row in CONVERTORS.values())
            self.complain("E_TYPE", f"unknown type {name[:70]!r}", (*path, "type"), unknown_kind(name, known))
            return CONVERTORS["any"]
        return convertor

    def placeholder(self, name: str, source: Mapping[str, Any], path: Path, *, inside: str = "") -> Placeholder:
        """Returns a declared input; its options and default are read as its type and within its bounds.

        `inside` is the member that holds everything but type and `required`: `meta` for inputs of custom operations.
        """
        convertor = self.convertor(source, path)
        required = self.get(source, "required", bool, default=False)
        if inside:
            source, path = self.get(source, inside, dict, {}), (*path, inside)
        encoding = self.get(source, "encoding", str, "")
        if encoding and (encoding not in FILE_ENCODINGS or convertor.name != "File"):
            hint = f"an input of type File may be encoded as {' or '.join(FILE_ENCODINGS)}"
            self.complain("E_ENCODING", f"{name!r} cannot be encoded as {encoding[:70]!r}", (*path, "encoding"), hint)
        placeholder = Placeholder(
            name,
            convertor,
            description=self.get(source, "description", str, ""),
            required=required,
            label=self.get(source, "label", str, ""),
            minimum=self.get(source, "minimum", (int, float), None),
            maximum=self.get(source, "maximum", (int, float), None),
            nullable=self.get(source, "nullable", bool, default=False),
            multi=self.get(source, "multi", bool, default=False),
            explode=self.get(source, "explode", bool, default=False) and convertor.name == "Object",
            encoding=encoding if encoding in FILE_ENCODINGS else "",
            schema=self.get(source, "schema", dict, None),
            convert=self._input_conversion(name, source, path),
        )
        low, high = placeholder.minimum, placeholder.maximum
        if low is not None and high is not None and low > high:
            self.complain("E_BOUNDS", f"the minimum of {name!r} is above its maximum", (*path, "minimum"))
            return placeholder
        options = []
        for index, option in enumerate(self.get(source, "options", list, [])):
            try:
                # The options of an Array are those of its elements.
                options.append(option if convertor.name == "Array" else placeholder.read(option))
            except ValueError as error:
                self.complain("E_OPTION", f"option of {name!r}: {error}", (*path, "options", index))
        placeholder = replace(placeholder, options=tuple(options))
        default = source.get("default")
        try:
            default = None if default is None else placeholder.read(read_default(default, convertor))
        except ValueError as error:
            hint = f"a default is text that reads as {convertor.name}"
            self.complain("E_DEFAULT", f"default of {name!r}: {error}", (*path, "default"), hint)
            return placeholder
        return replace(placeholder, default=default)

    def placeholders(self, source: Any, path: Path) -> Declarations:
        """Returns the placeholders of one template, by name."""
        return {
            name: Declaration(self.placeholder(name, item, where), where)
            for name, item, where in self.items(source, path, "name")
        }

    def compile(self, text: str, path: Path) -> Template:
        """Compiles template text; returns an empty template for text that is not in the template language."""
        try:
            return Template.from_text(text)
        except TemplateSyntaxError as error:
            message = f"{_culprit(text)}{error}"
            self.complain("E_TEMPLATE_GRAMMAR", message, path, "write {{name}} and declare its placeholder")
            return Template(())

    def template(self, source: Any, path: Path, *, constants: bool = False) -> tuple[Template, Declarations]:
        """Returns a template, written in either of its shapes, with the placeholders it declares.

        With `constants` a number or a boolean is allowed too, and is its text.
        """
        declared: Declarations = {}
        path = text_path(source, path)
        if isinstance(source, Mapping):
            declared = self.placeholders(source.get("placeholders"), (*path[:-1], "placeholders"))
            source = source.get("value")
        if constants and isinstance(source, (int, float)):
            return Template((to_text(source),)), declared
        return self.compile(source, path) if isinstance(source, str) else Template(()), declared

    def headers(self, source: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Template, Declarations, Path]]:
        """Yields each header: name, template, the placeholders it declares, and the path of its text."""
        seen: set[str] = set()
        for name, value in source.items():
            where = (*path, name)
            try:
                check_header_name(name)
            except ValueError as error:
                self.complain("E_HEADER", str(error), where, at_key=True)
            if name.lower() in seen:
                self.complain("E_DOUBLED", f"header {name!r} is duplicated", where, "case does not matter", at_key=True)
                continue
            seen.add(name.lower())
            template, declared = self.template(value, where, constants=True)
            where = text_path(value, where)
            try:
                for part in template.parts:
                    encode_header(part if isinstance(part, str) else "")
            except ValueError as error:
                self.complain("E_HEADER", str(error), where)
            yield name, template, declared, where

    def query(self, source: Any, path: Path) -> Iterator[tuple[QueryPair, Declarations, Path]]:
        """Yields each query parameter: the pair, the placeholders (or one input) it declares, its path."""
        if isinstance(source, Mapping):
            entries = [(name, item, (*path, name)) for name, item in source.items()]
        else:
            entries = list(self.items(source, path, "name"))
        for name, item, where in entries:
            explodes = False
            if isinstance(item, Mapping) and "value" not in item:
                placeholder = self.placeholder(name, item, where)
                declared: Declarations = {name: Declaration(placeholder, where)}
                template = Template((Slot(name),))
                explodes = self.get(item, "explode", bool, default=False)
                if explodes and placeholder.type != "Object":
                    message = f"{name[:70]!r} is of type {placeholder.type}, and only an Object explodes"
                    self.complain("E_TYPE", message, (*where, "explode"), "declare it as an Object")
            else:
                template, declared = self.template(item, where, constants=True)
                parts = (encode_query(part) if isinstance(part, str) else part for part in template.parts)
                template = Template(tuple(parts))
            yield QueryPair(encode_query(name), template, explodes=explodes), declared, text_path(item, where)

    def selector(self, source: Any, path: Path) -> Selector | None:
        """Returns the compiled selector, or None where it cannot be read."""
        if not isinstance(source, str) and not (
            isinstance(source, list) and all(type(step) in (str, int, dict) for step in source)
        ):
            return None
        try:
            return Selector.from_json(source)
        except ValueError as error:
            self.complain("E_SELECTOR", str(error), path, 'write a list of names and indexes: ["data", 0, "id"]')
            return None

    def pick(self, source: Any, path: Path) -> Pick | None:
        """Returns the compiled pick, or None where it cannot be read: a selector, or `{from, selector}`."""
        if not isinstance(source, Mapping):
            selector = self.selector(source, path)
            return None if selector is None else Pick(selector)
        place = self.get(source, "from", str, "body")
        if place not in PLACES:
            where = (*path, "from")
            self.complain("E_SELECTOR", f"there is no {place[:70]!r} here", where, did_you_mean(place, list(PLACES)))
            return None
        if place == "status":
            return Pick(None, place)
        selector = self.selector(source.get("selector"), (*path, "selector"))
        if place == "headers" and selector is not None and len(selector.members) != 1:
            self.complain("E_SELECTOR", "a header has one name", (*path, "selector"), 'write ["X-Total-Count"]')
            return None
        return None if selector is None else Pick(selector, place)

    def fields(self, source: Any, path: Path, *, origins: Collection[str] = ("headers", "status")) -> tuple[Field, ...]:
        """Returns the fields in order; a field without a selector is the member of its name.

        `origins` are where a value may be beside the body.
        """
        fields: list[Field] = []
        places: dict[str, Path] = {}
        for name, item, where in self.items(source, path, "name"):
            short, description = self.meta(item)
            steps = item.get("selector") or [name]
            if item.get("from") == "status":
                steps = []
            selector = self.selector(steps, (*where, "selector"))
            multivalue = self.get(item, "multivalue", bool, default=False)
            convertor = self.convertor(item, where)
            if selector is None:
                continue
            join = self.selector(item["join"], (*where, "join")) if "join" in item else None
            origin = self._origin(item, where, selector, origins)
            convert = self.pipeline(item, where, Field(name, convertor, selector, multivalue=multivalue))
            fields.append(
                Field(
                    name,
                    convertor,
                    selector,
                    multivalue=multivalue,
                    description=description or short,
                    join=join,
                    convert=convert,
                    origin=origin,
                )
            )
            places[name] = where
        return tuple(self._with_others(field, fields, places) for field in fields)

    def _origin(self, source: Mapping[str, Any], path: Path, selector: Selector, known: Collection[str]) -> str:
        origin: str = self.get(source, "from", str, "body")
        if origin != "body" and origin not in known:
            message = f"unknown origin {origin[:70]!r}"
            self.complain("E_FROM", message, (*path, "from"), f"known here: {', '.join(('body', *known))}")
            return "body"
        if origin == "headers" and len(selector.members) != 1:
            self.complain("E_FROM", "a header is selected by its name", (*path, "selector"), 'write ["ETag"]')
            return "body"
        return origin

    def pipeline(self, source: Mapping[str, Any], path: Path, target: Field) -> Pipeline | None:
        """Returns the compiled `convert` of a field; None if there is none or it cannot be used."""
        if "convert" not in source:
            return None
        path = (*path, "convert")
        try:
            pipeline = Pipeline.from_json(source["convert"])
        except PipelineError as error:
            self.complain("E_CONVERSION", str(error), (*path, *error.path), error.hint)
            return None
        wanted = _KINDS.get(target.type, "any")
        if pipeline.kind in ("list", "object") and wanted not in (pipeline.kind, "any") and not target.multivalue:
            message = f"the conversions return {AN[pipeline.kind]}, and {target.name[:70]!r} is of type {target.type}"
            mend = MENDS.get((pipeline.kind, wanted), "first")
            self.complain("E_CONVERSION", message, path, f"add {mend!r} as the last step")
        return pipeline

    def _input_conversion(self, name: str, source: Mapping[str, Any], path: Path) -> Callable[[Any], Any] | None:
        pipeline = self.pipeline(source, path, Field(name, CONVERTORS["any"], Selector.from_json([])))
        if pipeline is None:
            return None
        if pipeline.names:
            message = f"the conversions of an input name no other values, as {pipeline.names[0]!r}"
            self.complain("E_CONVERSION", message, (*path, "convert"), "use {{value}}")
        convert = pipeline.convert
        return lambda value: convert(value, {})

    def _with_others(self, field: Field, fields: Sequence[Field], places: Mapping[str, Path]) -> Field:
        """Returns the field with those that its conversions name."""
        if field.convert is None or not field.convert.names:
            return field
        known = {each.name: each for each in fields if each is not field and not (each.convert and each.convert.names)}
        for name in field.convert.names:
            if name not in known:
                message = f"{name!r} in the conversions of {field.name[:70]!r} is not another field without such names"
                hint = did_you_mean(name, list(known))
                self.complain("E_CONVERSION", message, (*places[field.name], "convert"), hint)
        return replace(field, others=tuple(known[name] for name in field.convert.names if name in known))


@dataclass(slots=True)
class ConnectionValues:
    """The values of a connection: those that are declared, and those that are only used."""

    declared: dict[str, Placeholder] = field(default_factory=dict)
    used: dict[str, Path] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)

    def declare(self, declarations: Declarations) -> None:
        """Adds declared values; of two declarations of one name the first counts."""
        for name, each in declarations.items():
            self.declared.setdefault(name, each.placeholder)

    def add(self, template: Template, declared: Declarations, path: Path, *, always: bool = False) -> None:
        """Adds the names of one template of the service block; those in a URL are `always` needed."""
        self.declare(declared)
        for name in template.names:
            self.used.setdefault(name, path)
        self.needed.update(template.names if always else ())

    def complete(self, reader: Reader) -> dict[str, Placeholder]:
        """Returns all values by name; a name that no template declares is a required text."""
        for name, path in self.used.items():
            if name not in self.declared:
                self.declared[name] = Placeholder(name, CONVERTORS["string"], required=True)
                hint = "declare it; it is taken as a required String of the connection"
                reader.complain("W_UNDECLARED", f"{name!r} is used and declared nowhere", path, hint)
        for name in self.needed:
            self.declared[name] = replace(self.declared[name], required=True)
        return self.declared


def text_path(source: Any, path: Path) -> Path:
    """Returns the path of the text of a template: its own path, or that of the `value` there."""
    return (*path, "value") if isinstance(source, Mapping) else path


def _culprit(text: str) -> str:
    """Returns the first part of a text that is not in the template language, to begin a message with; empty if none."""
    for found in itertools.islice(_MARKUP.finditer(text), MAX_SLOTS):
        try:
            split_template(found[0])
        except TemplateSyntaxError:
            return f"{found[0][:40]!r}: "
    return ""
