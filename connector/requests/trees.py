"""Body trees: a JSON value with placeholders in it, compiled once, filled for each request.

Slots become values before anything is serialised, so no value can change the shape of a body: add or replace a member
(language rule 2). `bodies` serialises filled trees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from connector.strict_json import DuplicateKey, read_members, same_json
from connector.templates import (
    Slot,
    Template,
    TemplateSyntaxError,
    Unrenderable,
    Values,
    split_template,
    unused_characters,
)
from connector.types import MAX_DEPTH, check_surrogates, to_text

#: A member of an object in a body template: the object is left out if the input it names was not supplied, or has not
#: the given value: `{"$if": {"jsonMode": true}}`.
CONDITION = "$if"
#: The only member of an item of an array in a body template, which is replaced by the items of that input.
SPREAD = "$spread"

#: How a form writes a list: its name repeated, `name[]`, or `name[0]`, `name[1]`.
ListStyle = Literal["repeat", "brackets", "indexes"]
LIST_STYLES: tuple[ListStyle, ...] = ("repeat", "brackets", "indexes")


@dataclass(frozen=True, slots=True)
class BodyOptions:
    """The options that a body takes from its operation.

    `structured` are the names declared Array or Object, which stay so even between quotes (language rule 3), `files`
    are those declared File, `lists` is the style of lists in a form.
    """

    structured: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    lists: ListStyle = "repeat"


PLAIN = BodyOptions()

_Split = Callable[[str], tuple[str | Slot, ...]]
_NO_NAMES: frozenset[str] = frozenset()


class _Absent:
    """The value of a slot that was not supplied; its member or item is dropped (language rule 4)."""


ABSENT = _Absent()
#: The types that pass a bare slot unchanged; other values become text.
_JSON_TYPES = frozenset({str, int, float, bool, list, dict, type(None), _Absent})
_TEXT_TYPES = frozenset({str, type(None), _Absent})

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSchema:
    """The schemas of the value of a slot: by itself, and as a whole JSON string.

    `is_given` is True if it always has a value; `options` are the only values allowed, empty for any.
    """

    value: Schema
    text: Schema
    is_given: bool
    options: tuple[Any, ...] = ()


FindSlot = Callable[[str], SlotSchema]


def object_schema(members: Iterable[tuple[str, tuple[Schema, bool]]]) -> Schema:
    """Returns the schema of an object with these members; those that are always sent are required."""
    found = dict(members)
    required = [name for name, (_, is_sent) in found.items() if is_sent]
    properties = {name: schema for name, (schema, _) in found.items()}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


class Node(Protocol):
    """A part of a compiled body tree that holds at least one slot."""

    def fill(self, values: Values) -> Any:
        """Returns the JSON value, or ABSENT."""

    def uses(self) -> Iterator[SlotUse]:
        """Yields every use of a placeholder below this node."""

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:
        """Returns its JSON Schema once filled, and whether it is always sent; forms omit empty objects and lists."""


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One use of a placeholder in a body.

    `place` is `bare` (a JSON value by itself), `quoted` (a whole JSON string), `text` (part of one), `key` or
    `condition`; `keys` are the fixed keys of the object whose key it is.
    """

    name: str
    place: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Constant:
    """A subtree without slots."""

    value: Any

    def fill(self, values: Values) -> Any:  # noqa: ARG002 - the shape of a Node
        """Returns the value itself; it is serialised and never changed."""
        return self.value

    def uses(self) -> Iterator[SlotUse]:
        """Yields nothing."""
        return iter(())

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Returns a schema of the one value."""
        return {"const": self.value}, not in_form or self.value not in ([], {})


@dataclass(frozen=True, slots=True)
class _OneSlot:
    """The base of nodes that are one slot."""

    name: str
    place: ClassVar[str] = "bare"

    def uses(self) -> Iterator[SlotUse]:
        """Yields the one use."""
        yield SlotUse(self.name, self.place)


@dataclass(frozen=True, slots=True)
class BareSlot(_OneSlot):
    """A slot that is a JSON value by itself, of its declared type."""

    def fill(self, values: Values) -> Any:
        """Returns the value, or ABSENT; the content of a file as text."""
        value = values.get(self.name, ABSENT)
        return value if type(value) in _JSON_TYPES else _text_of(self.name, value)

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Returns the schema of the input."""
        return find(self.name).value, find(self.name).is_given


@dataclass(frozen=True, slots=True)
class QuotedSlot(_OneSlot):
    """A slot that is a whole JSON string."""

    place: ClassVar[str] = "quoted"

    def fill(self, values: Values) -> Any:
        """Returns the value as text, or ABSENT; null stays null."""
        value = values.get(self.name, ABSENT)
        return value if type(value) in _TEXT_TYPES else _text_of(self.name, value)

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Returns the schema of the input as text."""
        return find(self.name).text, find(self.name).is_given


@dataclass(frozen=True, slots=True)
class Spread(_OneSlot):
    """An item of an array that is replaced by the items of a list, or dropped if the list was not supplied."""

    def fill(self, values: Values) -> Any:
        """Returns the items; raises Unrenderable for a value that is not a list."""
        found = values.get(self.name)
        if found is not None and not isinstance(found, list):
            raise Unrenderable(self.name, "expected a list, whose items become items of the body")
        return found or []

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Returns the schema of each item of the list."""
        return find(self.name).value.get("items", {}), False


