"""The steps of custom operations: one class per type, in one table, and how they run over one map of variables.

A step is read from the definition with the variables that it may use, and acts in `flow`, a generator that yields the
call it makes and is sent the fields of the answer; so nothing here sends. `run_steps` puts the steps of one operation
in a row. What a call is made from and how its answer is read is the same as for any operation.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.answers.mapping import map_fields
from connector.errors import InputError, InputProblem, MappingError
from connector.messages import Result
from connector.model.definition import Call, CustomOperation, Field, Operation, Step
from connector.model.policies import read_idempotency
from connector.model.service import Config, Service
from connector.parsing.namespaces import Usage
from connector.parsing.operations import read_operation
from connector.parsing.reader import Declaration, Reader, text_path
from connector.parsing.schema import Path
from connector.requests.build import build_request, input_hint, read_inputs
from connector.requests.mime import build_message, check_addresses, check_mail_header
from connector.templates import Placeholder, Template, Unrenderable
from connector.types import CONVERTORS, to_text

_METHOD = re.compile(r"[A-Za-z]{1,20}\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_STRING = CONVERTORS["string"]
_ADDRESSES = frozenset({"to", "from"})
Flow = Generator[Call, Mapping[str, Any], Mapping[str, Any]]


@dataclass(slots=True)
class Scope:
    """What a step is read with: the operation it belongs to, and the variables that it may use."""

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
        """What is declared of a name: by the template that uses it, else by the operation or an earlier step."""
        known = declared.get(name) or self.variables.get(name)
        return None if known is None else known.placeholder


@dataclass(frozen=True, slots=True)
class HttpStep:
    """One call of the provider; it adds the fields of its answer that are not null.

    `chooser` is the variable that names the method, where this is not fixed, and `declared` what the definition says of
    repeating the call then. `answered` are the variables that come from answers of earlier steps.
    """

    operation: Operation
    is_last: bool = False
    chooser: Placeholder | None = None
    declared: bool | None = None
    answered: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, source: Mapping[str, Any], path: Path, scope: Scope) -> HttpStep:
        """The step as it stands in the definition; what is wrong with it goes to the reader."""
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
        return cls(operation, scope.is_last, chooser, declared, frozenset(scope.answered & operation.inputs.keys()))

    @property
    def inputs(self) -> Mapping[str, Placeholder]:
        """The variables that it takes, by name."""
        return (
            self.operation.inputs
            if self.chooser is None
            else {self.chooser.name: self.chooser, **self.operation.inputs}
        )

    @property
    def added(self) -> Mapping[str, Placeholder]:
        """The fields of its answer."""
        return {
            each.name: Placeholder(each.name, CONVERTORS["array"] if each.multivalue else each.convertor, required=True)
            for each in self.operation.fields
        }

    def flow(self, values: Mapping[str, Any], config: Config) -> Flow:
        """Yields the call, is sent the fields of its answer, and returns those that are not null.

        Raises InputError for variables that cannot be sent, MappingError where one of them came from an answer.
        """
        operation = self.operation if self.chooser is None else self._choose(self.chooser, values)
        known = operation.inputs.keys() | operation.from_connection
        try:
            request = build_request(operation, {name: values[name] for name in known & values.keys()}, config)
        except InputError as error:
            names = sorted({each.name for each in error.errors} & self.answered)
            if not names:
                raise
            hint = f"the answer of an earlier step holds no usable {' and no usable '.join(names)}"
            raise MappingError(error.message, hint=hint) from None
        fields = yield Call(operation, request, self.is_last)
        return {name: value for name, value in fields.items() if value is not None}

    def _choose(self, chooser: Placeholder, values: Mapping[str, Any]) -> Operation:
        """The operation with the method that the caller chose."""
        given = values.get(chooser.name, chooser.default)
        try:
            if given is None:
                raise ValueError("it is missing")
            method = to_text(chooser.read(given)).upper()
        except ValueError as error:
            problem = InputProblem(chooser.name, f"{chooser.name}: {error}")
            raise InputError(self.operation.label, [problem], hint=input_hint(self.operation, [])) from None
        idempotent, _ = read_idempotency(self.declared, method)
        return replace(self.operation, method=method, idempotent=idempotent)


def _read_method(source: Mapping[str, Any], path: Path, scope: Scope) -> tuple[str, Placeholder | None]:
    """The fixed method, or GET and the variable that chooses among several."""
    template, declared = scope.reader.template(source.get("method", "GET"), path)
    path = text_path(source.get("method"), path)
    if template.literal is not None and (not template.parts or _METHOD.match(template.literal)):
        return template.literal or "GET", None
    name = template.only_slot
    if name is None:
        scope.reader.complain("E_METHOD", "a method is one word or one placeholder", path, 'write "{{method}}"')
        return "GET", None
    chooser = scope.find(name, declared) or Placeholder(name, _STRING)
    if not chooser.options and name in scope.variables:
        chooser = replace(chooser, options=scope.variables[name].placeholder.options)
    if not chooser.options or not all(_METHOD.match(to_text(option)) for option in chooser.options):
        message = f"{name!r} stands for the method, and it is not declared which methods there are"
        scope.reader.complain("E_METHOD", message, path, 'declare its options: ["GET", "POST"]')
    return "GET", replace(chooser, required=True)


@dataclass(frozen=True, slots=True)
class MimeStep:
    """A message of mail made from variables; it adds the whole message as one variable.

    It is base64url text without padding (RFC 4648, section 5), as Gmail takes it. `templates` are those of `to`,
    `subject`, `body` and `from`.
    """

    label: str
    templates: Mapping[str, Template]
    output: str = "raw"
    inputs: Mapping[str, Placeholder] = field(default_factory=dict)
    operation: Operation | None = None

    @classmethod
    def from_json(cls, source: Mapping[str, Any], path: Path, scope: Scope) -> MimeStep:
        """The step as it stands in the definition; what is wrong with it goes to the reader."""
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
        if not _NAME.match(output):
            reader.complain("E_NAME", f"{output[:70]!r} is no name of a variable", (*path, "output"))
        label = f"{scope.handle}, step {scope.number}" if scope.number else scope.handle
        return cls(label, templates, output, inputs)

    @property
    def added(self) -> Mapping[str, Placeholder]:
        """The message."""
        return {self.output: Placeholder(self.output, _STRING, required=True)}

    def flow(self, values: Mapping[str, Any], config: Config) -> Flow:
        """Yields nothing, and returns the message by its name; raises InputError for what no message holds."""
        yield from ()
        import base64

        known = {**config.values, **values}
        texts: dict[str, str] = {}
        errors: list[InputProblem] = []
        for part, template in self.templates.items():
            name = next(iter(template.names), part)
            try:
                texts[part] = template.render(known) or ""
                if part in _ADDRESSES and (texts[part] or part == "to"):
                    check_addresses(texts[part])
                elif part != "body":
                    check_mail_header(texts[part])
            except ValueError as error:
                name = error.name if isinstance(error, Unrenderable) else name
                errors.append(InputProblem(name, f"{name}: {error}"))
        if errors:
            raise InputError(self.label, errors, hint=f"they stand in {', '.join(self.templates)} of a message")
        message = build_message(
            to=texts["to"], subject=texts.get("subject", ""), body=texts.get("body", ""), sender=texts.get("from", "")
        )
        return {self.output: base64.urlsafe_b64encode(message).rstrip(b"=").decode()}


#: The types by the name that a step gives; the member of that name holds what it needs.
STEP_TYPES: Mapping[str, type[HttpStep | MimeStep]] = {"http": HttpStep, "mime_build": MimeStep}


def read_custom_operation(
    reader: Reader, handle: str, source: Mapping[str, Any], path: Path, service: Service, *, built_in: bool = False
) -> CustomOperation:
    """One custom operation, complete; its problems go to the reader.

    A name that a step uses and that nothing before it provides is an input of the operation as well (language rule 5).
    One that is `built_in` is no template of its connector: whatever a value of the connection is called, its inputs are
    the caller's (language rule 6).
    """
    declared = {
        name: Declaration(reader.placeholder(name, entry, where, inside="meta"), where)
        for name, entry, where in reader.items(reader.get(source, "input", (list, dict), []), (*path, "input"), "name")
    }
    output = reader.fields(reader.get(source, "output", list, []), (*path, "output"))
    listed = [each for each in reader.get(source, "steps", list, []) if isinstance(each, Mapping)]
    shared = {name for _, template in service.headers for name in template.names}
    filled = frozenset(shared & service.placeholders.keys()) - declared.keys() if built_in else None
    scope = Scope(reader, handle, service, variables=dict(declared), filled=filled)
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
        step = STEP_TYPES[kind].from_json(item[kind], (*where, kind), scope)
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
    return CustomOperation(handle, service, short, description, inputs, tuple(steps), output, bound - inputs.keys())


class CustomOperations(Mapping[str, CustomOperation]):
    """The custom operations of a connector by handle: its own, and then those that every connector has.

    One of the latter is read when it is first asked for, since that takes longer than reading a small connector.
    """

    def __init__(self, own: Mapping[str, CustomOperation], service: Service) -> None:
        self._own = own
        self._service = service
        self._built_in: dict[str, CustomOperation] = {}

    def __getitem__(self, handle: str) -> CustomOperation:
        found = self._own.get(handle) or self._built_in.get(handle)
        if found is None:
            source = load_built_in()[handle]
            # What may be said of it is nothing that the author of this connector could mend.
            read = read_custom_operation(Reader(), handle, source, (handle,), self._service, built_in=True)
            found = self._built_in.setdefault(handle, read)  # another thread may have been first
        return found

    def __iter__(self) -> Iterator[str]:
        yield from {**self._own, **load_built_in()}

    def __len__(self) -> int:
        return len({**self._own, **load_built_in()})


@functools.cache
def load_built_in() -> Mapping[str, Any]:
    """The operations that every connector has unless it declares its own, by handle, as a definition writes them."""
    import importlib.resources

    found: dict[str, Any] = json.loads(
        importlib.resources.files("connector").joinpath("builtin.json").read_text("utf-8")
    )
    return found


def run_steps(
    custom: CustomOperation, inputs: Mapping[str, Any], config: Config | Mapping[str, Any]
) -> Generator[Call, Mapping[str, Any], Result]:
    """Runs the steps in order: yields each call, and is sent the fields of its answer.

    What comes of the last step is the result; where that is a call, whoever makes it has the result. Raises InputError,
    and MappingError where an answer holds nothing that a later step can use.
    """
    if not isinstance(config, Config):
        config = custom.service.configure(config)
    values, errors = read_inputs(custom, inputs)
    if errors:
        raise InputError(custom.label, errors, hint=input_hint(custom, errors))
    added: Mapping[str, Any] = {}
    for step in custom.steps:
        added = yield from step.flow(values, config)
        values = {**values, **added}
    fields = map_fields(custom.output, values) if custom.output else None
    return Result(ok=True, status=200, fields=fields, raw=dict(added), attempts=0)
