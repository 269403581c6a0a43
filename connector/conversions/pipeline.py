"""Pipelines: the `convert` of a field, compiled once and checked at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.conversions.choices import CHOICES
from connector.conversions.codes import CODES
from connector.conversions.dates import DATES
from connector.conversions.lists import LISTS
from connector.conversions.numbers import NUMBERS
from connector.conversions.quoting import QUOTING
from connector.conversions.row import Apply, Conversion, Kind, finish, read_list
from connector.conversions.texts import TEXTS, names_in
from connector.errors import did_you_mean

#: The conversions by the name that a definition uses. `each` is one of them, and compiles a pipeline of its own.
CONVERSIONS: dict[str, Conversion] = {**TEXTS, **NUMBERS, **DATES, **CHOICES, **LISTS, **CODES, **QUOTING}
#: A pipeline has at most this many steps, those of `each` included.
MAX_STEPS = 50
#: The conversion that makes one kind of value of another, for hints.
MENDS: Mapping[tuple[Kind, Kind], str] = {
    ("text", "number"): "number",
    ("text", "list"): "split",
    ("text", "boolean"): "equals",
    ("text", "object"): "from_json",
    ("number", "list"): "json",
    ("number", "boolean"): "equals",
    ("list", "object"): "first",
    ("list", "text"): "join",
    ("list", "number"): "count",
    ("object", "text"): "json",
    ("object", "list"): "entries",
    ("object", "number"): "get",
    ("object", "boolean"): "get",
}


class PipelineError(ValueError):
    """A pipeline that cannot be used; `path` leads from it to the step, or into its argument."""

    def __init__(self, path: tuple[str | int, ...], message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.hint = hint


class ConversionError(ValueError):
    """A value that a step of a pipeline cannot convert; the message names the step and not the value."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, compiled."""

    name: str
    apply: Apply = field(compare=False, repr=False)
    row: Conversion
    argument: Any = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps of one `convert`, in order; `kind` is what they return, `names` are the other values that they use."""

    steps: tuple[Step, ...]
    kind: Kind
    names: tuple[str, ...] = ()
    #: Converts a value; the mapping holds the other values by name. Raises ConversionError.
    convert: Apply = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Chains the functions of the steps once."""
        object.__setattr__(self, "convert", _chain(self.steps, self.kind))

    @classmethod
    def from_json(cls, source: Any) -> Pipeline:
        """Compiles a list of steps, each a name or an object with one member; raises PipelineError."""
        return _read(source, _Budget())


@dataclass(slots=True)
class _Budget:
    """How many steps may still be read."""

    left: int = MAX_STEPS

    def take(self, path: tuple[str | int, ...]) -> None:
        self.left -= 1
        if self.left < 0:
            raise PipelineError(path, f"a pipeline has at most {MAX_STEPS} steps")


def _read(source: Any, budget: _Budget, kind: Kind = "any") -> Pipeline:
    if not isinstance(source, list):
        raise PipelineError((), "expected a list of conversions", 'write ["trim", {"round": 2}]')
    steps: list[Step] = []
    names: dict[str, None] = {}
    for index, written in enumerate(source):
        budget.take((index,))
        name, argument = _split(written, index)
        if name == "each":
            inner = _read_each(argument, index, budget)
            names.update(dict.fromkeys(inner.names))
            step = Step(name, _each(inner), EACH, tuple(each.name for each in inner.steps))
        else:
            step = _read_step(name, argument, (index,), has_argument=isinstance(written, dict))
            names.update(dict.fromkeys(names_in(argument) if name == "template" else ()))
        kind = _meet(steps, step, kind, index)
        steps.append(step)
    return Pipeline(tuple(steps), kind, tuple(names))


def _split(written: Any, index: int) -> tuple[str, Any]:
    if isinstance(written, str):
        return written, None
    if isinstance(written, dict) and len(written) == 1:
        ((name, argument),) = written.items()
        return name, argument
    raise PipelineError((index,), "a step is a name, or an object with one member", 'write "trim" or {"round": 2}')


