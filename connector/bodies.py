"""Request bodies: one class per kind, in one table keyed by media type.

A kind has `from_json(source)`, which compiles a body template at load, `names`, the placeholders it uses, and
`encode(values)`, which gives the bytes. A JSON body is compiled to a tree with slots that is filled and then
serialised, so no value can add or replace a member (dialect rule 2). Nothing here knows inputs, headers or auth.
"""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from connector.convertors import MAX_DEPTH, check_surrogates, to_text
from connector.templates import (
    Slot,
    Template,
    TemplateSyntaxError,
    Unrenderable,
    Values,
    split_template,
    unused_characters,
)

#: A member of an object in a body template: the object is left out when the input it names was not supplied.
CONDITION = "$if"
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


_Split = Callable[[str], tuple[str | Slot, ...]]
_NO_NAMES: frozenset[str] = frozenset()


class _Absent:
    """The value of a slot that was not supplied, so that its member or item is dropped (dialect rule 4)."""


ABSENT = _Absent()


class Node(Protocol):
    """A part of a compiled body tree that holds at least one slot."""

    def fill(self, values: Values) -> Any:
        """The JSON value, or ABSENT."""

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder below this node."""


@dataclass(frozen=True, slots=True)
class SlotUse:
    """One use of a placeholder in a body.

    `place` is `bare` (a JSON value by itself), `quoted` (a whole JSON string), `text` (part of one), `key` or
    `condition`; `keys` are the fixed keys beside a key.
    """

    name: str
    place: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Constant:
    """A subtree without slots."""

    value: Any

    def fill(self, values: Values) -> Any:  # noqa: ARG002 - the shape of a Node
        """The value itself; it is serialised and never changed."""
        return self.value

    def uses(self) -> Iterator[SlotUse]:
        """No uses."""
        return iter(())


@dataclass(frozen=True, slots=True)
class BareSlot:
    """A slot that is a JSON value by itself and takes its declared type."""

    name: str

    def fill(self, values: Values) -> Any:
        """The value as it was read, or ABSENT; the content of a file as text."""
        value = values.get(self.name, ABSENT)
        return _text_of(self.name, value) if type(value) is bytes else value

    def uses(self) -> Iterator[SlotUse]:
        """The one use."""
        yield SlotUse(self.name, "bare")


@dataclass(frozen=True, slots=True)
class QuotedSlot:
    """A slot that is a whole JSON string: text, or what it is if it is declared Array or Object (`structured`)."""

    name: str
    structured: bool = False

    def fill(self, values: Values) -> Any:
        """The value as text, or ABSENT."""
        value = values.get(self.name, ABSENT)
        if type(value) is str or value is ABSENT or value is None or self.structured:
            return value
        return _text_of(self.name, value)

    def uses(self) -> Iterator[SlotUse]:
        """The one use."""
        yield SlotUse(self.name, "quoted")


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
        """The text; what was not supplied is empty."""
        return self.template.render(values)

    def uses(self) -> Iterator[SlotUse]:
        """One use for each name."""
        return (SlotUse(name, "text") for name in self.template.names)


@dataclass(frozen=True, slots=True)
class ObjectNode:
    """An object; a key may be a slot, whose options are known not to collide with the other keys."""

    members: tuple[tuple[str | Slot, Node], ...]
    condition: str | None = None

    def fill(self, values: Values) -> Any:
        """The object without the members that are ABSENT; ABSENT itself if its condition is not met."""
        if self.condition is not None and self.condition not in values:
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
        """The uses in keys, condition and members."""
        fixed = frozenset(key for key, _ in self.members if isinstance(key, str))
        if self.condition is not None:
            yield SlotUse(self.condition, "condition")
        for key, node in self.members:
            if isinstance(key, Slot):
                yield SlotUse(key.name, "key", fixed)
            yield from node.uses()


@dataclass(frozen=True, slots=True)
class ArrayNode:
    """An array; an item that is ABSENT is dropped."""

    items: tuple[Node, ...]

    def fill(self, values: Values) -> Any:
        """The list."""
        return [value for node in self.items if (value := node.fill(values)) is not ABSENT]

    def uses(self) -> Iterator[SlotUse]:
        """The uses in the items."""
        for node in self.items:
            yield from node.uses()


def compile_tree(value: Any) -> Node:
    """A JSON value with placeholders in its texts as a tree; a text that is one placeholder is a bare slot.

    Raises TemplateSyntaxError.
    """
    return _compile(value, split_template, bare=lambda _: True)


def _compile(
    value: Any, split: _Split, bare: Callable[[str], bool], structured: frozenset[str] = _NO_NAMES, depth: int = 0
) -> Node:
    if depth > MAX_DEPTH:
        raise TemplateSyntaxError(f"the body template nests deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return _compile_string(_split_encodable(value, split), is_bare=bare(value), structured=structured)
    if isinstance(value, list):
        items = tuple(_compile(item, split, bare, structured, depth + 1) for item in value)
        return Constant(value) if all(isinstance(item, Constant) for item in items) else ArrayNode(items)
    if isinstance(value, Mapping):
        condition = None
        members: list[tuple[str | Slot, Node]] = []
        for key, item in value.items():
            if key == CONDITION:
                condition = _condition(item, split)
                continue
            members.append((_key(_split_encodable(key, split)), _compile(item, split, bare, structured, depth + 1)))
        if sum(isinstance(key, Slot) for key, _ in members) > 1:
            raise TemplateSyntaxError("an object has at most one placeholder as a key")
        fixed = condition is None and all(isinstance(key, str) and isinstance(node, Constant) for key, node in members)
        return Constant(dict(value)) if fixed else ObjectNode(tuple(members), condition)
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateSyntaxError("the body template holds a number that is not JSON")
    return Constant(value)


def _compile_string(
    parts: tuple[str | Slot, ...], *, is_bare: bool = False, structured: frozenset[str] = _NO_NAMES
) -> Node:
    template = Template(parts)
    name = template.only_slot
    if name is not None:
        return BareSlot(name) if is_bare else QuotedSlot(name, name in structured)
    return Text(template) if template.names else Constant(template.literal)


def _split_encodable(text: str, split: _Split) -> tuple[str | Slot, ...]:
    try:
        check_surrogates(text)
    except ValueError as error:
        raise TemplateSyntaxError(f"the body template cannot be sent: {error}") from None
    return split(text)


def _condition(source: Any, split: _Split) -> str:
    if isinstance(source, str):
        template = Template(split(source))
        if template.literal is not None:
            template = Template.from_text("{{" + template.literal + "}}")
        if template.only_slot is not None:
            return template.only_slot
    raise TemplateSyntaxError(f'the value of "{CONDITION}" is the name of one input')


def _key(parts: tuple[str | Slot, ...]) -> str | Slot:
    if len(parts) == 1 or not parts:
        return parts[0] if parts else ""
    raise TemplateSyntaxError("a key is fixed text or exactly one placeholder")


def compile_text(text: str, structured: frozenset[str] = _NO_NAMES) -> Node:
    """JSON text with placeholders as a tree: in quotes a slot is text, outside them it is a value of its own.

    Each slot is replaced by a marker, the text is parsed as JSON, and the markers become nodes; so the template has
    to be JSON already, and a value can never change its shape. Raises TemplateSyntaxError.
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
    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(members)) != len(members):
            raise TemplateSyntaxError("the body template has the same key twice in one object")
        return found

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        message = f"the body template is not JSON once its placeholders are filled: {error.msg.lower()}"
    except RecursionError:
        message = f"the body template nests deeper than {MAX_DEPTH}"
    except ValueError as error:
        message = str(error) if isinstance(error, TemplateSyntaxError) else "the body template holds too long a number"
    raise TemplateSyntaxError(message)


