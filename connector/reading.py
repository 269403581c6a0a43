"""The pieces that every definition document is made of: templates, placeholders, headers, query parameters, fields.

A Reader walks one document and collects findings. It uses what is well-shaped and leaves out what is not: the schema
has its own word on shape (`misshapen` says that it must be asked). What a piece *means* is complained about here. Whole
services, resources and operations are put together by `operations` and `parsing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.auth import check_header_name
from connector.convertors import CONVERTORS, Convertor, find_convertor, read_default, to_text
from connector.definitions import Field
from connector.errors import did_you_mean
from connector.schema import Finding, Path
from connector.selectors import Selector
from connector.templates import Placeholder, QueryPair, Slot, Template, TemplateSyntaxError, encode_header
from connector.urls import encode_query

_TYPE_NAMES = list(dict.fromkeys(convertor.name for convertor in CONVERTORS.values()))


@dataclass(slots=True)
class Reader:
    """What has been found in one document so far."""

    findings: list[Finding] = field(default_factory=list)
    misshapen: bool = False

    def complain(self, code: str, message: str, path: Path, hint: str = "", *, at_key: bool = False) -> None:
        """Notes one problem at a path."""
        self.findings.append(Finding(code, message, path, hint, at_key))

    def get(self, source: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        """The member if it has one of the kinds; the default where it is missing or misshapen."""
        if key not in source:
            return default
        value = source[key]
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        if isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool)):
            return value
        self.misshapen = True
        return default

    def need(self, source: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        """As `get`, for a member that must be there."""
        if key not in source:
            self.misshapen = True
        return self.get(source, key, kinds, default)

    def items(self, source: Any, path: Path, *identities: str) -> Iterator[tuple[str, Mapping[str, Any], Path]]:
        """The named objects in a list (by one of the identities) or in an object (by its keys)."""
        if isinstance(source, Mapping):
            for name, item in source.items():
                if isinstance(item, Mapping):
                    yield name, item, (*path, name)
                else:
                    self.misshapen = True
            return
        seen: set[str] = set()
        for index, item in enumerate(source):
            identity = next((key for key in identities if isinstance(item, Mapping) and key in item), None)
            if identity is None or not isinstance(item[identity], str):
                self.misshapen = True
                continue
            name = item[identity]
            if name in seen:
                self.complain("E_DOUBLED", f"{name!r} stands twice", (*path, index, identity), "names are unique")
                continue
            seen.add(name)
            yield name, item, (*path, index)

    def meta(self, source: Mapping[str, Any]) -> tuple[str, str]:
        """The short text and the description of anything that has `meta`."""
        meta = self.get(source, "meta", dict, {})
        return self.get(meta, "short", str, ""), self.get(meta, "description", str, "")

    def convertor(self, source: Mapping[str, Any], path: Path) -> Convertor:
        """The declared type; Any in place of one that is not known."""
        name = self.need(source, "type", str, "Any")
        convertor = find_convertor(name)
        if convertor is None:
            self.complain("E_TYPE", f"unknown type {name[:70]!r}", (*path, "type"), did_you_mean(name, _TYPE_NAMES))
            return CONVERTORS["any"]
        return convertor

    def placeholder(self, name: str, source: Mapping[str, Any], path: Path) -> Placeholder:
        """One declared input; its options and default are read as its type."""
        convertor = self.convertor(source, path)
        options = []
        for index, option in enumerate(self.get(source, "options", list, [])):
            try:
                # The options of an Array are those of its elements.
                options.append(option if convertor.name == "Array" else convertor.read(option))
            except ValueError as error:
                self.complain("E_OPTION", f"option of {name!r}: {error}", (*path, "options", index))
        placeholder = Placeholder(
            name,
            convertor,
            self.get(source, "description", str, ""),
            self.get(source, "required", bool, default=False),
            None,
            self.get(source, "label", str, ""),
            tuple(options),
            self.get(source, "minimum", (int, float), None),
            self.get(source, "maximum", (int, float), None),
            self.get(source, "nullable", bool, default=False),
            self.get(source, "multi", bool, default=False),
        )
        default = source.get("default")
        if default is None:
            return placeholder
        try:
            default = placeholder.read(read_default(default, convertor))
        except ValueError as error:
            self.complain(
                "E_DEFAULT",
                f"default of {name!r}: {error}",
                (*path, "default"),
                f"a default is text that reads as {convertor.name}",
            )
            return placeholder
        return replace(placeholder, default=default)

    def placeholders(self, source: Any, path: Path) -> dict[str, Placeholder]:
        """The placeholders of one template, by name."""
        if not isinstance(source, (list, Mapping)):
            self.misshapen = True
            return {}
        return {name: self.placeholder(name, item, where) for name, item, where in self.items(source, path, "name")}

    def compile(self, text: str, path: Path) -> Template:
        """Template text compiled; an empty template in place of one that is not in the language."""
        try:
            return Template.from_text(text)
        except TemplateSyntaxError as error:
            self.complain("E_TEMPLATE_GRAMMAR", str(error), path, "write {{name}} and declare its placeholder")
            return Template(())

    def template(self, source: Any, path: Path, *, constants: bool = False) -> tuple[Template, dict[str, Placeholder]]:
        """A template in either of its shapes, with the placeholders it declares.

        With `constants` a number or a boolean is its text.
        """
        declared: dict[str, Placeholder] = {}
        if isinstance(source, Mapping):
            if "placeholders" in source:
                declared = self.placeholders(source["placeholders"], (*path, "placeholders"))
            if "value" not in source:
                self.misshapen = True
                return Template(()), declared
            source, path = source["value"], (*path, "value")
        if constants and isinstance(source, (int, float)):
            return Template((to_text(source),)), declared
        if not isinstance(source, str):
            self.misshapen = True
            return Template(()), declared
        return self.compile(source, path), declared

    def headers(self, source: Mapping[str, Any], path: Path) -> list[tuple[str, Template, dict[str, Placeholder]]]:
        """Header names, their templates, and the placeholders they declare."""
        headers = []
        seen: set[str] = set()
        for name, value in source.items():
            where = (*path, name)
            try:
                check_header_name(name)
            except ValueError as error:
                self.complain("E_HEADER", str(error), where, at_key=True)
            if name.lower() in seen:
                self.complain("E_DOUBLED", f"header {name!r} stands twice", where, "case does not matter", at_key=True)
                continue
            seen.add(name.lower())
            template, declared = self.template(value, where, constants=True)
            try:
                for part in template.parts:
                    if isinstance(part, str):
                        encode_header(part)
            except ValueError as error:
                self.complain("E_HEADER", str(error), where)
            headers.append((name, template, declared))
        return headers

    def query(self, source: Any, path: Path) -> list[tuple[QueryPair, dict[str, Placeholder], Path]]:
        """Query parameters: each pair, the placeholders (or the one input) it declares, and its path."""
        pairs = []
        entries: list[tuple[str, Any, Path]]
        if isinstance(source, Mapping):
            entries = [(name, item, (*path, name)) for name, item in source.items()]
        else:
            entries = list(self.items(source, path, "name"))
        for name, item, where in entries:
            if isinstance(item, Mapping) and "value" not in item:
                declared = {name: self.placeholder(name, item, where)}
                template = Template((Slot(name),))
            else:
                template, declared = self.template(item, where, constants=True)
            slot = template.only_slot
            repeats = slot is not None and slot in declared and declared[slot].type == "Array"
            pairs.append((QueryPair(encode_query(name), template, repeats), declared, where))
        return pairs

    def selector(self, source: Any, path: Path) -> Selector | None:
        """A compiled selector, or None where it cannot be read."""
        well_shaped = isinstance(source, str) or (
            isinstance(source, list) and all(type(step) in (str, int) for step in source)
        )
        if not well_shaped:
            self.misshapen = True
            return None
        try:
            return Selector.from_json(source)
        except ValueError as error:
            self.complain("E_SELECTOR", str(error), path, 'write a list of names and indexes: ["data", 0, "id"]')
            return None

    def fields(self, source: Any, path: Path) -> tuple[Field, ...]:
        """Fields in order; one without a selector is the member of its name."""
        fields = []
        for name, item, where in self.items(source, path, "name"):
            short, description = self.meta(item)
            steps = item.get("selector") or [name]
            selector = self.selector(steps, (*where, "selector"))
            multivalue = self.get(item, "multivalue", bool, default=False)
            convertor = self.convertor(item, where)
            if selector is None:
                continue
            if isinstance(steps, list) and any(type(step) is int and step < 0 for step in steps):
                self.complain("W_SELECTOR", "an index below 0 never matches", (*where, "selector"), "count from 0")
            fields.append(Field(name, convertor, selector, multivalue, description or short))
        return tuple(fields)
