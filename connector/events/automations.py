"""Automations: what is done when an event comes, as data. Automation, Step, Condition, and the mapping of values.

A mapping takes values from an event and from earlier answers: by selectors and JSONPath, as literals, in templates of
plain names, with defaults and typed conversion. It is compiled when it is read, and no value in it is ever code. Who
runs the steps, and keeps how far they have come, is the runtime's business.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from connector.errors import InputError, InputProblem, InvalidDefinition, Problem
from connector.parsing.reader import Reader
from connector.parsing.schema import Document, Path, find_shape_problems
from connector.selectors import Selector
from connector.templates import Template
from connector.types import Convertor, to_text

#: What a mapping may take values from: `event`, and the name of each earlier step.
Context = Mapping[str, Any]
#: The name of the event in a context.
EVENT = "event"
#: What a value that is not there is, until somebody drops it (language rule 4: it is not supplied).
MISSING: Any = object()


class Value(Protocol):
    """Something that has a value in a context."""

    def find(self, context: Context) -> Any:
        """The value, or MISSING; raises ValueError where it cannot be converted."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Itself, whatever the context."""

    value: Any

    def find(self, context: Context) -> Any:  # noqa: ARG002 - the protocol's signature
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Picked:
    """What a selector finds in one part of the context, as its type; the default where it finds nothing."""

    part: str
    selector: Selector
    convertor: Convertor | None = None
    default: Any = MISSING

    def find(self, context: Context) -> Any:
        """The value."""
        found = self.selector.find_one(context.get(self.part))
        if found is None:
            return self.default
        return found if self.convertor is None else self.convertor.read(found)


@dataclass(frozen=True, slots=True)
class Text:
    """A template: its names are its own `values`, else fields of the event's data.

    A template that is one name and nothing else is the value of that name, whatever its type. In a longer text a value
    that is not there is empty.
    """

    template: Template
    values: Mapping[str, Value]

    def find(self, context: Context) -> Any:
        """The text, or the one value."""
        only = self.template.only_slot
        if only is not None:
            return self._find_name(only, context)
        found = (part if isinstance(part, str) else self._find_name(part.name, context) for part in self.template.parts)
        return "".join(part if isinstance(part, str) else "" if part is MISSING else to_text(part) for part in found)

    def _find_name(self, name: str, context: Context) -> Any:
        if name in self.values:
            return self.values[name].find(context)
        event = context.get(EVENT)
        data = event.get("data") if isinstance(event, Mapping) else None
        found = data.get(name) if isinstance(data, Mapping) else None
        return MISSING if found is None else found


@dataclass(frozen=True, slots=True)
class Members:
    """An object of values; a member that is not there is left out."""

    values: Mapping[str, Value]

    def find(self, context: Context) -> Any:
        """The object."""
        found = {name: value.find(context) for name, value in self.values.items()}
        return {name: value for name, value in found.items() if value is not MISSING}


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values; an item that is not there is left out."""

    values: tuple[Value, ...]

    def find(self, context: Context) -> Any:
        """The list."""
        return [found for value in self.values if (found := value.find(context)) is not MISSING]


@dataclass(frozen=True, slots=True)
class InputMapping:
    """Inputs by name, each with where its value comes from."""

    values: Mapping[str, Value]

    def resolve(self, context: Context, *, name: str = "mapping") -> dict[str, Any]:
        """The inputs in a context; one that is not there is left out.

        Raises InputError, in the name of `name`, with every value that cannot be converted.

        >>> parse_mapping({"to": "{{id}}", "text": "Hello {{name}}"}).resolve({"event": {"data": {"id": 7}}})
        {'to': 7, 'text': 'Hello '}
        """
        found: dict[str, Any] = {}
        errors = []
        for key, value in self.values.items():
            try:
                each = value.find(context)
            except ValueError as error:
                errors.append(InputProblem(key, f"{key}: {error}"))
            else:
                if each is not MISSING:
                    found[key] = each
        if errors:
            raise InputError(name, errors, hint="see what the mapping takes it from")
        return found


def _same(found: Any, given: Any) -> bool:
    # In Python 1 equals True; in JSON it does not.
    return bool(found == given) and isinstance(found, bool) == isinstance(given, bool)


def _holds(found: str | list[Any], given: Any) -> bool:
    if isinstance(found, str):
        return isinstance(given, str) and given in found
    return any(_same(each, given) for each in found)


def _ordered(found: Any, given: Any, compare: Callable[[Any, Any], bool]) -> bool:
    for kinds in ((int, float), (str,)):
        if isinstance(found, kinds) and isinstance(given, kinds) and bool not in (type(found), type(given)):
            return compare(found, given)
    return False


#: The comparisons of a condition, by the member that names each: what was found, and what it is compared with.
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": _same,
    "in": lambda found, given: any(_same(found, each) for each in given),
    "contains": lambda found, given: isinstance(found, (str, list)) and _holds(found, given),
    "exists": lambda found, given: (found is not None) == given,
    "above": lambda found, given: _ordered(found, given, operator.gt),
    "below": lambda found, given: _ordered(found, given, operator.lt),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of a value in the context, or of other conditions: `any` of them, or none (`not`)."""

    value: Value | None = None
    comparison: str = ""
    given: Any = None
    alternatives: tuple[Condition, ...] = ()
    negated: bool = False

    def holds(self, context: Context) -> bool:
        """True if it is met; a value that is not of the type it should have meets nothing but `exists: false`."""
        if self.value is None:
            return any(each.holds(context) for each in self.alternatives) != self.negated
        try:
            found = self.value.find(context)
        except ValueError:
            found = MISSING
        return COMPARISONS[self.comparison](None if found is MISSING else found, self.given)