class Body(Protocol):
    """A compiled body template of one kind."""

    #: The media type sent when a definition names none.
    content_type: ClassVar[str]

    @classmethod
    def from_json(cls, source: Any, structured: frozenset[str] = _NO_NAMES) -> Self:
        """Compiles the template as it stands in the definition; raises TemplateSyntaxError.

        `structured` are the names declared Array or Object, which stay so even between quotes (dialect rule 3).
        """

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """True if bodies of this (lower-case) media type are of this kind."""

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""

    def encode(self, values: Values) -> bytes:
        """The body with the values filled in; raises Unrenderable."""


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON document: from JSON text with slots, or from a JSON object or array with slots in its leaves."""

    tree: Node
    content_type: ClassVar[str] = "application/json"

    @classmethod
    def from_json(cls, source: Any, structured: frozenset[str] = _NO_NAMES) -> Self:
        """Compiles text or a tree."""
        return cls(compile_text(source, structured) if isinstance(source, str) else compile_tree(source))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/json`, `text/json`, and any `+json` (RFC 6839)."""
        return media_type in {"application/json", "text/json"} or media_type.endswith("+json")

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        return self.tree.uses()

    def encode(self, values: Values) -> bytes:
        """The tree filled, then serialised as UTF-8."""
        filled = self.tree.fill(values)
        return b"" if filled is ABSENT else _dumps(filled).encode()


