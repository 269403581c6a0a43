"""What an operation expects of a request: its definition read backwards, as a strict API would hold callers to it.

`find_complaints` compares path values, query, headers and body with the templates they would be rendered from; which
credential is required is decided by `credentials`. Everything here is pure. Which operation a request is meant for, and
which status a refusal has, is decided by `provider`.
"""

from __future__ import annotations

import html
import itertools
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from connector.headers import Headers
from connector.messages import Request
from connector.model.definition import Operation
from connector.requests.bodies import BinaryBody, FormBody, JsonBody, NdjsonBody, TextBody, XmlBody
from connector.requests.multipart import FilePart, MultipartBody
from connector.requests.trees import (
    ABSENT,
    ArrayNode,
    BareSlot,
    Constant,
    Node,
    ObjectNode,
    QuotedSlot,
    Spread,
    Text,
    flatten,
)
from connector.templates import Placeholder, Slot, Template
from connector.types import read_default, to_text
from connector.xml import parse_xml
from runtime.mock.complaints import (
    Complaint,
    Location,
    Pairs,
    Unreadable,
    as_option,
    differences,
    list_complaints,
    plain_lists,
    read_json_body,
    read_text,
    text_fits,
    xml_values,
)
from runtime.mock.parts import read_parts

#: How many ways of leaving out optional items of one array are tried.
MAX_TRIALS = 50


def find_complaints(operation: Operation, request: Request, path_values: Pairs, query: Pairs) -> Iterator[Complaint]:
    """Everything about the request that the operation does not declare or declares otherwise.

    `path_values` are the decoded values of the path by the names of their placeholders, `query` the decoded pairs but
    for credentials. Raises Unreadable for a body that is not of its kind.
    """
    check = _Check(operation)
    for name, text in path_values:
        yield from check.text_value(name, text, ("path", name), early=True)
    plain = [pair for pair in operation.query if not pair.explodes]
    declared = [(urllib.parse.unquote(pair.name), check.pair_node(pair.value)) for pair in plain]
    for spread in (pair for pair in operation.query if pair.explodes):
        # Whatever has no place of its own is a member of the object that is spread over the query.
        known = {name for name, _ in declared}
        members, query = [each for each in query if each[0] not in known], [each for each in query if each[0] in known]
        if not members and not check.is_optional(check.pair_node(spread.value)):
            yield Complaint(("query", urllib.parse.unquote(spread.name)), "field required", "missing")
    yield from check.pairs([(name, node, check.is_optional(node)) for name, node in declared], query, "query")
    for name, template in operation.headers:
        slot = template.only_slot
        if slot is None:
            continue
        if name in request.headers:
            yield from check.text_value(slot, request.headers[name], ("header", name), early=True)
        elif not check.is_optional(BareSlot(slot)):
            yield Complaint(("header", name), "field required", "missing")
    yield from check.body(request)


def fixed_headers(operation: Operation, request: Request) -> int:
    """How many of the headers that the operation always sends alike the request has."""
    return sum(
        template.literal is not None and request.headers.get(name) == template.literal
        for name, template in operation.headers
    )