def _read_step(name: str, argument: Any, path: tuple[str | int, ...], *, has_argument: bool) -> Step:
    if name not in CONVERSIONS:
        raise PipelineError(path, f"unknown conversion {name[:70]!r}", did_you_mean(name, [*CONVERSIONS, "each"]))
    row = CONVERSIONS[name]
    if not has_argument and row.argument is not None and not row.optional:
        raise PipelineError(path, f"{name!r} needs an argument", f"write {{{name!r}: {row.example[0]!r}}}")
    if has_argument and row.argument is None:
        raise PipelineError((*path, name), f"{name!r} has no argument", f"write {name!r}")
    if has_argument:
        _check_argument(row, argument, (*path, name))
    try:
        return Step(name, row.compile(argument), row, argument)
    except (ValueError, TypeError, KeyError) as error:
        raise PipelineError((*path, name), f"{name}: {error}") from None


def _check_argument(row: Conversion, argument: Any, path: tuple[str | int, ...]) -> None:
    """Raises PipelineError for an argument that its schema does not allow."""
    from jsonschema import Draft202012Validator  # only definitions with conversions need it

    errors = Draft202012Validator(row.argument or {}).iter_errors(argument)
    # What is missing is often only misspelt.
    for error in sorted(errors, key=lambda each: each.validator != "additionalProperties"):
        known = (row.argument or {}).get("properties", {})
        unknown = [name for name in argument if name not in known] if error.validator == "additionalProperties" else []
        if unknown:
            hint = did_you_mean(unknown[0], list(known))
            raise PipelineError((*path, unknown[0]), f"unknown option {unknown[0]!r}", hint)
        hint = f"for example {row.example[0]!r}"
        raise PipelineError((*path, *error.absolute_path), f"{path[-1]}: {error.message[:200]}", hint)


def _meet(steps: list[Step], step: Step, kind: Kind, index: int) -> Kind:
    """What the pipeline returns after the step; raises PipelineError if the step cannot be given what comes before."""
    row = step.row
    returns = row.returns_for(step.argument) if row.returns_for is not None else row.returns
    if kind == "list" and row.is_scalar:
        return "list"
    fits = "any" in (kind, row.accepts) or kind == row.accepts
    if not fits and not (row.accepts == "text" and kind in ("number", "boolean")):
        before = steps[-1].name
        mend = MENDS.get((kind, row.accepts))
        hint = f"put {mend!r} between them" if mend else ""
        raise PipelineError((index,), f"{before!r} returns {AN[kind]}, and {step.name!r} needs {AN[row.accepts]}", hint)
    if returns == "any" and row is CHOICES["default"]:
        return kind
    return returns


#: Each kind of value in a sentence.
AN: Mapping[Kind, str] = {
    "text": "text",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
    "any": "any value",
}


def _read_each(argument: Any, index: int, budget: _Budget) -> Pipeline:
    try:
        return _read(argument, budget)
    except PipelineError as error:
        raise PipelineError((index, "each", *error.path), str(error), error.hint) from None


def _each(inner: Pipeline) -> Apply:
    convert = inner.convert

    def convert_each(value: Any, names: Mapping[str, Any]) -> list[Any]:
        return [convert(each, names) for each in read_list(value)]

    return convert_each


EACH = Conversion(
    accepts="list",
    returns="list",
    compile=lambda argument: Pipeline.from_json(argument).convert,
    description="Converts each element of a list, by steps of its own.",
    example=([{"get": ["n"]}], [{"n": 1}, {"n": 2}], [1, 2]),
    argument={"type": "array", "minItems": 1},
)
CONVERSIONS["each"] = EACH


def _chain(steps: tuple[Step, ...], kind: Kind) -> Apply:
    plan = [(step.name, step.apply, step.row.is_scalar, step.row.takes_null) for step in steps]
    # Texts and the like pass as they are; only numbers, and what can hold some, are looked at.
    finishes = kind not in ("text", "boolean")

    def convert(value: Any, names: Mapping[str, Any]) -> Any:
        for name, apply, is_scalar, takes_null in plan:
            if value is None and not takes_null:
                continue
            try:
                spreads = is_scalar and type(value) is list
                value = _spread(apply, value, names) if spreads else apply(value, names)
            except ValueError as error:
                raise ConversionError(f"{name}: {error}") from None
        return finish(value) if finishes else value

    return convert


def _spread(apply: Apply, values: list[Any], names: Mapping[str, Any]) -> list[Any]:
    """The elements of a list converted one by one, also of lists within it."""
    return [
        None if each is None else _spread(apply, each, names) if type(each) is list else apply(each, names)
        for each in values
    ]
