"""Changes between two definitions of one connector, as its callers see them: breaking or not.

A change is breaking if it makes a valid call invalid or removes a value from results: an operation or a field is gone,
a new input is required, there are fewer options. Texts that only people read are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from connector.model.definition import Connector, Field, Operation
from connector.templates import Placeholder
from connector.types import to_text

#: A value of one of these types is one of the other as well.
_WIDER = {("Integer", "Number"), ("Date", "String"), ("DateTime", "String")}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference; `where` is the operation, the trigger or `service`."""

    kind: Literal["added", "removed", "changed"]
    where: str
    message: str
    _: KW_ONLY
    breaking: bool = False


def find_changes(old: Connector, new: Connector) -> list[Change]:
    """Returns every difference that a caller can notice, in the order of the definitions."""
    changes = list(_service(old, new))
    for id, operation in old.operations.items():
        if id not in new.operations:
            changes.append(Change("removed", id, f"the operation {_call(operation)}", breaking=True))
        else:
            changes += _operation(operation, new.operations[id])
    for id, operation in new.operations.items():
        if id not in old.operations:
            changes.append(Change("added", id, f"the operation {_call(operation)}"))
    before, after = ({webhook.id: webhook for webhook in each.webhooks} for each in (old, new))
    for id, webhook in before.items():
        if id not in after:
            changes.append(Change("removed", id, "the trigger", breaking=True))
        else:
            if webhook.path != after[id].path:
                changes.append(
                    Change("changed", id, f"its path is {after[id].path}, not {webhook.path}", breaking=True)
                )
            changes += _fields(id, webhook.payload, after[id].payload)
    changes += [Change("added", id, "the trigger") for id in after if id not in before]
    return changes


def _call(operation: Operation) -> str:
    return f"{operation.method} {operation.path.path.show()}"


def _service(old: Connector, new: Connector) -> Iterator[Change]:
    before, after = old.service.base.show(), new.service.base.show()
    if before != after:
        yield Change("changed", "service", f"the base URL is {after}, not {before}", breaking=True)
    was, now = old.service.auth_methods, new.service.auth_methods
    if was != now:
        gone = set(was) - set(now)
        message = f"auth is {', '.join(now) or 'none'}, not {', '.join(was) or 'none'}"
        yield Change("changed", "service", message, breaking=bool(gone))
    for name, placeholder in old.service.placeholders.items():
        if name not in new.service.placeholders:
            yield Change("removed", "service", f"the value {name!r} of a connection")
        elif not placeholder.required and new.service.placeholders[name].required:
            yield Change("changed", "service", f"the value {name!r} of a connection is required", breaking=True)
    for name, placeholder in new.service.placeholders.items():
        if name not in old.service.placeholders:
            breaking = placeholder.required and placeholder.default is None
            yield Change("added", "service", f"the value {name!r} of a connection", breaking=breaking)


def _operation(old: Operation, new: Operation) -> Iterator[Change]:
    if _call(old) != _call(new):
        # Callers use names, so this is only breaking if inputs changed with it.
        yield Change("changed", old.id, f"it is {_call(new)}, not {_call(old)}")
    if new.deprecated and not old.deprecated:
        yield Change("changed", old.id, "it is deprecated")
    if old.response != new.response:
        yield Change("changed", old.id, f"its answer is {new.response}, not {old.response}", breaking=True)
    if old.lists != new.lists:
        yield Change("changed", old.id, f"it returns {'records' if new.lists else 'one object'} now", breaking=True)
    elif old.records is not None and old.records != new.records:
        yield Change("changed", old.id, "its records are elsewhere in the answer")
    if old.pagination != new.pagination:
        yield Change("changed", old.id, "it goes on in another way" if new.pagination else "it has no pages now")
    yield from _inputs(old.id, old.inputs, new.inputs)
    yield from _fields(old.id, old.fields, new.fields)


def _inputs(id: str, old: Mapping[str, Placeholder], new: Mapping[str, Placeholder]) -> Iterator[Change]:
    for name, placeholder in old.items():
        if name not in new:
            yield Change("removed", id, f"the input {name!r}", breaking=True)
        else:
            yield from _input(id, placeholder, new[name])
    for name, placeholder in new.items():
        if name not in old:
            must = placeholder.required and placeholder.default is None
            yield Change("added", id, f"the {'required ' if must else ''}input {name!r}", breaking=must)


def _input(id: str, old: Placeholder, new: Placeholder) -> Iterator[Change]:
    def changed(message: str, *, breaking: bool = False) -> Change:
        return Change("changed", id, f"the input {old.name!r} {message}", breaking=breaking)

    if old.type != new.type:
        wider = new.type == "Any" or (old.type, new.type) in _WIDER
        yield changed(f"is {new.type}, not {old.type}", breaking=not wider)
    if (new.required and new.default is None) and not (old.required and old.default is None):
        yield changed("is required", breaking=True)
    elif old.required and not new.required:
        yield changed("is no longer required")
    if old.default != new.default and new.default is not None:
        yield changed(f"is {to_text(new.default)} by default")
    gone = [option for option in old.options if option not in new.options] if new.options else []
    if gone or (new.options and not old.options):
        yield changed(f"takes {', '.join(map(to_text, new.options))} only", breaking=True)
    elif added := [option for option in new.options if option not in old.options]:
        yield changed(f"takes {', '.join(map(to_text, added))} as well")
    elif old.options and not new.options:
        yield changed("takes any value")
    if _narrower(old.minimum, new.minimum, 1) or _narrower(old.maximum, new.maximum, -1):
        yield changed("has narrower bounds", breaking=True)
    elif (old.minimum, old.maximum) != (new.minimum, new.maximum):
        yield changed("has wider bounds")
    if old.nullable and not new.nullable:
        yield changed("may not be null", breaking=True)


def _narrower(old: float | None, new: float | None, sign: int) -> bool:
    return new is not None and (old is None or sign * new > sign * old)


def _fields(id: str, old: Sequence[Field], new: Sequence[Field]) -> Iterator[Change]:
    before: dict[str, Any] = {each.name: each for each in old}
    after: dict[str, Any] = {each.name: each for each in new}
    for name, field in before.items():
        if name not in after:
            yield Change("removed", id, f"the field {name!r}", breaking=True)
        elif (field.type, field.multivalue) != (after[name].type, after[name].multivalue):
            kinds = [f"{'many ' if each.multivalue else ''}{each.type}" for each in (after[name], field)]
            yield Change("changed", id, f"the field {name!r} is {kinds[0]}, not {kinds[1]}", breaking=True)
        elif field.selector != after[name].selector:
            yield Change("changed", id, f"the field {name!r} is elsewhere in the answer")
    yield from (Change("added", id, f"the field {name!r}") for name in after if name not in before)
