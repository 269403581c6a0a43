"""Reads custom operations: their steps, with a function for each type, and those built into every connector."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.model.definition import CustomOperation, Field, Step
from connector.model.policies import METHODS
from connector.model.service import Service
from connector.parsing.namespaces import Usage
from connector.parsing.operations import read_operation
from connector.parsing.reader import Declaration, Reader, text_path
from connector.parsing.schema import Path
from connector.requests.steps import HttpStep, MimeStep, check_mail_header
from connector.templates import NAME, Placeholder, Template
from connector.types import CONVERTORS, to_text

_STRING = CONVERTORS["string"]


def read_http_step(source: Mapping[str, Any], path: Path, scope: Scope) -> HttpStep:
    """Returns a step that makes a call; its problems go to the reader."""
    method, chooser = _read_method(source, (*path, "method"), scope)
    fixed = {**source, "method": method}
    if scope.output:
        fixed.pop("fields", None)
    operation = read_operation(
        scope.reader,
        scope.handle,
        fixed,
        path,
        scope.service,
        fields=scope.output,
        usage=Usage(scope.variables, scope.filled),
    )
    places = operation.places if chooser is None else {**operation.places, chooser.name: ("method",)}
    operation = replace(operation, places=places, step=scope.number)
    declared = None if source.get("idempotent") is None else operation.idempotent
    return HttpStep(
        operation=operation,
        is_last=scope.is_last,
        chooser=chooser,
        declared=declared,
        answered=frozenset(scope.answered & operation.inputs.keys()),
    )


def read_mime_step(source: Mapping[str, Any], path: Path, scope: Scope) -> MimeStep:
    """Returns a step that makes a mail message; its problems go to the reader."""
    reader = scope.reader
    templates: dict[str, Template] = {}
    inputs: dict[str, Placeholder] = {}
    for part in ("to", "subject", "body", "from"):
        if part not in source:
            continue
        templates[part], declared = reader.template(source[part], (*path, part))
        where = text_path(source[part], (*path, part))
        for name in templates[part].names:
            known = scope.find(name, declared)
            if known is not None:
                inputs.setdefault(name, known)
            elif name in scope.service.secrets:
                message = f"the credential {name!r} is used outside auth"
                reader.complain("W_SECRET_OUTSIDE_AUTH", message, where, "rename the input")
            elif name not in scope.service.placeholders:
                inputs.setdefault(name, Placeholder(name, _STRING, required=True))
                hint = "declare it; it is taken as a required String"
                reader.complain("W_UNDECLARED", f"{name!r} is used and declared nowhere", where, hint)
        try:
            check_mail_header("".join(each for each in templates[part].parts if isinstance(each, str)))
        except ValueError as error:
            if part != "body":
                reader.complain("E_HEADER", str(error), where)
    output = reader.get(source, "output", str, "raw")
    if not NAME.match(output):
        reader.complain("E_NAME", f"{output[:70]!r} is not a name for a variable", (*path, "output"))
    label = f"{scope.handle}, step {scope.number}" if scope.number else scope.handle
    return MimeStep(label=label, templates=templates, output=output, inputs=inputs)


@dataclass(slots=True, kw_only=True)
class Scope:
    """The surroundings of a step: the operation it belongs to, and the variables that it may use."""

    reader: Reader
    handle: str
    service: Service
    #: The fields of the result, where the step is the last one.
    output: tuple[Field, ...] = ()
    is_last: bool = False
    #: The number of the step, counted from 1; 0 for the only one.
    number: int = 0
    variables: dict[str, Declaration] = field(default_factory=dict)
    #: The names that the connection fills; None for those of its values.
    filled: frozenset[str] | None = None
    #: Those of the variables that come from answers.
    answered: set[str] = field(default_factory=set)

    def find(self, name: str, declared: Mapping[str, Declaration]) -> Placeholder | None:
        """Returns the declaration of a name by the template that uses it, else by the operation or an earlier step."""
        known = declared.get(name) or self.variables.get(name)
        return None if known is None else known.placeholder


def _read_method(source: Mapping[str, Any], path: Path, scope: Scope) -> tuple[str, Placeholder | None]:
    """Returns the fixed method, or GET and the variable that chooses among several."""
    template, declared = scope.reader.template(source.get("method", "GET"), path)
    path = text_path(source.get("method"), path)
    if template.literal is not None and (not template.parts or template.literal.isalpha()):
        return template.literal or "GET", None
    name = template.only_slot
    if name is None:
        scope.reader.complain("E_METHOD", "a method is one word or one placeholder", path, 'write "{{method}}"')
        return "GET", None
    chooser = scope.find(name, declared) or Placeholder(name, _STRING)
    if not chooser.options and name in scope.variables:
        chooser = replace(chooser, options=scope.variables[name].placeholder.options)
    if not chooser.options or not all(to_text(option).upper() in METHODS for option in chooser.options):
        message = f"{name!r} is used as the method, and no methods are declared as its options"
        scope.reader.complain("E_METHOD", message, path, 'declare its options: ["GET", "POST"]')
    return "GET", replace(chooser, required=True)


#: A function for each `type` of step; the member of that name in the step holds what the function reads.
STEP_TYPES: Mapping[str, Callable[[Mapping[str, Any], Path, Scope], Step]] = {
    "http": read_http_step,
    "mime_build": read_mime_step,
}


def read_custom_operation(
    reader: Reader, handle: str, source: Mapping[str, Any], path: Path, service: Service, *, built_in: bool = False
) -> CustomOperation:
    """Returns one complete custom operation; its problems go to the reader.

    A name that a step uses and that nothing before it provides is an input of the operation as well (language rule 5).
    The inputs of a `built_in` operation are always the caller's, whatever the values of the connection are called
    (language rule 6).
    """
    declared = {
        name: Declaration(reader.placeholder(name, entry, where, inside="meta"), where)
        for name, entry, where in reader.items(reader.get(source, "input", (list, dict), []), (*path, "input"), "name")
    }
    output = reader.fields(reader.get(source, "output", list, []), (*path, "output"))
    listed = [each for each in reader.get(source, "steps", list, []) if isinstance(each, Mapping)]
    shared = {name for _, template in service.headers for name in template.names}
    filled = frozenset(shared & service.placeholders.keys()) - declared.keys() if built_in else None
    scope = Scope(reader=reader, handle=handle, service=service, variables=dict(declared), filled=filled)
    inputs = {name: each.placeholder for name, each in declared.items()}
    steps: list[Step] = []
    used: set[str] = set()
    for index, item in enumerate(listed):
        where = (*path, "steps", index)
        kind = reader.get(item, "type", str, "")
        if kind not in STEP_TYPES:
            continue
        scope.number = index + 1 if len(listed) > 1 else 0
        scope.is_last = index == len(listed) - 1
        scope.output = output if scope.is_last else ()
        if not isinstance(item.get(kind), Mapping):
            if any(other in item for other in STEP_TYPES if other != kind):
                reader.complain("E_MISSING", f"{kind!r} is missing", where, missing=kind)
            continue
        step = STEP_TYPES[kind](item[kind], (*where, kind), scope)
        for name, placeholder in step.inputs.items():
            if name not in scope.variables:
                inputs[name] = placeholder
                scope.variables[name] = Declaration(placeholder, where)
        used |= step.inputs.keys() | (step.operation.places.keys() if step.operation is not None else set())
        for name, placeholder in step.added.items():
            scope.variables[name] = Declaration(placeholder, where)
        scope.answered |= step.added.keys() if step.operation is not None else set()
        steps.append(step)
    for name in declared.keys() - used:
        reader.complain("W_UNUSED", f"{name!r} is declared and used nowhere", declared[name].path, "remove it")
    bound = frozenset[str]().union(*(step.operation.from_connection for step in steps if step.operation is not None))
    short, description = reader.meta(source)
    return CustomOperation(
        handle=handle,
        service=service,
        short=short,
        description=description,
        inputs=inputs,
        steps=tuple(steps),
        output=output,
        from_connection=bound - inputs.keys(),
    )


class CustomOperations(Mapping[str, CustomOperation]):
    """The custom operations of a connector by handle: its own, and then those that every connector has.

    A built-in operation is read when it is first used, since that takes longer than reading a small connector.
    """

    def __init__(self, own: Mapping[str, CustomOperation], service: Service) -> None:
        self._own = own
        self._service = service
        self._built_in: dict[str, CustomOperation] = {}

    def __getitem__(self, handle: str) -> CustomOperation:
        found = self._own.get(handle) or self._built_in.get(handle)
        if found is None:
            source = load_built_in()[handle]
            # Its findings are ignored: the author of this connector could not fix them.
            read = read_custom_operation(Reader(), handle, source, (handle,), self._service, built_in=True)
            found = self._built_in.setdefault(handle, read)  # another thread may have been first
        return found

    def __iter__(self) -> Iterator[str]:
        yield from {**self._own, **load_built_in()}

    def __len__(self) -> int:
        return len({**self._own, **load_built_in()})


@functools.cache
def load_built_in() -> Mapping[str, Any]:
    """Returns the operations that every connector has unless it declares its own, by handle, as JSON."""
    import importlib.resources

    text = importlib.resources.files("connector").joinpath("builtin.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