def _text_of(name: str, value: Any) -> str:
    try:
        return to_text(value)
    except ValueError as error:
        raise Unrenderable(name, str(error)) from None


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON string with slots inside a longer text."""

    template: Template

    def fill(self, values: Values) -> Any:
        """Returns the text; names that were not supplied are empty."""
        return self.template.render(values)

    def uses(self) -> Iterator[SlotUse]:
        """Yields one use for each name."""
        return (SlotUse(name, "text") for name in self.template.names)

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Returns the schema of a text."""
        return {"type": "string"}, True


@dataclass(frozen=True, slots=True)
class ObjectNode:
    """An object; a key may be a slot, whose options are known not to collide with the other keys."""

    members: tuple[tuple[str | Slot, Node], ...]
    condition: str | None = None
    #: The value that the input of the condition must have; ABSENT for any.
    expected: Any = ABSENT

    def fill(self, values: Values) -> Any:
        """Returns the object without members that are ABSENT; ABSENT if its condition is not met."""
        if self.condition is not None:
            given = values.get(self.condition, ABSENT)
            if given is ABSENT or (self.expected is not ABSENT and not same_json(given, self.expected)):
                return ABSENT
        out: dict[str, Any] = {}
        for key, node in self.members:
            value = node.fill(values)
            if value is ABSENT:
                continue
            if type(key) is str:
                out[key] = value
            elif isinstance(key, Slot) and values.get(key.name) is not None:
                out[to_text(values[key.name])] = value
        return out

    def uses(self) -> Iterator[SlotUse]:
        """Yields the uses in keys, condition and members."""
        fixed = frozenset(key for key, _ in self.members if isinstance(key, str))
        if self.condition is not None:
            yield SlotUse(self.condition, "condition")
        for key, node in self.members:
            if isinstance(key, Slot):
                yield SlotUse(key.name, "key", fixed)
            yield from node.uses()

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:
        """Returns the schema of an object; a key that is a slot becomes a member for each of its options."""
        members: list[tuple[str, tuple[Schema, bool]]] = []
        for key, node in self.members:
            schema, is_sent = node.describe(find, in_form=in_form)
            if isinstance(key, Slot):
                members += [(to_text(option), (schema, False)) for option in find(key.name).options]
            else:
                members.append((key, (schema, is_sent)))
        schema = object_schema(members)
        return schema, self.condition is None and (not in_form or "required" in schema)


@dataclass(frozen=True, slots=True)
class ArrayNode:
    """An array; an item that is ABSENT is dropped."""

    items: tuple[Node, ...]

    def fill(self, values: Values) -> Any:
        """Returns the list."""
        out: list[Any] = []
        for node in self.items:
            value = node.fill(values)
            if type(node) is Spread:
                out += value
            elif value is not ABSENT:
                out.append(value)
        return out

    def uses(self) -> Iterator[SlotUse]:
        """Yields the uses in the items."""
        for node in self.items:
            yield from node.uses()

    def describe(self, find: FindSlot, *, in_form: bool = False) -> tuple[Schema, bool]:
        """Returns the schema of a list of any of the items."""
        items = [node.describe(find, in_form=in_form) for node in self.items]
        schema = items[0][0] if len(items) == 1 else {"anyOf": [each for each, _ in items]}
        return {"type": "array", "items": schema}, not in_form or any(is_sent for _, is_sent in items)


def compile_tree(value: Any) -> Node:
    """Compiles a JSON value with placeholders in its texts; a text that is one placeholder is a bare slot.

    Raises TemplateSyntaxError.
    """
    return _compile(value, split_template, bare=lambda _: True)


