"""Text with `{{name}}` in it: Placeholder (declared), Slot (used), Template (compiled), and parts of URLs made of them.

A template is compiled when its definition is loaded, with Jinja's lexer: data, `{{`, one name, `}}`, and nothing else
(language rule 1). Rendering substitutes in one pass and encodes each value for the place it lands in (rule 2), so no
value is ever read as template text. Bodies are in `requests`, since a JSON body is a tree and not text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from connector.headers import encode_header
from connector.types import FILE_ENCODINGS, Convertor, to_text
from connector.urls import encode_host_part, encode_path, encode_query, encode_segment, encode_segments, origin_of

if TYPE_CHECKING:
    from jinja2.lexer import Lexer

#: The names of placeholders and variables.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_MARKUP = re.compile(r"\{\{|\{%|\{#")
#: A slot may occur this often in one template.
MAX_SLOTS = 200

#: Values by name; a missing name was not supplied.
Values = Mapping[str, Any]


class Unrenderable(ValueError):
    """A value cannot stand where its slot is. `name` is the placeholder; the value is not repeated."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One declared input: its type, whether it must be given, and what it may be.

    `default` is already a value of the type, or None for none. `minimum` and `maximum` bound numbers, `options` are
    the only values allowed, `nullable` lets an explicit null be sent, `multi` lets a path value hold several segments,
    `explode` makes each member of an Object a query parameter or a header of its own (OpenAPI's word for it),
    `encoding` is the row of FILE_ENCODINGS that makes text of the bytes of a File.
    `schema` is the JSON Schema of the value, for tools and pages; it is not checked here.
    """

    name: str
    convertor: Convertor
    _: KW_ONLY
    description: str = ""
    required: bool = False
    default: Any = None
    label: str = ""
    options: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    multi: bool = False
    explode: bool = False
    encoding: str = ""
    schema: Mapping[str, Any] | None = field(default=None, compare=False)
    convert: Callable[[Any], Any] | None = field(default=None, compare=False, repr=False)

    @property
    def type(self) -> str:
        """The canonical name of the type: `Integer` for `int`."""
        return self.convertor.name

    def read(self, value: Any) -> Any:
        """Returns the value as this placeholder's type, within its bounds; raises ValueError with a sentence."""
        if self.convert is not None:
            value = self.convert(value)
        value = self.convertor.read(value)
        if self.encoding and isinstance(value, bytes):
            value = FILE_ENCODINGS[self.encoding](value)
        if self.options and any(each not in self.options for each in (value if isinstance(value, list) else [value])):
            raise ValueError("expected one of " + ", ".join(map(to_text, self.options)))
        if isinstance(value, (int, float)):
            if self.minimum is not None and value < self.minimum:
                raise ValueError(f"expected at least {to_text(self.minimum)}")
            if self.maximum is not None and value > self.maximum:
                raise ValueError(f"expected at most {to_text(self.maximum)}")
        return value


@dataclass(frozen=True, slots=True)
class Slot:
    """One `{{name}}` in a template."""

    name: str


class TemplateSyntaxError(ValueError):
    """The text is not in the template language; the message quotes the part that is not."""


@functools.cache
def _lexer() -> Lexer:
    # jinja2 takes 40 ms to import, which only definitions with placeholders need to pay for.
    from jinja2 import Environment

    return Environment(keep_trailing_newline=True, autoescape=True).lexer


def split_template(text: str) -> tuple[str | Slot, ...]:
    """Splits text into literal parts and slots; raises TemplateSyntaxError for anything else (language rule 1).

    >>> split_template("/{{ id }}/cancel")
    ('/', Slot(name='id'), '/cancel')
    """
    if not _MARKUP.search(text):
        return (text,) if text else ()
    # Jinja's lexer turns CR into LF; a stand-in that the text does not hold keeps the text as it is written.
    stand_in = next(unused_characters(text))
    parts: list[str | Slot] = []
    slots = 0
    tokens = _tokens(text.replace("\r", stand_in))
    for kind, raw in tokens:
        if kind == "data":
            parts.append(raw.replace(stand_in, "\r"))
        elif kind == "variable_begin" and raw == "{{":
            slots += 1
            if slots > MAX_SLOTS:
                raise TemplateSyntaxError(f"more than {MAX_SLOTS} placeholders in one template")
            parts.append(Slot(_slot_name(tokens)))
        else:
            raise TemplateSyntaxError(f"only {{{{name}}}} is allowed, not {raw.strip()[:20]!r}")
    return tuple(parts)


def unused_characters(text: str) -> Iterator[str]:
    """Yields characters of the private use area that the text does not contain, not even as a JSON escape.

    Raises TemplateSyntaxError when there are no more.
    """
    lowered = text.lower()
    for code in range(0xE000, 0xF8FF):
        if chr(code) not in text and f"{code:04x}" not in lowered:
            yield chr(code)
    raise TemplateSyntaxError("the template uses up the private use area of Unicode")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    from jinja2 import TemplateSyntaxError as JinjaError

    try:
        for _, kind, raw in _lexer().tokeniter(text, None):
            yield kind, raw
    except (JinjaError, RecursionError):
        message = "only {{name}} is allowed: the braces or what is between them cannot be read"
        raise TemplateSyntaxError(message) from None


def _slot_name(tokens: Iterator[tuple[str, str]]) -> str:
    inside: list[tuple[str, str]] = []
    for kind, raw in tokens:
        if kind == "variable_end":
            if raw != "}}":
                raise TemplateSyntaxError("only {{name}} is allowed, without '-' or '+' at the braces")
            break
        if kind != "whitespace":
            inside.append((kind, raw))
    else:
        raise TemplateSyntaxError("a '{{' is not closed by '}}'")
    if len(inside) != 1 or inside[0][0] != "name":
        raise TemplateSyntaxError("only one name may stand between {{ and }}: no filter, attribute, call or literal")
    name = inside[0][1]
    if not NAME.match(name):
        raise TemplateSyntaxError(f"placeholder name {name[:70]!r} is not a letter and up to 63 letters, digits or '_'")
    return name


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template: its literal parts and slots."""

    parts: tuple[str | Slot, ...]
    #: The names of the slots, in order, each once.
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    #: The name, if the whole template is exactly one slot.
    only_slot: str | None = field(init=False, repr=False, compare=False)
    #: The text, if there is no slot.
    literal: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Computes what every rendering needs."""
        names = tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Slot)))
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "only_slot", names[0] if names and len(self.parts) == 1 else None)
        object.__setattr__(self, "literal", None if names else "".join(map(str, self.parts)))

    @classmethod
    def from_text(cls, text: str) -> Template:
        """Compiles text; raises TemplateSyntaxError."""
        return cls(split_template(text))

    def show(self) -> str:
        """Returns the template as OpenAPI writes it: `/files/{id}`."""
        return "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in self.parts)

    def render(self, values: Values, encode: Callable[[str], str] = str) -> str | None:
        """Returns the text with each value encoded in its place; None if it is one slot and its value was not supplied.

        Inside a longer text a value that was not supplied is empty (language rule 4). Raises Unrenderable.
        """
        if self.literal is not None:
            return self.literal
        if self.only_slot is not None and self.only_slot not in values:
            return None
        out: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
                continue
            try:
                out.append(encode(to_text(values[part.name])) if part.name in values else "")
            except ValueError as error:
                raise Unrenderable(part.name, str(error)) from None
        return "".join(out)

    def render_header(self, values: Values) -> str | None:
        """Renders a header value; raises Unrenderable for text that no header can carry (hazard T26).

        Spaces at its ends are not part of a header value (RFC 9110, section 5.5), so they are left out.
        """
        text = self.render(values, encode_header)
        return None if text is None else text.strip(" ")


