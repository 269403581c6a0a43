"""Reads automations and mappings, and reports all of their problems together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector.errors import InvalidDefinition, Problem
from connector.events.automations import (
    COMPARISONS,
    EVENT,
    MISSING,
    Automation,
    Condition,
    InputMapping,
    Items,
    Literal,
    Members,
    Picked,
    Step,
    Text,
    Value,
)
from connector.parsing.reader import Reader
from connector.parsing.schema import Document, Path, find_shape_problems
from connector.selectors import Selector


def parse_mapping(source: Mapping[str, Any]) -> InputMapping:
    """Compiles a mapping; raises InvalidDefinition with every problem."""
    document = Document.from_value(source, "mapping")
    reader = _MappingReader(Reader())
    mapping = reader.inputs(document.value, (), None)
    _refuse(document, reader.reader)
    return mapping


def parse_automation(source: str | Mapping[str, Any] | Document, *, file: str | None = None) -> Automation:
    """Reads an automation from JSON text or parsed JSON; raises InvalidDefinition with every problem."""
    automation, problems = read_automation(source, file=file)
    errors = [problem for problem in problems if problem.is_error]
    if errors:
        raise InvalidDefinition(errors)
    return automation


def read_automation(
    source: str | Mapping[str, Any] | Document, *, file: str | None = None
) -> tuple[Automation, list[Problem]]:
    """Reads an automation as `parse_automation`; returns what could be read and all problems, warnings included."""
    if isinstance(source, Document):
        document = source
    elif isinstance(source, str):
        document = Document.from_text(source, "automation", file)
    else:
        document = Document.from_value(source, "automation", file)
    root = document.value if isinstance(document.value, Mapping) else {}
    reader = Reader()
    found = _MappingReader(reader)
    connection, trigger = found.address(root, "on")
    names = {EVENT}
    when = found.conditions(root.get("when"), ("when",), names)
    steps = []
    for index, block in enumerate(reader.get(root, "do", list, [])):
        if isinstance(block, Mapping):
            step = found.step(block, ("do", index), names, f"step{index + 1}")
            steps.append(step)
            names = names | {step.name}
    short, description = reader.meta(root)
    handle = reader.get(root, "handle", str, "")
    automation = Automation(
        handle=handle,
        connection=connection,
        trigger=trigger,
        steps=tuple(steps),
        when=when,
        short=short,
        description=description,
    )
    return automation, document.problems([*reader.findings, *find_shape_problems(document.value, "automation")])


def _refuse(document: Document, reader: Reader) -> None:
    problems = [problem for problem in document.problems(reader.findings) if problem.is_error]
    if problems:
        raise InvalidDefinition(problems)


@dataclass(frozen=True, slots=True)
class _MappingReader:
    """Reads the pieces of automations; `known` are the parts of the context that a piece may name, None for any."""

    reader: Reader

    def address(self, source: Mapping[str, Any], key: str, path: Path = ()) -> tuple[str, str]:
        """Returns a connection and the trigger or operation: `mistral-ai`, `files.content`."""
        text = self.reader.get(source, key, str, "")
        connection, slash, rest = text.partition("/")
        if key in source and isinstance(source[key], str) and not (connection and slash and rest):
            kind = "trigger" if key == "on" else "operation"
            message = f"{text[:70]!r} does not name a connection and its {kind}"
            self.reader.complain(
                "E_AUTOMATION", message, (*path, key), f'write "mistral-ai/" and the name of the {kind}'
            )
        return connection, rest

    def step(self, source: Mapping[str, Any], path: Path, known: set[str], name: str) -> Step:
        """Returns one step; `known` holds the names of the steps before it."""
        connection, operation = self.address(source, "call", path)
        given = self.reader.get(source, "name", str, name)
        if given in known:
            message = f"{given[:70]!r} is already in use"
            self.reader.complain("E_DOUBLED", message, (*path, "name"), "choose another name")
        inputs = self.reader.get(source, "inputs", dict, {})
        save = self.value(source["save"], (*path, "save"), known) if "save" in source else None
        conditions = self.conditions(source.get("when"), (*path, "when"), known)
        return Step(
            name=given,
            connection=connection,
            operation=operation,
            inputs=self.inputs(inputs, (*path, "inputs"), known),
            when=conditions,
            save=save,
        )

    def inputs(self, source: Any, path: Path, known: set[str] | None) -> InputMapping:
        """Returns a mapping."""
        members = source.items() if isinstance(source, Mapping) else ()
        return InputMapping({name: self.value(each, (*path, name), known) for name, each in members})

    def value(self, source: Any, path: Path, known: set[str] | None) -> Value:
        """Returns one value of a mapping."""
        if isinstance(source, str):
            return self._text(source, {}, path)
        if isinstance(source, list):
            return Items(tuple(self.value(each, (*path, index), known) for index, each in enumerate(source)))
        if not isinstance(source, Mapping):
            return Literal(source)
        if "literal" in source:
            return Literal(source["literal"])
        if "template" in source:
            values = self.inputs(source.get("values"), (*path, "values"), known).values
            return self._text(self.reader.get(source, "template", str, ""), values, (*path, "template"))
        if "from" in source:
            return self._picked(source, path, known)
        return Members({name: self.value(each, (*path, name), known) for name, each in source.items()})

    def _text(self, text: str, values: Mapping[str, Value], path: Path) -> Value:
        template = self.reader.compile(text, path)
        return Text(template, values) if template.names else Literal(text)

    def _picked(self, source: Mapping[str, Any], path: Path, known: set[str] | None) -> Value:
        part = self.reader.get(source, "from", str, "")
        if known is not None and part not in known:
            hint = f"known here: {', '.join(sorted(known))}"
            self.reader.complain("E_AUTOMATION", f"there is no {part[:70]!r} here", (*path, "from"), hint)
        selector = self.reader.selector(source.get("selector", []), (*path, "selector"))
        convertor = self.reader.convertor(source, path) if "type" in source else None
        default = source.get("default", MISSING)
        return Picked(part=part, selector=selector or Selector.from_json([]), convertor=convertor, default=default)

    def conditions(self, source: Any, path: Path, known: set[str]) -> tuple[Condition, ...]:
        """Returns the conditions, which must all hold."""
        listed = [((*path, index), each) for index, each in enumerate(source)] if isinstance(source, list) else []
        pairs = listed or [(path, source)]
        return tuple(self._condition(each, where, known) for where, each in pairs if isinstance(each, Mapping))

    def _condition(self, source: Mapping[str, Any], path: Path, known: set[str]) -> Condition:
        for member, negated in (("any", False), ("not", True)):
            if member in source:
                return Condition(alternatives=self.conditions(source[member], (*path, member), known), negated=negated)
        named = [name for name in COMPARISONS if name in source]
        if len(named) != 1 or (named == ["in"] and not isinstance(source["in"], list)):
            hint = f"compare with one of {', '.join(COMPARISONS)}"
            self.reader.complain("E_AUTOMATION", "a condition has exactly one comparison", path, hint)
            return Condition()
        return Condition(value=self._picked(source, path, known), comparison=named[0], given=source[named[0]])