def _compile(
    value: Any, split: _Split, bare: Callable[[str], bool], structured: frozenset[str] = _NO_NAMES, depth: int = 0
) -> Node:
    if depth > MAX_DEPTH:
        raise TemplateSyntaxError(f"the body template nests deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return compile_string(_split_encodable(value, split), is_bare=bare(value), structured=structured)
    if isinstance(value, list):
        items = tuple(
            _spread(item, split)
            if isinstance(item, Mapping) and SPREAD in item
            else _compile(item, split, bare, structured, depth + 1)
            for item in value
        )
        return Constant(value) if all(isinstance(item, Constant) for item in items) else ArrayNode(items)
    if isinstance(value, Mapping):
        condition: str | None = None
        expected: Any = ABSENT
        members: list[tuple[str | Slot, Node]] = []
        for key, item in value.items():
            if key == CONDITION:
                condition, expected = _condition(item, split)
                continue
            if key == SPREAD:
                raise TemplateSyntaxError(f'"{SPREAD}" is the only member of an object that is an item of an array')
            members.append((_key(_split_encodable(key, split)), _compile(item, split, bare, structured, depth + 1)))
        if sum(isinstance(key, Slot) for key, _ in members) > 1:
            raise TemplateSyntaxError("an object has at most one placeholder as a key")
        fixed = condition is None and all(isinstance(key, str) and isinstance(node, Constant) for key, node in members)
        return Constant(dict(value)) if fixed else ObjectNode(tuple(members), condition, expected)
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateSyntaxError("the body template holds a number that is not JSON")
    return Constant(value)


def compile_string(
    parts: tuple[str | Slot, ...], *, is_bare: bool = False, structured: frozenset[str] = _NO_NAMES
) -> Node:
    """Returns the node of one text: a slot by itself, a text with slots in it, or a constant."""
    template = Template(parts)
    name = template.only_slot
    if name is not None:
        return BareSlot(name) if is_bare or name in structured else QuotedSlot(name)
    return Text(template) if template.names else Constant(template.literal)


def _split_encodable(text: str, split: _Split) -> tuple[str | Slot, ...]:
    try:
        check_surrogates(text)
    except ValueError as error:
        raise TemplateSyntaxError(f"the body template cannot be sent: {error}") from None
    return split(text)


def _condition(source: Any, split: _Split) -> tuple[str, Any]:
    """Returns the name of an input, and the value it must have, if any."""
    expected: Any = ABSENT
    if isinstance(source, Mapping) and len(source) == 1:
        [(source, expected)] = source.items()
        if isinstance(expected, (Mapping, list)):
            raise TemplateSyntaxError(f'the value that "{CONDITION}" compares with is text, a number or a boolean')
    if isinstance(source, str):
        template = Template(split(source))
        if template.literal is not None:
            template = Template.from_text("{{" + template.literal + "}}")
        if template.only_slot is not None:
            return template.only_slot, expected
    raise TemplateSyntaxError(f'the value of "{CONDITION}" is the name of one input, or that name with its value')


def _spread(source: Mapping[str, Any], split: _Split) -> Spread:
    template = Template(split(source[SPREAD])) if isinstance(source[SPREAD], str) else Template(())
    if len(source) > 1 or template.only_slot is None:
        raise TemplateSyntaxError(f'a list in place of an item is written {{"{SPREAD}": "{{{{name}}}}"}}')
    return Spread(template.only_slot)


def _key(parts: tuple[str | Slot, ...]) -> str | Slot:
    if len(parts) == 1 or not parts:
        return parts[0] if parts else ""
    raise TemplateSyntaxError("a key is fixed text or exactly one placeholder")


def compile_text(text: str, structured: frozenset[str] = _NO_NAMES) -> Node:
    """Compiles JSON text with placeholders: in quotes a slot is text, outside them it is a value of its own.

    Each slot is replaced by a marker, the text is parsed as JSON, and the markers become nodes; so a value can never
    change the shape of the template. Raises TemplateSyntaxError.
    """
    parts = split_template(text)
    free = unused_characters(text)
    quoted_mark, bare_mark = next(free), next(free)
    slots: list[Slot] = []
    out: list[str] = []
    in_text = False
    for part in parts:
        if isinstance(part, Slot):
            mark = quoted_mark if in_text else bare_mark
            token = f"{mark}{len(slots)}{mark}"
            out.append(token if in_text else f'"{token}"')
            slots.append(part)
        else:
            out.append(part)
            in_text = _ends_in_text(part, in_text=in_text)
    tree = _parse("".join(out))

    def split(value: str) -> tuple[str | Slot, ...]:
        pieces = value.replace(bare_mark, quoted_mark).split(quoted_mark)
        mixed: list[str | Slot] = [slots[int(piece)] if place % 2 else piece for place, piece in enumerate(pieces)]
        return tuple(piece for piece in mixed if piece != "")

    return _compile(tree, split, lambda value: value.startswith(bare_mark), structured)


def _ends_in_text(part: str, *, in_text: bool) -> bool:
    place = 0
    while place < len(part):
        if in_text and part[place] == "\\":
            place += 1
        elif part[place] == '"':
            in_text = not in_text
        place += 1
    return in_text


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=read_members)
    except json.JSONDecodeError as error:
        message = f"the body template is not JSON once its placeholders are filled: {error.msg.lower()}"
    except DuplicateKey:
        message = "the body template has the same key twice in one object"
    except RecursionError:
        message = f"the body template nests deeper than {MAX_DEPTH}"
    except ValueError:
        message = "the body template holds too long a number"
    raise TemplateSyntaxError(message)


def flatten(name: str, value: Any, lists: ListStyle = "repeat") -> Iterator[tuple[str, str]]:
    """Yields a named JSON value as form fields: `name[member]` for objects, and lists in the style `lists`.

    >>> list(flatten("a", [1, 2], "indexes"))
    [('a[0]', '1'), ('a[1]', '2')]
    """
    if isinstance(value, dict):
        for member, item in value.items():
            yield from flatten(f"{name}[{member}]", item, lists)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = {"repeat": name, "brackets": f"{name}[]", "indexes": f"{name}[{index}]"}[lists]
            yield from flatten(inner, item, lists)
    else:
        yield name, to_text(value)