@dataclass(frozen=True, slots=True)
class QueryPair:
    """One `name=value` of a query. `repeats` is true when its whole value is one slot of type Array.

    Where it `explodes`, the value is an Object whose members are pairs of their own, under their own names; none of
    those may be one of `reserved`, the names of the other pairs.
    """

    name: str
    value: Template
    _: KW_ONLY
    repeats: bool = False
    explodes: bool = False
    reserved: frozenset[str] = frozenset()

    def render(self, values: Values) -> str | None:
        """Returns the encoded pair, or None if its whole value was not supplied; an Array repeats the name."""
        slot = self.value.only_slot
        if self.explodes and slot is not None:
            return self._explode(slot, values.get(slot)) or None
        if self.repeats and slot is not None and values.get(slot) is not None:
            return "&".join(f"{self.name}={encode_query(to_text(each))}" for each in values[slot]) or None
        text = self.value.render(values, encode_query)
        return None if text is None else f"{self.name}={text}"

    def _explode(self, slot: str, value: Any) -> str:
        pairs = []
        for name, each in (value or {}).items():
            if each is None:
                continue
            encoded = encode_query(name)
            if encoded in self.reserved or not name:
                raise Unrenderable(slot, f"its member {name[:70]!r} is the name of another parameter, or empty")
            pairs += [f"{encoded}={encode_query(to_text(one))}" for one in (each if isinstance(each, list) else [each])]
        return "&".join(pairs)


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """What follows the base URL: endpoint and path joined, split into path and query, literals encoded.

    `multi` are the names whose values may hold several segments; so may a value that the path begins with.
    """

    path: Template
    query: tuple[QueryPair, ...] = ()
    multi: frozenset[str] = frozenset()

    @property
    def is_open(self) -> bool:
        """True if it begins with a value, so that it may be any path."""
        return bool(self.path.parts) and isinstance(self.path.parts[0], Slot)

    def render(self, values: Values) -> str:
        """Returns the encoded path, without the query; raises Unrenderable for a value that would change its shape.

        No value may be a dot segment, so a path whose fixed text has none never gets one.
        """
        if self.path.literal is not None:
            return self.path.literal
        out: list[str] = []
        for place, part in enumerate(self.path.parts):
            if isinstance(part, str):
                out.append(part)
                continue
            if part.name not in values:
                raise Unrenderable(part.name, "a path always needs its value")
            try:
                encode = encode_segments if part.name in self.multi else encode_segment
                if not place:
                    encode = encode_path
                out.append(encode(to_text(values[part.name])))
            except ValueError as error:
                raise Unrenderable(part.name, str(error)) from None
        return "".join(out)


