"""Warnings about a definition that are found by trying it on its examples. A lint never refuses a definition.

Warnings that need only the text (an undeclared name, an unknown key) come from the rest of `parsing`, with line and
column. The pointers of `find_lints` lead into the connector as a whole; `place_lints` finds file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.answers.mapping import map_document
from connector.errors import MappingError, Problem, did_you_mean
from connector.model.definition import Connector, Operation
from connector.parsing.overlays import IDENTITIES
from connector.parsing.schema import Document, Finding, Path
from connector.pointers import read_pointer, write_pointer

Examples = Mapping[str, Any]


def find_lints(connector: Connector, examples: Examples) -> list[Problem]:
    """Returns the warnings about a definition tried on its examples.

    `examples` are keyed by operation id; each is `{status?, headers?, body}` or a list of them, played in order.
    A pointer without a file leads into the whole connector, with named things by their names:
    `/resources/files/operations/list`.
    Codes: `W_EXAMPLE_UNKNOWN`, `W_EXAMPLE_MISSING`, `W_EXAMPLE_SHAPE`, `W_FIELDS_UNMATCHED`, `W_MAPPING`,
    `W_RECORDS_INFERRED`, `W_TRIGGER_OPERATION`.
    """
    problems = [*_unknown(connector, examples), *_unmade(connector)]
    resource_of = {id: resource.handle for resource in connector.resources.values() for id in resource.operations}

    def pointer_to(operation: Operation) -> str:
        resource = resource_of[operation.id]
        return write_pointer(("resources", resource, "operations", operation.id[len(resource) + 1 :]))

    tried: dict[int, _Tried] = {}
    problems += _lint_custom(connector, examples)
    for operation in connector.operations.values():
        if operation.name == "list" and operation.records is None:
            message = f"{operation.id} does not specify where its records are"
            hint = 'declare `records`, for example ["data"]'
            problems.append(Problem("W_RECORDS_INFERRED", message, hint=hint, pointer=pointer_to(operation)))
        if operation.id in examples:
            # Operations of one resource share its fields, and not every answer has them all.
            together = tried.setdefault(id(operation.fields), _Tried(operation))
            problems += _try(operation, examples[operation.id], together, f"examples/{operation.id}.json")
        elif examples:
            hint = f"add examples/{operation.id}.json"
            problems.append(
                Problem("W_EXAMPLE_MISSING", f"{operation.id} has no example", hint=hint, pointer=pointer_to(operation))
            )
    return problems + [problem for each in tried.values() for problem in each.unmatched()]


def _unmade(connector: Connector) -> Iterator[Problem]:
    """Yields the triggers whose operation does not exist, so that no event is ever made."""
    known = sorted({*connector.operations, *connector.custom_operations})
    for webhook in connector.webhooks:
        where = ("resources", webhook.resource, "webhooks", webhook.event)
        poll = webhook.poll
        named: list[tuple[str, tuple[str, ...]]] = [
            (name, ("after", str(place))) for place, name in enumerate(webhook.after)
        ]
        named += [(poll.operation, ("poll", "operation"))] if poll is not None else []
        for name, inside in named:
            if name not in known:
                message = f"{webhook.id} waits for {name!r}, which is not an operation"
                yield Problem(
                    "W_TRIGGER_OPERATION",
                    message,
                    hint=did_you_mean(str(name), known),
                    pointer=write_pointer((*where, *inside)),
                )
        operation = connector.operations.get(poll.operation) if poll is not None else None
        if poll is not None and operation is not None:
            takes = sorted({*operation.inputs, *operation.from_connection})
            for name in poll.inputs:
                if name not in takes:
                    pointer = write_pointer((*where, "poll", "inputs", name))
                    message = f"{webhook.id} polls {operation.id} with {name!r}, which is not an input of it"
                    yield Problem("W_TRIGGER_OPERATION", message, hint=did_you_mean(name, takes), pointer=pointer)


@dataclass(slots=True)
class _Tried:
    """The fields that examples of operations with the same fields matched; `operation` is the first of these."""

    operation: Operation
    matched: set[str] = field(default_factory=set)
    #: The pointers of the bodies that were tried, in its example.
    bodies: list[str] = field(default_factory=list)

    def unmatched(self) -> Iterator[Problem]:
        names = ", ".join(each.name for each in self.operation.body_fields if each.name not in self.matched)
        if self.bodies and names:
            hint = "correct the selectors, or give the operation its own `fields`"
            file = f"examples/{self.operation.id}.json"
            message = f"{self.operation.id}: nothing matches {names}"
            yield Problem("W_FIELDS_UNMATCHED", message, hint=hint, pointer=self.bodies[0], file=file)


def _unknown(connector: Connector, examples: Examples) -> Iterator[Problem]:
    known = sorted({*connector.operations, *connector.custom_operations})
    for name in examples:
        if name not in known:
            file = f"examples/{name}.json"
            yield Problem("W_EXAMPLE_UNKNOWN", f"no operation {name!r}", hint=did_you_mean(name, known), file=file)


def _lint_custom(connector: Connector, examples: Examples) -> Iterator[Problem]:
    """Tries custom operations on their examples: of several calls each has its own answer, in order."""
    for name, custom in connector.custom_operations.items():
        if name in examples:
            file, example = f"examples/{name}.json", examples[name]
            several = len(custom.calls) > 1 and isinstance(example, list)
            answers = [(f"/{place}", each) for place, each in enumerate(example)] if several else [("", example)]
            for call, (pointer, answer) in zip(custom.calls, answers, strict=False):
                together = _Tried(call)
                yield from _try(call, answer, together, file, pointer)
                yield from together.unmatched()
        elif examples and any(not call.path.is_open for call in custom.calls):
            hint = f"add examples/{name}.json"
            yield Problem(
                "W_EXAMPLE_MISSING", f"{name} has no example", hint=hint, pointer=write_pointer(("operations", name))
            )


def _try(operation: Operation, example: Any, together: _Tried, file: str, pointer: str = "") -> Iterator[Problem]:
    """Maps the answers of an example, which is at `pointer` of its file."""
    warnings: dict[str, str] = {}
    bodies = []
    listed = isinstance(example, list)
    for place, answer in enumerate(example if listed else [example]):
        here = f"{pointer}/{place}" if listed else pointer
        status = answer.get("status", 200) if isinstance(answer, Mapping) else None
        if not isinstance(answer, Mapping) or type(status) is not int:
            hint = 'write {"status": 200, "headers": {}, "body": …}'
            yield Problem(
                "W_EXAMPLE_SHAPE", f"{operation.id}: the example is not an answer", hint=hint, pointer=here, file=file
            )
        elif 200 <= status < 300 and answer.get("body") is not None and operation.response == "json":
            bodies.append((f"{here}/body", answer["body"]))
    for here, body in bodies:
        try:
            result = map_document(operation, 200, body)
        except MappingError as error:
            yield Problem("W_MAPPING", error.message, pointer=here, file=file)
            continue
        # That the root of the records is inferred is reported for the operation.
        inferred = operation.records is None
        for warning in result.warnings:
            if not (inferred and warning.startswith("records:")):
                warnings.setdefault(warning, here)
        for row in result.records or [result.fields or {}]:
            together.matched |= {name for name, value in row.items() if value not in (None, [])}
    for warning, here in sorted(warnings.items()):
        yield Problem(
            "W_MAPPING", f"{operation.id}: {warning}", hint="correct the field's type", pointer=here, file=file
        )
    together.bodies += [here for here, _ in bodies]


def place_lints(
    problems: Iterable[Problem], documents: Sequence[Document], examples: Mapping[str, Document]
) -> list[Problem]:
    """Returns the problems of `find_lints` with file, line and column.

    `documents` are those of the connector, an overlay last; `examples` are keyed by operation id. A problem is placed
    in the document that holds the most steps of its pointer.
    """
    files: list[tuple[str | None, Document]] = [(None, each) for each in documents]
    files += [(f"examples/{name}.json", each) for name, each in examples.items()]
    placed: list[tuple[str | None, Document, list[Finding]]] = [
        (file, replace(each, defects=()), []) for file, each in files
    ]
    for problem in problems:
        steps = read_pointer(problem.pointer)
        known = [(*_follow(each, steps), found) for file, each, found in placed if file == problem.file]
        _, path, found = min(known, key=lambda each: each[0])
        found.append(Finding(problem.code, problem.message, path, hint=problem.hint))
    return [problem for _, document, findings in placed for problem in document.problems(findings)]


def _follow(document: Document, steps: Sequence[str]) -> tuple[int, Path]:
    """Returns how many of the steps lead out of the document, and the path of the last that does not."""
    if document.kind in ("resources", "operations"):
        # Such a document is one member of the whole connector.
        if steps[0] != document.kind:
            return len(steps), ()
        steps = steps[1:]
    path: list[str | int] = []
    value = document.value
    for step in steps:
        key: str | int | None = None
        if isinstance(value, Mapping):
            key = step if step in value else None
        elif isinstance(value, list):
            key = _place_of(step, value)
        if key is None:
            break
        path.append(key)
        value = value[key]
    return len(steps) - len(path), tuple(path)


def _place_of(step: str, items: Sequence[Any]) -> int | None:
    for place, item in enumerate(items):
        if isinstance(item, Mapping) and step in [item.get(name) for name in IDENTITIES]:
            return place
    return int(step) if step.isdecimal() and int(step) < len(items) else None