@dataclass(frozen=True, slots=True)
class FormBody:
    """`application/x-www-form-urlencoded`: from `a={{a}}&b={{b}}`, or from a JSON object.

    In an object, a nested object is written `name[member]`, and a list repeats its name.
    """

    pairs: tuple[tuple[str, Node], ...] = ()
    tree: Node | None = field(default=None)
    content_type: ClassVar[str] = "application/x-www-form-urlencoded"

    @classmethod
    def from_json(cls, source: Any, structured: frozenset[str] = _NO_NAMES) -> Self:
        """Compiles form text, JSON text or an object."""
        if not isinstance(source, str) or source.lstrip().startswith("{"):
            tree = compile_text(source, structured) if isinstance(source, str) else compile_tree(source)
            if not isinstance(tree, ObjectNode) and not isinstance(getattr(tree, "value", None), dict):
                raise TemplateSyntaxError("a form body is written as an object or as name=value pairs")
            return cls(tree=tree)
        pairs: list[tuple[str, Node]] = []
        for pair in source.strip().split("&"):
            name, equals, value = pair.partition("=")
            if not equals or split_template(name) != (name,):
                raise TemplateSyntaxError("a form body is written as name=value pairs, the names without placeholders")
            parts = split_template(value)
            plain = tuple(urllib.parse.unquote_plus(part) if isinstance(part, str) else part for part in parts)
            pairs.append((urllib.parse.unquote_plus(name), _compile_string(plain, structured=structured)))
        return cls(pairs=tuple(pairs))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/x-www-form-urlencoded` alone."""
        return media_type == cls.content_type

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        if self.tree is not None:
            yield from self.tree.uses()
        for _, node in self.pairs:
            yield from node.uses()

    def encode(self, values: Values) -> bytes:
        """The pairs that are left, in order."""
        if self.tree is not None:
            filled = self.tree.fill(values)
            members = [] if filled is ABSENT else list(filled.items())
        else:
            members = [(name, value) for name, node in self.pairs if (value := node.fill(values)) is not ABSENT]
        return urllib.parse.urlencode([pair for name, value in members for pair in flatten(name, value)]).encode()


def flatten(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A named JSON value as form fields: `name[member]` for objects, the name repeated for lists."""
    if isinstance(value, dict):
        for member, item in value.items():
            yield from flatten(f"{name}[{member}]", item)
    elif isinstance(value, list):
        for item in value:
            yield from flatten(name, item)
    else:
        yield name, to_text(value)


@dataclass(frozen=True, slots=True)
class TextBody:
    """Any other text, as it is written, the values in their places."""

    template: Template
    content_type: ClassVar[str] = "text/plain"

    @classmethod
    def from_json(cls, source: Any, structured: frozenset[str] = _NO_NAMES) -> Self:  # noqa: ARG003 - as others
        """Compiles text."""
        if not isinstance(source, str):
            raise TemplateSyntaxError("a text body is written as text")
        return cls(Template.from_text(source))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """Any `text/…` but `text/xml`: in XML a value would have to be escaped."""
        return media_type.startswith("text/") and not media_type.endswith("xml")

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        return (SlotUse(name, "text") for name in self.template.names)

    def encode(self, values: Values) -> bytes:
        """The text as UTF-8."""
        return (self.template.render(values) or "").encode()


#: The kinds by name; the first that accepts the effective Content-Type is taken.
BODY_KINDS: Mapping[str, type[JsonBody | FormBody | TextBody]] = {
    "json": JsonBody,
    "form": FormBody,
    "text": TextBody,
}


def find_body_kind(content_type: str) -> type[JsonBody | FormBody | TextBody] | None:
    """The kind for a Content-Type header (its parameters do not matter), or None."""
    media_type = content_type.partition(";")[0].strip().lower()
    return next((kind for kind in BODY_KINDS.values() if kind.accepts(media_type)), None)