def render_url(template: Template, values: Values) -> str:
    """Returns a whole URL with values in it: host parts, segments, or, at its beginning, the URL up to there.

    A host part is letters, digits, `-` and `.`. Raises Unrenderable for a value that is missing or would lead elsewhere
    (hazard T30), ValueError if the result is not a URL.
    """
    first = next(iter(template.parts), "")
    if isinstance(first, Slot) and first.name in values:
        try:
            origin_of(to_text(values[first.name]))
        except ValueError as error:
            raise Unrenderable(first.name, str(error)) from None
    url = fill_url(template, values)
    origin_of(url)
    return url


def fill_url(template: Template, values: Values) -> str:
    """Returns the text of `render_url` without a check of its origin; raises Unrenderable for the other values."""
    url = ""
    for part in template.parts:
        if isinstance(part, str):
            url += part
        elif part.name not in values:
            raise Unrenderable(part.name, "it is not set")
        elif not url:
            value = to_text(values[part.name])
            url = value if template.only_slot else value.rstrip("/")
        else:
            try:
                url += (encode_segment if "/" in url.partition("://")[2] else encode_host_part)(
                    to_text(values[part.name])
                )
            except ValueError as error:
                raise Unrenderable(part.name, str(error)) from None
    return url


def render_query(pairs: Sequence[QueryPair], values: Values) -> str:
    """Returns the query without its `?`; empty if no pair is left."""
    return "&".join(text for pair in pairs if (text := pair.render(values)) is not None)