@dataclass(frozen=True, slots=True)
class _Check:
    """The comparison of one request with one operation."""

    operation: Operation

    def placeholder(self, name: str, *, early: bool = False) -> Placeholder:
        """What is declared of a name; `early` in path and headers, where the connection's comes first (rule 6)."""
        inputs, service = self.operation.inputs, self.operation.service.placeholders
        if name in inputs and not (early and name in self.operation.shadowed):
            return inputs[name]
        return service[name]

    def is_optional(self, node: Node) -> bool:
        """True if what the node stands for may be left out."""
        if isinstance(node, Spread):
            return True
        if isinstance(node, ObjectNode):
            if node.expected is not ABSENT:
                return True
            return node.condition is not None and self.is_optional(BareSlot(node.condition))
        if not isinstance(node, (BareSlot, QuotedSlot)):
            return False
        placeholder = self.placeholder(node.name)
        return not placeholder.required or placeholder.default is not None

    def text_value(self, name: str, text: str, where: Location, *, early: bool = False) -> Iterator[Complaint]:
        """A value that travels as text."""
        placeholder = self.placeholder(name, early=early)
        if text == "" and placeholder.nullable:
            return
        try:
            placeholder.read(as_option(placeholder, read_default(text, placeholder.convertor)))
        except ValueError as error:
            yield Complaint(where, str(error), f"{placeholder.type.lower()}_parsing")

    def template_text(self, template: Template, text: str, where: Location) -> Iterator[Complaint]:
        """A longer text; the value in it is read where there is one slot, since two could be cut in several ways."""
        if not text_fits(template, text):
            yield Complaint(where, "the text is not the fixed one around its values", "string_pattern_mismatch")
            return
        slots = [place for place, part in enumerate(template.parts) if isinstance(part, Slot)]
        if len(slots) == 1:
            start = sum(len(str(part)) for part in template.parts[: slots[0]])
            end = len(text) - sum(len(str(part)) for part in template.parts[slots[0] + 1 :])
            if text[start:end]:
                yield from self.text_value(template.names[0], text[start:end], where)

    def pair_node(self, template: Template) -> Node:
        """The template of a query pair as a node, like those of forms."""
        if template.only_slot is not None:
            return QuotedSlot(template.only_slot)
        # Its fixed text is encoded already, and what came is decoded.
        parts = (urllib.parse.unquote_plus(part) if isinstance(part, str) else part for part in template.parts)
        decoded = Template(tuple(parts))
        return Text(decoded) if decoded.names else Constant(decoded.literal)

    def pairs(self, declared: Iterable[tuple[str, Node, bool]], given: Pairs, place: str) -> Iterator[Complaint]:
        """Named texts: those declared (name, node, whether it may be left out) against those given."""
        texts: dict[str, list[str]] = {}
        for name, text in given:
            texts.setdefault(name, []).append(text)
        wanted: dict[str, list[tuple[Node, bool]]] = {}
        for name, node, optional in declared:
            wanted.setdefault(name, []).append((node, optional))
        for name, nodes in wanted.items():
            where = (place, name)
            found = texts.pop(name, [])
            slot = nodes[0][0]
            placeholder = self.placeholder(slot.name) if isinstance(slot, (BareSlot, QuotedSlot)) else None
            kind = placeholder.type if placeholder is not None else ""
            # In a form an object is spread over `name[member]`; in a query it is JSON text.
            spread = [each for each in texts if each.startswith(f"{name}[")] if place == "body" else []
            if spread and kind in ("Object", "Any") and not found:
                for each in spread:
                    del texts[each]
            elif len(found) < sum(not optional for _, optional in nodes):
                yield Complaint(where, "field required", "missing")
            elif found and placeholder is not None and kind == "Array":
                yield from list_complaints(placeholder, found, where)
            elif len(found) > len(nodes) and not (kind == "Any" and place == "body"):
                yield Complaint(where, "the name stands more than once", "too_long")
            elif len(found) == len(nodes):
                for (node, _), text in zip(nodes, found, strict=True):
                    yield from self._pair(node, text, where)
        for name in texts:
            yield Complaint((place, name), "no such field", "extra_forbidden")

    def _pair(self, node: Node, text: str, where: Location) -> Iterator[Complaint]:
        if isinstance(node, (BareSlot, QuotedSlot)):
            yield from self.text_value(node.name, text, where)
        elif isinstance(node, Text):
            yield from self.template_text(node.template, text, where)
        elif isinstance(node, Constant) and text != to_text(node.value):
            yield Complaint(where, f"expected {to_text(node.value)!r}", "literal_error")

    def body(self, request: Request) -> Iterator[Complaint]:
        """The body against the compiled template of its kind."""
        body = self.operation.body
        given = request.body if isinstance(request.body, bytes) else b""
        if body is None:
            if given:
                yield Complaint(("body",), "no body is expected", "extra_forbidden")
        elif isinstance(body, NdjsonBody):
            lines = [read_json_body(request.headers, line) for line in given.split(b"\n") if line.strip()]
            one = not isinstance(body.tree, ArrayNode) and len(lines) == 1 and not self._is_list(body.tree)
            yield from self.node(body.tree, lines[0] if one else lines, ("body",))
        elif isinstance(body, JsonBody):
            if given.strip():
                yield from self.node(body.tree, read_json_body(request.headers, given), ("body",))
            elif not self.is_optional(body.tree):
                yield Complaint(("body",), "field required", "missing")
        elif isinstance(body, FormBody):
            declared = [(name, node, self.is_optional(node)) for name, node in body.pairs]
            if body.tree is not None:
                declared = list(self._spread("", body.tree))
            pairs = urllib.parse.parse_qsl(read_text(given), keep_blank_values=True)
            yield from self.pairs(declared, plain_lists(pairs, body.lists), "body")
        elif isinstance(body, XmlBody):
            yield from self._xml(body.template, given)
        elif isinstance(body, TextBody):
            yield from self.template_text(body.template, read_text(given), ("body",))
        elif isinstance(body, MultipartBody):
            yield from self._multipart(body, request.headers, given)
        elif isinstance(body, BinaryBody) and not given and not self.is_optional(BareSlot(body.name)):
            yield Complaint(("body",), "field required", "missing")

    def _is_list(self, node: Node) -> bool:
        return isinstance(node, (BareSlot, QuotedSlot)) and self.placeholder(node.name).type == "Array"

    def _xml(self, template: Template, given: bytes) -> Iterator[Complaint]:
        """An XML document: its fixed text as written, and in it values of their types."""
        try:
            parse_xml(given)
        except ValueError as error:
            raise Unreadable(str(error)) from None
        text = read_text(given)
        if not text_fits(template, text):
            yield Complaint(("body",), "the text is not the fixed one around its values", "string_pattern_mismatch")
            return
        for name, value in xml_values(template, text):
            if value:
                yield from self.text_value(name, html.unescape(value), ("body", name))

    def _multipart(self, body: MultipartBody, headers: Headers, given: bytes) -> Iterator[Complaint]:
        """Values as in a form; files only by name, since their content is anything."""
        try:
            parts = read_parts(headers, given)
        except ValueError as error:
            raise Unreadable(str(error)) from None
        files = [each for each in body.parts if isinstance(each, FilePart)]
        for file in files:
            sent = any(part.name == file.name and part.filename is not None for part in parts)
            if not sent and not self.is_optional(BareSlot(file.slot)):
                yield Complaint(("body", file.name), "file required", "missing")
        names = {file.name for file in files}
        declared = [
            each for part in body.parts if not isinstance(part, FilePart) for each in self._spread(part.name, part.node)
        ]
        pairs = [(part.name, part.content.decode("utf-8", "replace")) for part in parts if part.name not in names]
        yield from self.pairs(declared, plain_lists(pairs, body.lists), "body")

    def _spread(self, name: str, node: Node, *, optional: bool = False) -> Iterator[tuple[str, Node, bool]]:
        """The fields of a form that is written as a tree."""
        optional = optional or self.is_optional(node)
        if isinstance(node, ObjectNode):
            for key, child in node.members:
                for each in self._keys(key):
                    inner = f"{name}[{each}]" if name else each
                    yield from self._spread(inner, child, optional=optional or isinstance(key, Slot))
        elif isinstance(node, ArrayNode):
            for item in node.items:
                yield from self._spread(name, item, optional=optional)
        elif isinstance(node, Constant) and not name:
            for member, value in node.value.items():
                yield from self._spread(member, Constant(value), optional=optional)
        elif isinstance(node, Constant):
            yield from ((each, Constant(text), optional) for each, text in flatten(name, node.value))
        else:
            yield name, node, optional

    def _keys(self, key: str | Slot) -> list[str]:
        return [key] if isinstance(key, str) else [to_text(option) for option in self.placeholder(key.name).options]

    def node(self, node: Node, value: Any, where: Location) -> Iterator[Complaint]:
        """A JSON value against a part of a body tree."""
        if isinstance(node, Constant):
            yield from differences(node.value, value, where)
        elif isinstance(node, (BareSlot, QuotedSlot)):
            yield from self._slot(node, value, where)
        elif isinstance(node, Text):
            if isinstance(value, str):
                yield from self.template_text(node.template, value, where)
            else:
                yield Complaint(where, "expected text", "string_type")
        elif isinstance(node, Spread):
            return
        elif isinstance(node, ObjectNode):
            yield from self._object(node, value, where)
        else:
            # These five are all there are.
            yield from self._array(cast("ArrayNode", node), value, where)

    def _slot(self, node: BareSlot | QuotedSlot, value: Any, where: Location) -> Iterator[Complaint]:
        placeholder = self.placeholder(node.name)
        if value is None and placeholder.nullable:
            return
        if isinstance(node, QuotedSlot) and isinstance(value, str) and placeholder.type not in ("Array", "Object"):
            yield from self.text_value(node.name, value, where)
            return
        # What a strict API reads as a number is a number, not its digits as text; 1.0 is an integer in JSON.
        whole = placeholder.type == "Integer" and isinstance(value, float) and value.is_integer()
        quoted = isinstance(node, QuotedSlot) and not isinstance(value, (list, dict))
        if quoted or not (type(value) in placeholder.convertor.exact or whole):
            kind = "String" if quoted and placeholder.type not in ("Array", "Object") else placeholder.type
            yield Complaint(where, f"expected a value of type {kind}", f"{kind.lower()}_type")
            return
        try:
            placeholder.read(value)
        except ValueError as error:
            yield Complaint(where, str(error), "value_error")

    def _object(self, node: ObjectNode, value: Any, where: Location) -> Iterator[Complaint]:
        if not isinstance(value, dict):
            yield Complaint(where, "expected an object", "dict_type")
            return
        known = set()
        for key, child in node.members:
            name = key if isinstance(key, str) else self._chosen_key(key, node, value)
            known.add(name)
            optional = self.is_optional(child) or (isinstance(key, Slot) and self.is_optional(BareSlot(key.name)))
            if name in value:
                yield from self.node(child, value[name], (*where, name))
            elif not optional:
                yield Complaint((*where, name), "field required", "missing")
        for name in value:
            if name not in known:
                yield Complaint((*where, name), "no such field", "extra_forbidden")

    def _chosen_key(self, key: Slot, node: ObjectNode, value: Mapping[str, Any]) -> str:
        """The key that a slot stands for: that of a sibling with the same slot, else the first option."""
        options = self._keys(key)
        for sibling, child in node.members:
            if isinstance(child, (BareSlot, QuotedSlot)) and child.name == key.name and isinstance(sibling, str):
                said = to_text(value.get(sibling))
                if said in options:
                    return said
        return next((option for option in options if option in value), options[0])

    def _array(self, node: ArrayNode, value: Any, where: Location) -> Iterator[Complaint]:
        if not isinstance(value, list):
            yield Complaint(where, "expected a list", "list_type")
            return
        spread = next((place for place, item in enumerate(node.items) if isinstance(item, Spread)), None)
        if spread is not None:
            # Whatever was given in its place is anything; the items around it are what they are.
            node = ArrayNode((*node.items[:spread], *(node.items[spread],) * len(value), *node.items[spread + 1 :]))
        optional = [place for place, item in enumerate(node.items) if self.is_optional(item)]
        most, spare = len(node.items), len(node.items) - len(value)
        if not 0 <= spare <= len(optional):
            count = f"{most - len(optional)} to {most}" if optional else f"{most}"
            yield Complaint(where, f"expected {count} items", "too_long" if spare < 0 else "too_short")
            return
        nearest: list[Complaint] | None = None
        for dropped in itertools.islice(itertools.combinations(optional, spare), MAX_TRIALS):
            kept = [item for place, item in enumerate(node.items) if place not in dropped]
            complaints = [
                each
                for place, (item, element) in enumerate(zip(kept, value, strict=True))
                for each in self.node(item, element, (*where, place))
            ]
            if nearest is None or len(complaints) < len(nearest):
                nearest = complaints
            if not nearest:
                break
        yield from nearest or ()
