"""What a definition may hold and its author would want to know: warnings that need its examples to be seen.

Warnings that the text alone shows (an undeclared name, an unknown key) come from `parsing`, with line and column. Here
the definition is tried on recorded answers: a lint never refuses a definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.definitions import Connector, Operation
from connector.errors import MappingError, Problem, did_you_mean
from connector.mapping import map_document

Examples = Mapping[str, Any]


def find_lints(connector: Connector, examples: Examples) -> list[Problem]:
    """The warnings of a definition tried on its examples.

    `examples` are keyed by operation id; each is `{status?, headers?, body}` or a list of them, played in order.
    Codes: `W_EXAMPLE_UNKNOWN`, `W_EXAMPLE_MISSING`, `W_EXAMPLE_SHAPE`, `W_FIELDS_UNMATCHED`, `W_MAPPING`,
    `W_RECORDS_INFERRED`, `W_TRIGGER_OPERATION`.
    """
    problems = [*_unknown(connector, examples), *_unmade(connector)]
    tried: dict[int, _Tried] = {}
    problems += _lint_custom(connector, examples)
    for operation in connector.operations.values():
        if operation.name == "list" and operation.records is None:
            problems.append(
                Problem(
                    "W_RECORDS_INFERRED",
                    f"{operation.id} does not say where its records are",
                    'declare `records`, for example ["data"]',
                    _pointer(operation),
                )
            )
        if operation.id in examples:
            # Operations of one resource share its fields, and not every answer has them all.
            together = tried.setdefault(id(operation.fields), _Tried(operation))
            problems += _try(operation, examples[operation.id], together, f"examples/{operation.id}.json")
        elif examples:
            hint = f"add examples/{operation.id}.json"
            problems.append(Problem("W_EXAMPLE_MISSING", f"{operation.id} has no example", hint, _pointer(operation)))
    return problems + [problem for each in tried.values() for problem in each.unmatched()]


def _unmade(connector: Connector) -> Iterator[Problem]:
    """Triggers that no operation will ever make, since theirs is not there."""
    known = sorted({*connector.operations, *connector.custom_operations})
    for webhook in connector.webhooks:
        polled = [webhook.poll.operation] if webhook.poll is not None else []
        for name in [*webhook.after, *polled]:
            if name not in known:
                pointer = f"/{webhook.resource}/webhooks/{webhook.event}"
                message = f"{webhook.id} waits for {name!r}, which is no operation"
                yield Problem("W_TRIGGER_OPERATION", message, did_you_mean(str(name), known), pointer)
        poll = webhook.poll
        operation = connector.operations.get(poll.operation) if poll is not None else None
        if poll is not None and operation is not None:
            takes = sorted({*operation.inputs, *operation.from_connection})
            for name in poll.inputs:
                if name not in takes:
                    pointer = f"/{webhook.resource}/webhooks/{webhook.event}/poll/inputs/{name}"
                    message = f"{webhook.id} asks {operation.id} with {name!r}, which is no input of it"
                    yield Problem("W_TRIGGER_OPERATION", message, did_you_mean(name, takes), pointer)


@dataclass(slots=True)
class _Tried:
    """What the examples of operations with the same fields have shown; `operation` is the first of them."""

    operation: Operation
    matched: set[str] = field(default_factory=set)
    bodies: int = 0

    def unmatched(self) -> Iterator[Problem]:
        names = ", ".join(each.name for each in self.operation.fields if each.name not in self.matched)
        if self.bodies and names:
            hint = "correct the selectors, or give the operation its own `fields`"
            file = f"examples/{self.operation.id}.json"
            yield Problem("W_FIELDS_UNMATCHED", f"{self.operation.id}: nothing matches {names}", hint, "/body", file)


def _unknown(connector: Connector, examples: Examples) -> Iterator[Problem]:
    known = sorted({*connector.operations, *connector.custom_operations})
    for name in examples:
        if name not in known:
            file = f"examples/{name}.json"
            yield Problem("W_EXAMPLE_UNKNOWN", f"no operation {name!r}", did_you_mean(name, known), "", file)


def _lint_custom(connector: Connector, examples: Examples) -> Iterator[Problem]:
    """Custom operations on their examples: of several calls each has its own answer, in order."""
    for name, custom in connector.custom_operations.items():
        if name in examples:
            file, example = f"examples/{name}.json", examples[name]
            several = len(custom.calls) > 1 and isinstance(example, list)
            for call, answer in zip(custom.calls, example if several else [example], strict=False):
                together = _Tried(call)
                yield from _try(call, answer, together, file)
                yield from together.unmatched()
        elif examples and any(not call.path.is_open for call in custom.calls):
            hint = f"add examples/{name}.json"
            yield Problem("W_EXAMPLE_MISSING", f"{name} has no example", hint, f"/{name}")


def _try(operation: Operation, example: Any, together: _Tried, file: str) -> Iterator[Problem]:
    said: set[str] = set()
    bodies = []
    for place, answer in enumerate(example if isinstance(example, list) else [example]):
        status = answer.get("status", 200) if isinstance(answer, Mapping) else None
        if not isinstance(answer, Mapping) or type(status) is not int:
            pointer = f"/{place}" if isinstance(example, list) else ""
            hint = 'write {"status": 200, "headers": {}, "body": …}'
            yield Problem("W_EXAMPLE_SHAPE", f"{operation.id}: the example is no answer", hint, pointer, file)
        elif 200 <= status < 300 and answer.get("body") is not None and operation.response == "json":
            bodies.append(answer["body"])
    for body in bodies:
        try:
            result = map_document(operation, 200, body)
        except MappingError as error:
            yield Problem("W_MAPPING", error.message, "", "/body", file)
            continue
        # That the root of the records is inferred has been said of the operation.
        inferred = operation.records is None
        said |= {warning for warning in result.warnings if not (inferred and warning.startswith("records:"))}
        for row in result.records or [result.fields or {}]:
            together.matched |= {name for name, value in row.items() if value not in (None, [])}
    for warning in sorted(said):
        yield Problem("W_MAPPING", f"{operation.id}: {warning}", "correct the field's type", "/body", file)
    together.bodies += len(bodies)


def _pointer(operation: Operation) -> str:
    resource, _, name = operation.id.rpartition(".")
    return f"/{resource}/operations/{name}"
