"""Multipart bodies (RFC 7578): values as parts of text, files as parts with a name and a type.

A file that is not in memory is a source in the resulting Stream; the client reads it while it sends. The boundary is a
digest of the rest of the body, so that the same inputs make the same request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from connector.headers import encode_header
from connector.messages import Stream, is_source
from connector.requests.trees import (
    ABSENT,
    PLAIN,
    BareSlot,
    BodyOptions,
    Constant,
    FindSlot,
    ListStyle,
    Node,
    ObjectNode,
    QuotedSlot,
    Schema,
    SlotUse,
    compile_text,
    compile_tree,
    flatten,
    object_schema,
)
from connector.templates import Slot, TemplateSyntaxError, Unrenderable, Values
from connector.types import to_text

#: The member of an object in a multipart template that makes it a file: `{"$file": "{{file}}", "filename": "a.csv"}`.
FILE = "$file"
_FILE_MEMBERS = frozenset({FILE, "filename", "contentType"})
_DEFAULT_TYPE = "application/octet-stream"
# These would end a quoted name or its line, or are an escape to some readers (WHATWG, "multipart/form-data").
_UNQUOTABLE = re.compile(r'[\x00-\x1f\x7f"\\]')


@dataclass(frozen=True, slots=True)
class ValuePart:
    """The parts of one value: one for a scalar, one for each item of a list."""

    name: str
    node: Node

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of the value, and whether it is always sent."""
        return self.node.describe(find)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """One file: the slot of its content, and its name and media type if the definition declares them."""

    name: str
    slot: str
    filename: Node | None = None
    media_type: Node | None = None

    def head(self, values: Values) -> bytes:
        """Returns the header fields of the part; raises Unrenderable for a type that no header can carry."""
        content = values[self.slot]
        filename = _fill(self.filename, values)
        if not filename:
            own = getattr(content, "name", None)
            filename = re.split(r"[/\\]", own)[-1] if isinstance(own, str) else self.name
        media_type = _fill(self.media_type, values) or _DEFAULT_TYPE
        try:
            encode_header(media_type)
        except ValueError as error:
            uses = [] if self.media_type is None else list(self.media_type.uses())
            raise Unrenderable(uses[0].name if uses else self.slot, f"as a content type, {error}") from None
        return _head(self.name, filename, media_type)

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of the content of a file, and whether it is always sent."""
        return {"type": "string", "format": "binary"}, find(self.slot).is_given


@dataclass(frozen=True, slots=True)
class MultipartBody:
    """`multipart/form-data`, from a JSON object whose members are the parts."""

    parts: tuple[ValuePart | FilePart, ...]
    lists: ListStyle = "repeat"
    content_type: ClassVar[str] = "multipart/form-data"
    retyped: ClassVar[bool] = False
    streams: ClassVar[bool] = True

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = PLAIN) -> Self:
        """Compiles JSON text or an object; an input of type File, or an object with `$file`, is a file."""
        tree = compile_text(source, options.structured) if isinstance(source, str) else compile_tree(source)
        if isinstance(tree, Constant) and isinstance(tree.value, dict):
            return cls(tuple(ValuePart(name, Constant(value)) for name, value in tree.value.items()), options.lists)
        if not isinstance(tree, ObjectNode) or tree.condition is not None:
            raise TemplateSyntaxError("a multipart body is written as an object")
        return cls(tuple(_part(name, node, options) for name, node in tree.members), options.lists)

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """`multipart/form-data` alone."""
        return media_type == cls.content_type

    def uses(self) -> Iterator[SlotUse]:
        """Every use of a placeholder."""
        for part in self.parts:
            if isinstance(part, ValuePart):
                yield from part.node.uses()
                continue
            yield SlotUse(part.slot, "file")
            for node in (part.filename, part.media_type):
                yield from () if node is None else node.uses()

    def encode(self, values: Values) -> Stream:
        """Returns the parts that have values, in order, between boundaries; raises Unrenderable."""
        import hashlib  # few calls need it

        found = list(self._render(values))
        digest = hashlib.sha256()
        for head, content in found:
            digest.update(b"%d:" % len(head) + head)
            digest.update(b"%d:" % len(content) + content if isinstance(content, bytes) else b"source")
        # A value cannot contain a digest of itself; a source could contain the boundary, and is checked as it is sent.
        delimiter = b"--" + digest.hexdigest()[:48].encode()
        pieces: list[Any] = []
        for head, content in found:
            pieces += [delimiter + b"\r\n" + head + b"\r\n\r\n", content, b"\r\n"]
        pieces.append(delimiter + b"--\r\n")
        return Stream(tuple(pieces), delimiter, f"{self.content_type}; boundary={delimiter[2:].decode()}")

    def _render(self, values: Values) -> Iterator[tuple[bytes, Any]]:
        """Yields header fields and content of each part."""
        for part in self.parts:
            if isinstance(part, FilePart):
                content = values.get(part.slot)
                if content is not None:
                    yield part.head(values), content if is_source(content) else _bytes_of(content)
            elif (value := part.node.fill(values)) is not ABSENT:
                for name, text in flatten(part.name, value, self.lists):
                    yield _head(name), text.encode()

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the schema of an object of the parts."""
        return object_schema((part.name, part.describe(find)) for part in self.parts), True


def _part(name: str | Slot, node: Node, options: BodyOptions) -> ValuePart | FilePart:
    if not isinstance(name, str):
        raise TemplateSyntaxError("the name of a part is fixed")
    if isinstance(node, (BareSlot, QuotedSlot)) and node.name in options.files:
        return FilePart(name=name, slot=node.name)
    members = dict(node.members) if isinstance(node, ObjectNode) else {}
    if FILE not in members:
        return ValuePart(name, node)
    content = members[FILE]
    if not isinstance(content, (BareSlot, QuotedSlot)) or not members.keys() <= _FILE_MEMBERS:
        raise TemplateSyntaxError(f'a file is {{"{FILE}": "{{{{name}}}}", "filename": …, "contentType": …}}')
    return FilePart(
        name=name, slot=content.name, filename=members.get("filename"), media_type=members.get("contentType")
    )


def _fill(node: Node | None, values: Values) -> str:
    value = ABSENT if node is None else node.fill(values)
    return "" if value is ABSENT else to_text(value)


def _bytes_of(content: Any) -> bytes:
    return content if isinstance(content, bytes) else to_text(content).encode()


def _head(name: str, filename: str | None = None, media_type: str | None = None) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{_quote(name)}"'
    if filename is not None:
        disposition += f'; filename="{_quote(filename)}"\r\nContent-Type: {media_type}'
    return disposition.encode()


def _quote(name: str) -> str:
    return _UNQUOTABLE.sub(lambda found: f"%{ord(found[0]):02X}", name)
