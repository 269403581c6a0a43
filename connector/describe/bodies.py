"""Bodies of operations as JSON Schemas: what the template of a body is once its slots are filled.

What a single input may be is `describing`'s to say; nothing here knows for whom the schema is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.describe.schemas import input_schema
from connector.model.definition import Operation
from connector.protocols import Body
from connector.requests.bodies import BinaryBody, FormBody, TextBody, XmlBody
from connector.requests.multipart import FilePart, MultipartBody
from connector.requests.trees import ArrayNode, BareSlot, Constant, Node, ObjectNode, QuotedSlot, Text
from connector.templates import Placeholder, Slot
from connector.types import to_text


class BodySchemas:
    """The schemas of the bodies of one operation."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.is_form = False

    def schema(self, body: Body) -> dict[str, Any]:
        """What the body is once its slots are filled."""
        self.is_form = isinstance(body, FormBody)
        if isinstance(body, MultipartBody):
            return self._parts(body)
        if isinstance(body, FormBody) and body.tree is None:
            return self._object(body.pairs)
        if isinstance(body, (TextBody, XmlBody)):
            return {"type": "string"}
        if isinstance(body, BinaryBody):
            return {"type": "string", "format": "binary"}
        tree = getattr(body, "tree", None)
        return {} if tree is None else self.node(tree)

    def _parts(self, body: MultipartBody) -> dict[str, Any]:
        members, required = {}, []
        for part in body.parts:
            if isinstance(part, FilePart):
                members[part.name] = {"type": "string", "format": "binary"}
                if self._is_given(part.slot):
                    required.append(part.name)
            else:
                members[part.name] = self.node(part.node)
                if self._is_there(part.node):
                    required.append(part.name)
        return {"type": "object", "properties": members, **({"required": required} if required else {})}

    def _object(self, members: Sequence[tuple[str | Slot, Node]]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required = []
        for key, node in members:
            if isinstance(key, Slot):
                options = self.operation.inputs[key.name].options if key.name in self.operation.inputs else ()
                properties |= {to_text(option): self.node(node) for option in options}
                continue
            properties[key] = self.node(node)
            if self._is_there(node):
                required.append(key)
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}

    def node(self, node: Node) -> dict[str, Any]:
        """What one part is."""
        if isinstance(node, Constant):
            return {"const": node.value}
        if isinstance(node, ObjectNode):
            return self._object(node.members)
        if isinstance(node, ArrayNode):
            items = [self.node(each) for each in node.items]
            return {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": items}}
        if isinstance(node, Text):
            return {"type": "string"}
        assert isinstance(node, (BareSlot, QuotedSlot))  # noqa: S101 - a node is one of these
        placeholder = self._placeholder(node.name)
        schema = input_schema(placeholder)
        is_text = placeholder.type in ("String", "Date", "DateTime", "File", "Any")
        return schema if isinstance(node, BareSlot) or node.structured or is_text else {"type": "string"}

    def _placeholder(self, name: str) -> Placeholder:
        return self.operation.inputs.get(name) or self.operation.service.placeholders[name]

    def _is_there(self, node: Node) -> bool:
        """True if the member of this part is always sent."""
        if isinstance(node, (BareSlot, QuotedSlot)):
            return self._is_given(node.name)
        if isinstance(node, ObjectNode) and node.condition is not None:
            return False
        if not self.is_form or isinstance(node, Text):
            return True
        # A form has no place for an object or a list without members.
        if isinstance(node, Constant):
            return node.value not in ([], {})
        parts = [each for _, each in node.members] if isinstance(node, ObjectNode) else getattr(node, "items", ())
        return any(map(self._is_there, parts))

    def _is_given(self, name: str) -> bool:
        placeholder = self._placeholder(name)
        return placeholder.required or placeholder.default is not None
