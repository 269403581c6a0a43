"""Request bodies: one class per kind, in one table keyed by media type.

A kind compiles a body template (`from_json`), lists its placeholders (`uses`), describes it as JSON Schema (`describe`)
and writes the body (`encode`). Values are put into a compiled template: a tree (`trees`), a checked XML document
(`xml`) or a list of parts, so none can change its structure.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from connector.messages import Stream, is_source
from connector.protocols import Body
from connector.requests.multipart import MultipartBody
from connector.requests.trees import (
    ABSENT,
    PLAIN,
    BodyOptions,
    Constant,
    FindSlot,
    ListStyle,
    Node,
    ObjectNode,
    Schema,
    SlotUse,
    compile_string,
    compile_text,
    compile_tree,
    flatten,
)
from connector.templates import (
    Slot,
    Template,
    TemplateSyntaxError,
    Unrenderable,
    Values,
    split_template,
    unused_characters,
)
from connector.types import to_text
from connector.xml import count_marks, escape_value

_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Kind:
    """The base of most kinds: the declared media type is sent, and no file is read while it is sent."""

    __slots__ = ()
    retyped: ClassVar[bool] = False
    streams: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class JsonBody(_Kind):
    """A JSON document: from JSON text with slots, or from a JSON object or array with slots in its leaves."""

    tree: Node
    content_type: ClassVar[str] = "application/json"

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles text or a tree."""
        return cls(compile_text(source, options.structured) if isinstance(source, str) else compile_tree(source))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/json`, `text/json`, and any `+json` (RFC 6839)."""
        return media_type in {"application/json", "text/json"} or media_type.endswith("+json")

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        return self.tree.uses()

    def encode(self, values: Values) -> bytes:
        """Returns the filled tree, serialised as UTF-8."""
        filled = self.tree.fill(values)
        return b"" if filled is ABSENT else _dumps(filled).encode()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of the tree."""
        return self.tree.describe(find)


@dataclass(frozen=True, slots=True)
class FormBody(_Kind):
    """`application/x-www-form-urlencoded`: from `a={{a}}&b={{b}}`, or from a JSON object.

    In an object, a nested object is written `name[member]`, and a list in the style `lists`.
    """

    pairs: tuple[tuple[str, Node], ...] = ()
    tree: Node | None = field(default=None)
    lists: ListStyle = "repeat"
    content_type: ClassVar[str] = "application/x-www-form-urlencoded"

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles form text, JSON text or an object."""
        if not isinstance(source, str) or source.lstrip().startswith("{"):
            tree = compile_text(source, options.structured) if isinstance(source, str) else compile_tree(source)
            if not isinstance(tree, ObjectNode) and not isinstance(getattr(tree, "value", None), dict):
                raise TemplateSyntaxError("a form body is written as an object or as name=value pairs")
            return cls(tree=tree, lists=options.lists)
        pairs: list[tuple[str, Node]] = []
        for pair in source.strip().split("&"):
            name, equals, value = pair.partition("=")
            if not equals or split_template(name) != (name,):
                raise TemplateSyntaxError("a form body is written as name=value pairs, the names without placeholders")
            parts = split_template(value)
            plain = tuple(urllib.parse.unquote_plus(part) if isinstance(part, str) else part for part in parts)
            pairs.append((urllib.parse.unquote_plus(name), compile_string(plain, structured=options.structured)))
        return cls(pairs=tuple(pairs), lists=options.lists)

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
        """Returns the pairs that have values, in order."""
        if self.tree is not None:
            filled = self.tree.fill(values)
            members = [] if filled is ABSENT else list(filled.items())
        else:
            members = [(name, value) for name, node in self.pairs if (value := node.fill(values)) is not ABSENT]
        return _form(members, self.lists)

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of an object of the fields; a form without fields is not sent."""
        return (self.tree or ObjectNode(self.pairs)).describe(find, in_form=True)


@dataclass(frozen=True, slots=True)
class TextBody(_Kind):
    """Any other text, with values in it."""

    template: Template
    content_type: ClassVar[str] = "text/plain"

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:  # noqa: ARG003 - as others
        """Compiles text."""
        if not isinstance(source, str):
            raise TemplateSyntaxError("a body of text or XML is written as text")
        return cls(Template.from_text(source))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """Any `text/…` but `text/xml`, in which values must be escaped."""
        return media_type.startswith("text/") and not media_type.endswith("xml")

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        return (SlotUse(name, "text") for name in self.template.names)

    def encode(self, values: Values) -> bytes:
        """Returns the text as UTF-8."""
        return (self.template.render(values) or "").encode()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:  # noqa: ARG002 - as others
        """Text."""
        return {"type": "string"}, True


class XmlBody(TextBody):
    """An XML document with slots in its texts and quoted attribute values; values are escaped."""

    __slots__ = ()
    content_type: ClassVar[str] = "application/xml"

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles text that is an XML document once its slots are filled."""
        body = super().from_json(source, options)
        parts, mark = body.template.parts, next(unused_characters(source))
        try:
            found = count_marks("".join(part if isinstance(part, str) else mark for part in parts), mark)
        except ValueError as error:
            raise TemplateSyntaxError(f"the body template is refused: {error}") from None
        if found != sum(isinstance(part, Slot) for part in parts):
            raise TemplateSyntaxError("a placeholder in XML stands in a text or in a quoted attribute value")
        return body

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/xml`, `text/xml`, and any `+xml` (RFC 7303)."""
        return media_type in {"application/xml", "text/xml"} or media_type.endswith("+xml")

    def encode(self, values: Values) -> bytes:
        """Returns the document as UTF-8; names that were not supplied are empty."""
        return (self.template.render(values, escape_value) or "").encode()


class GraphqlBody(JsonBody):
    """A GraphQL request: `{"query": "…", "variables": {…}}`, the query fixed, the variables a JSON tree with slots.

    It is sent as `application/json`, which every GraphQL server accepts.
    """

    __slots__ = ()
    retyped: ClassVar[bool] = True

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles JSON text or an object; the query holds no placeholder, since no value may be spliced into it."""
        if isinstance(source, Mapping) and isinstance(source.get("query"), str):
            # Its braces and comments need not be those of a template.
            if "{{" in source["query"]:
                raise TemplateSyntaxError("the query of a GraphQL body holds no placeholder; use its variables")
            rest = compile_tree({key: value for key, value in source.items() if key != "query"})
            return cls(ObjectNode((("query", Constant(source["query"])), *_members(rest))))
        members = _members(compile_text(source, options.structured)) if isinstance(source, str) else ()
        found = dict(members).get("query")
        if not isinstance(found, Constant) or not isinstance(found.value, str):
            raise TemplateSyntaxError(
                'a GraphQL body is {"query": "…", "variables": {…}}, its query without placeholder'
            )
        return cls(ObjectNode(members))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/graphql+json` and `application/graphql`."""
        return media_type in {"application/graphql+json", "application/graphql"}


def _members(node: Node) -> tuple[tuple[str | Slot, Node], ...]:
    """Returns the members of an object; none for any other node."""
    if isinstance(node, ObjectNode):
        return node.members
    value = node.value if isinstance(node, Constant) else None
    return tuple((key, Constant(item)) for key, item in value.items()) if isinstance(value, dict) else ()


class NdjsonBody(JsonBody):
    """JSON documents, one per line: the items of the array that the template becomes."""

    __slots__ = ()
    content_type: ClassVar[str] = "application/x-ndjson"

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/x-ndjson` and its other names."""
        return media_type.removeprefix("application/").removeprefix("x-") in {"ndjson", "jsonl", "jsonlines"}

    def encode(self, values: Values) -> bytes:
        """Returns a line for each item; a value that is not a list is one line."""
        filled = self.tree.fill(values)
        return b"" if filled is ABSENT else _lines(filled if isinstance(filled, list) else [filled])


def _lines(items: Iterable[Any]) -> bytes:
    return "".join(f"{_dumps(item)}\n" for item in items).encode()


def _form(members: Iterable[tuple[str, Any]], lists: ListStyle = "repeat") -> bytes:
    return urllib.parse.urlencode([pair for name, each in members for pair in flatten(name, each, lists)]).encode()


_BINARY = ("image/", "audio/", "video/", "font/", "application/vnd.")
_BINARY_APPLICATIONS = frozenset({"octet-stream", "pdf", "zip", "gzip", "x-gzip", "x-tar", "x-zip-compressed"})


@dataclass(frozen=True, slots=True)
class BinaryBody(_Kind):
    """The content of one file and nothing else; a file that is not in memory is read while it is sent."""

    name: str
    content_type: ClassVar[str] = "application/octet-stream"
    streams: ClassVar[bool] = True

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:  # noqa: ARG003 - as others
        """Compiles text that is one placeholder."""
        return cls(_only_name(source, "a binary body is written as one placeholder"))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`application/octet-stream`, images, audio, video, fonts, archives, PDF, and types of vendors."""
        kind, _, subtype = media_type.partition("/")
        return media_type.startswith(_BINARY) or (kind == "application" and subtype in _BINARY_APPLICATIONS)

    def uses(self) -> Iterator[SlotUse]:
        """The one use."""
        yield SlotUse(self.name, "file")

    def encode(self, values: Values) -> bytes | Stream:
        """Returns the content; text as UTF-8."""
        value = values.get(self.name, b"")
        if is_source(value):
            return Stream((value,))
        return value if isinstance(value, bytes) else to_text(value).encode()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of the content of a file."""
        return {"type": "string", "format": "binary"}, find(self.name).is_given


@dataclass(frozen=True, slots=True)
class WholeBody(_Kind):
    """A body that is one value, in a call whose caller chooses the Content-Type and so the kind."""

    name: str
    content_type: ClassVar[str] = "application/json"

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:  # noqa: ARG003 - as others
        """Compiles text that is one placeholder."""
        return cls(_only_name(source, "where the caller chooses the Content-Type, the body is one placeholder"))

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """Any media type that a kind accepts."""
        return find_body_kind(media_type) is not None

    def uses(self) -> Iterator[SlotUse]:
        """The one use."""
        yield SlotUse(self.name, "bare")

    def encode(self, values: Values) -> bytes:
        """Returns the value as JSON."""
        return self.encode_as(self.content_type, values)

    def encode_as(self, content_type: str, values: Values) -> bytes:
        """Returns the value in the Content-Type: as JSON, an object as a form, a list as lines of JSON, else text.

        Raises Unrenderable for a value that cannot be written that way.
        """
        value = values.get(self.name, ABSENT)
        kind = find_body_kind(content_type)
        if value is ABSENT:
            return b""
        if kind in (JsonBody, GraphqlBody):
            return _dumps(value).encode()
        if kind is FormBody and isinstance(value, dict):
            return _form(value.items())
        if kind is NdjsonBody and isinstance(value, list):
            return _lines(value)
        if isinstance(value, (dict, list)) or kind in (None, MultipartBody):
            raise Unrenderable(self.name, f"a body of type {content_type[:70]} is given as text")
        return to_text(value).encode()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns a schema that allows anything."""
        return {}, find(self.name).is_given


def _only_name(source: Any, refusal: str) -> str:
    name = Template.from_text(source.strip()).only_slot if isinstance(source, str) else None
    if name is None:
        raise TemplateSyntaxError(refusal)
    return name


#: The kinds by name; the first that accepts the Content-Type is used.
BODY_KINDS: dict[str, type[Body]] = {
    "graphql": GraphqlBody,
    "json": JsonBody,
    "form": FormBody,
    "multipart": MultipartBody,
    "xml": XmlBody,
    "ndjson": NdjsonBody,
    "text": TextBody,
    "binary": BinaryBody,
}


def find_body_kind(content_type: str) -> type[Body] | None:
    """Returns the kind for a Content-Type header (its parameters do not matter), or None."""
    media_type = content_type.partition(";")[0].strip().lower()
    return next((kind for kind in BODY_KINDS.values() if kind.accepts(media_type)), None)