@dataclass(frozen=True, slots=True)
class Step:
    """One call of an automation.

    `connection` and `operation` say what is called; `name` is what later steps know its answer by; `when` are the
    conditions under which it is made; `save` is the name of a file that a binary answer goes to.
    """

    name: str
    connection: str
    operation: str
    inputs: InputMapping
    when: tuple[Condition, ...] = ()
    save: Value | None = None


@dataclass(frozen=True, slots=True)
class Automation:
    """What is done when an event comes: `steps`, one after the other, if all of `when` hold."""

    handle: str
    connection: str
    trigger: str
    steps: tuple[Step, ...]
    when: tuple[Condition, ...] = ()
    short: str = ""
    description: str = ""

    def wants(self, connection: str, trigger: str, context: Context) -> bool:
        """True for an event that it is for."""
        named = (connection, trigger) == (self.connection, self.trigger)
        return named and all(each.holds(context) for each in self.when)


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
    """As `parse_automation`, but gives the problems, warnings too, beside what could be read."""
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
    automation = Automation(handle, connection, trigger, tuple(steps), when, short, description)
    return automation, document.problems([*reader.findings, *find_shape_problems(document.value, "automation")])


def _refuse(document: Document, reader: Reader) -> None:
    problems = [problem for problem in document.problems(reader.findings) if problem.is_error]
    if problems:
        raise InvalidDefinition(problems)


@dataclass(frozen=True, slots=True)
class _MappingReader:
    """Reads the pieces of automations; `known` are the parts of the context that a place may name, None for any."""

    reader: Reader

    def address(self, source: Mapping[str, Any], key: str, path: Path = ()) -> tuple[str, str]:
        """A connection and what of it is named: `mistral-ai/files.content`."""
        text = self.reader.get(source, key, str, "")
        connection, slash, rest = text.partition("/")
        if key in source and isinstance(source[key], str) and not (connection and slash and rest):
            hint = 'write "mistral-ai/" and the name of the ' + ("trigger" if key == "on" else "operation")
            self.reader.complain(
                "E_AUTOMATION", f"{text[:70]!r} names no connection and what of it", (*path, key), hint
            )
        return connection, rest

    def step(self, source: Mapping[str, Any], path: Path, known: set[str], name: str) -> Step:
        """One step, which knows the steps before it."""
        connection, operation = self.address(source, "call", path)
        given = self.reader.get(source, "name", str, name)
        if given in known:
            hint = "name it otherwise"
            self.reader.complain("E_DOUBLED", f"{given[:70]!r} is known already", (*path, "name"), hint)
        inputs = self.reader.get(source, "inputs", dict, {})
        save = self.value(source["save"], (*path, "save"), known) if "save" in source else None
        conditions = self.conditions(source.get("when"), (*path, "when"), known)
        return Step(given, connection, operation, self.inputs(inputs, (*path, "inputs"), known), conditions, save)

    def inputs(self, source: Any, path: Path, known: set[str] | None) -> InputMapping:
        """A mapping."""
        members = source.items() if isinstance(source, Mapping) else ()
        return InputMapping({name: self.value(each, (*path, name), known) for name, each in members})

    def value(self, source: Any, path: Path, known: set[str] | None) -> Value:
        """One value of a mapping."""
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
            self.reader.complain("E_AUTOMATION", f"nothing is named {part[:70]!r} here", (*path, "from"), hint)
        selector = self.reader.selector(source.get("selector", []), (*path, "selector"))
        convertor = self.reader.convertor(source, path) if "type" in source else None
        default = source.get("default", MISSING)
        return Picked(part, selector or Selector.from_json([]), convertor, default)

    def conditions(self, source: Any, path: Path, known: set[str]) -> tuple[Condition, ...]:
        """Conditions that must all hold."""
        listed: Sequence[Any] = source if isinstance(source, list) else [] if source is None else [source]
        wheres: Iterator[Path] = ((*path, index) if isinstance(source, list) else path for index in range(len(listed)))
        pairs = zip(listed, wheres, strict=True)
        return tuple(self._condition(each, where, known) for each, where in pairs if isinstance(each, Mapping))

    def _condition(self, source: Mapping[str, Any], path: Path, known: set[str]) -> Condition:
        for member, negated in (("any", False), ("not", True)):
            if member in source:
                return Condition(alternatives=self.conditions(source[member], (*path, member), known), negated=negated)
        named = [name for name in COMPARISONS if name in source]
        if len(named) != 1 or (named == ["in"] and not isinstance(source["in"], list)):
            hint = f"compare with one of {', '.join(COMPARISONS)}"
            self.reader.complain("E_AUTOMATION", "the condition compares with nothing, or with several", path, hint)
            return Condition()
        return Condition(self._picked(source, path, known), named[0], source[named[0]])
