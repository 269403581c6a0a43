"""A connector as one readable page of Markdown: its values, operations with inputs and fields, triggers.

The texts of a definition stay text: none of them can add a link, a table cell or other markup to the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from connector.model.definition import Connector, CustomOperation, Field, Operation
from connector.templates import Placeholder
from connector.types import to_text

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~])")


def to_markdown(connector: Connector) -> str:
    """Returns the page; the same for the same connector."""
    return "\n".join(_page(connector)) + "\n"


def _page(connector: Connector) -> Iterator[str]:
    yield f"# {_text(connector.short or connector.handle)}"
    if connector.description:
        yield from ("", _text(connector.description))
    yield from ("", f"Handle `{connector.handle}`, base URL `{_code(connector.service.base.show())}`.")
    service = connector.service
    if service.placeholders:
        yield from ("", "## Connection", "")
        secret = service.credentials
        rows = [
            (f"`{name}`", each.type, "yes" if name in secret else "", _presence(each), _text(each.description))
            for name, each in service.placeholders.items()
        ]
        yield from _table(("value", "type", "secret", "required or default", "what it is"), rows)
    for resource in connector.resources.values():
        yield from ("", f"## {_text(resource.short or resource.handle)}")
        if resource.description:
            yield from ("", _text(resource.description))
        for id in resource.operations:
            yield from _operation(connector.operations[id])
        for webhook in resource.webhooks:
            yield from ("", f"### Trigger `{webhook.id}`", "")
            yield from ([_text(webhook.description), ""] if webhook.description else [])
            yield f"Arrives at `{webhook.path}`."
            yield from _fields(webhook.payload)
    if connector.custom_operations:
        yield from ("", "## Actions")
        for custom in connector.custom_operations.values():
            yield from _operation(custom)


def _operation(operation: Operation | CustomOperation) -> Iterator[str]:
    yield from ("", f"### `{operation.id}`", "")
    words = [text for text in (operation.short, operation.description) if text]
    if isinstance(operation, Operation) and operation.deprecated:
        words.insert(0, "Deprecated: the provider advises against it.")
    for text in words:
        yield from (_text(text), "")
    if isinstance(operation, Operation):
        yield f"`{operation.method} {_code(operation.path.path.show())}`" + (", pages" if operation.pagination else "")
    else:
        yield f"{len(operation.steps)} step{'' if len(operation.steps) == 1 else 's'}"
    rows = [
        (f"`{name}`", each.type, ", ".join(operation.places.get(name, ())), _presence(each), _explain(each))
        for name, each in operation.inputs.items()
    ]
    if rows:
        yield ""
        yield from _table(("input", "type", "in", "required or default", "what it is"), rows)
    fields = operation.output if isinstance(operation, CustomOperation) else operation.fields
    yield from _fields(fields)


def _fields(fields: Sequence[Field]) -> Iterator[str]:
    if fields:
        yield ""
        rows = [
            (f"`{each.name}`", f"{'list of ' if each.multivalue else ''}{each.type}", _text(each.description))
            for each in fields
        ]
        yield from _table(("field", "type", "what it is"), rows)


def _presence(placeholder: Placeholder) -> str:
    if placeholder.default is not None:
        return f"`{_code(to_text(placeholder.default))}`"
    return "required" if placeholder.required else ""


def _explain(placeholder: Placeholder) -> str:
    words = [_text(placeholder.description)] if placeholder.description else []
    if placeholder.options:
        words.append("One of " + ", ".join(f"`{_code(to_text(each))}`" for each in placeholder.options) + ".")
    bounds = [
        f"{word} {to_text(bound)}"
        for word, bound in (("at least", placeholder.minimum), ("at most", placeholder.maximum))
        if bound is not None
    ]
    if bounds:
        words.append(" and ".join(bounds).capitalize() + ".")
    return " ".join(words)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _text(text: str) -> str:
    """Returns text on one line, escaped but for code between two back ticks."""
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:
        return _MARKUP.sub(r"\\\1", "`".join(pieces))
    return "".join(
        f"`{_code(piece)}`" if place % 2 else _MARKUP.sub(r"\\\1", piece) for place, piece in enumerate(pieces)
    )


def _code(text: str) -> str:
    """Returns text for a code span: without back tick, cell border or line break."""
    return " ".join(text.split()).replace("`", "'").replace("|", "¦")
