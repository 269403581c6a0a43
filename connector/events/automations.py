"""Automations: the steps that follow an event, as data. Automation, Step, Condition, and the mapping of values.

A mapping takes values from an event and from earlier answers: by selectors and JSONPath, as literals, in templates of
plain names, with defaults and typed conversion. It is compiled when it is read, and no value in it is ever code. The
runtime runs the steps and stores their progress.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from connector.errors import InputError, InputProblem
from connector.selectors import Selector
from connector.strict_json import same_json
from connector.templates import Template
from connector.types import Convertor, to_text

#: The sources of a mapping: `event`, and each earlier step by its name.
Context = Mapping[str, Any]
#: The name of the event in a context.
EVENT = "event"
#: The value of a missing source, which is dropped later (language rule 4: it is not supplied).
MISSING: Any = object()


class Value(Protocol):
    """Something that has a value in a context."""

    def find(self, context: Context) -> Any:
        """Returns the value, or MISSING; raises ValueError if it cannot be converted."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed value, whatever the context."""

    value: Any

    def find(self, context: Context) -> Any:  # noqa: ARG002 - the protocol's signature
        """The value."""
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The value of a selector in one part of the context, converted to its type; the default if it finds nothing."""

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

    A template that is just one name is the value of that name, whatever its type. In a longer text a missing value is
    empty.
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
    """An object of values; missing members are left out."""

    values: Mapping[str, Value]

    def find(self, context: Context) -> Any:
        """The object."""
        found = {name: value.find(context) for name, value in self.values.items()}
        return {name: value for name, value in found.items() if value is not MISSING}


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values; missing items are left out."""

    values: tuple[Value, ...]

    def find(self, context: Context) -> Any:
        """The list."""
        return [found for value in self.values if (found := value.find(context)) is not MISSING]


@dataclass(frozen=True, slots=True)
class InputMapping:
    """Inputs by name, each with the source of its value."""

    values: Mapping[str, Value]

    def resolve(self, context: Context, *, name: str = "mapping") -> dict[str, Any]:
        """Returns the inputs in a context; missing ones are left out.

        Raises InputError for `name` with every value that cannot be converted.

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
            raise InputError(name, errors, hint="check the source of the value in the mapping")
        return found


def _holds(found: str | list[Any], given: Any) -> bool:
    if isinstance(found, str):
        return isinstance(given, str) and given in found
    return any(same_json(each, given) for each in found)


def _ordered(found: Any, given: Any, compare: Callable[[Any, Any], bool]) -> bool:
    for kinds in ((int, float), (str,)):
        if isinstance(found, kinds) and isinstance(given, kinds) and bool not in (type(found), type(given)):
            return compare(found, given)
    return False


#: The comparisons of a condition, by the member that names each: what was found, and what it is compared with.
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": same_json,
    "in": lambda found, given: any(same_json(found, each) for each in given),
    "contains": lambda found, given: isinstance(found, (str, list)) and _holds(found, given),
    "exists": lambda found, given: (found is not None) == given,
    "above": lambda found, given: _ordered(found, given, operator.gt),
    "below": lambda found, given: _ordered(found, given, operator.lt),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison of a value in the context, or of other conditions: `any` of them, or none (`not`)."""

    value: Value | None = None
    comparison: str = ""
    given: Any = None
    alternatives: tuple[Condition, ...] = ()
    negated: bool = False

    def holds(self, context: Context) -> bool:
        """Returns True if it is met; a value that cannot be converted meets only `exists: false`."""
        if self.value is None:
            return any(each.holds(context) for each in self.alternatives) != self.negated
        try:
            found = self.value.find(context)
        except ValueError:
            found = MISSING
        return COMPARISONS[self.comparison](None if found is MISSING else found, self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of an automation.

    It calls `operation` of `connection` if all of `when` hold. Later steps find its answer under `name`; `save` is the
    name of a file for a binary answer.
    """

    name: str
    connection: str
    operation: str
    inputs: InputMapping
    when: tuple[Condition, ...] = ()
    save: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """The `steps` that run after an event, one after the other, if all of `when` hold."""

    handle: str
    connection: str
    trigger: str
    steps: tuple[Step, ...]
    when: tuple[Condition, ...] = ()
    short: str = ""
    description: str = ""

    def wants(self, connection: str, trigger: str, context: Context) -> bool:
        """Returns True if an event starts it."""
        named = (connection, trigger) == (self.connection, self.trigger)
        return named and all(each.holds(context) for each in self.when)
