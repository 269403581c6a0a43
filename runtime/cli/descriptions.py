"""Lays out connectors, operations, triggers and checks for people, as tables made from their JSON forms.

`documents` decides what is shown and `printing` how it is written, so both forms of a command show the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from connector.types import to_text
from runtime.cli.printing import print_table, print_text, print_wrapped
from runtime.documents import Document


def print_connectors(rows: Iterable[Document]) -> None:
    """The connectors of a catalogue."""
    names = ("handle", "operations", "triggers", "short")
    print_table(("connector", "operations", "triggers", "about"), [[str(row[name]) for name in names] for row in rows])


def print_operations(operations: Sequence[Document]) -> None:
    """The operations of a connector; a custom one has no method and no path."""
    about = (row["short"] + (" (deprecated)" if row["deprecated"] else "") for row in operations)
    rows = [
        [row["id"], row["method"] or "", row["path"] or "", text] for row, text in zip(operations, about, strict=True)
    ]
    _print_section(("operation", "method", "path", "about"), rows)


def print_triggers(triggers: Sequence[Document]) -> None:
    """The triggers of a connector, and the operations after which they arise."""
    _print_section(("trigger", "after"), [[row["id"], ", ".join(row["after"])] for row in triggers])


def print_connector(document: Document) -> None:
    """One connector: about it, the values its connections have, its operations and triggers."""
    _print_title(document["handle"], document)
    print_text(f"base URL: {document['base_url']}")
    rows = [
        [each["name"], "secret" if each["secret"] else _presence(each), f"{each['variable']}\n{each['description']}"]
        for each in document["values"]
    ]
    if rows:
        print_text("")
        print_table(("value", "", "variable, and what it is"), rows)
    print_text("")
    print_operations(document["operations"])
    if document["triggers"]:
        print_text("")
        print_triggers(document["triggers"])


def print_operation(document: Document) -> None:
    """One operation: its request, its inputs, its fields, the triggers of its resource."""
    _print_title(document["id"], document)
    if document["method"]:
        print_text(f"{document['method']} {document['path']}")
    if document["deprecated"]:
        print_text("deprecated: the provider will take it away, or has")
    if document["from_connection"]:
        print_text(f"from the connection: {', '.join(document['from_connection'])}")
    print_text("")
    # Required inputs come first; long texts have the whole width below the table.
    inputs = sorted(document["inputs"], key=lambda each: _presence(each) != "required")
    rows = [[each["name"], each["type"], _presence(each), each["place"]] for each in inputs]
    _print_section(("input", "type", "required", "place"), rows, nothing="no inputs")
    _print_notes((each["name"], _explain(each)) for each in inputs)
    print_text("")
    fields = document["fields"]
    rows = [
        [each["name"], each["type"] + (" (many)" if each["multivalue"] else ""), each["selector"]] for each in fields
    ]
    _print_section(("field", "type", "selector"), rows, nothing="no fields: the whole answer is shown")
    _print_notes((each["name"], each["description"]) for each in fields)
    if document["triggers"]:
        print_text("")
        rows = [[each["id"], each["path"], ", ".join(each["after"])] for each in document["triggers"]]
        _print_section(("trigger", "webhook", "after"), rows)


def print_checks(checks: Sequence[Document]) -> None:
    """Prints the checks of the doctor, then their hints."""
    names = ("status", "name", "detail")
    print_table(("", "check", "found"), [[row[name] for name in names] for row in checks])
    for row in checks:
        if row["hint"]:
            print_text(f"hint: {row['name']}: {row['hint']}")


def _print_title(name: str, document: Document) -> None:
    short, description = document["short"], document["description"]
    print_text(f"{name}: {short}" if short else name)
    if description and description != short:
        print_text(description)


def _print_section(columns: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str = "") -> None:
    """Prints a table without its empty columns; `nothing` replaces a table without rows."""
    if rows:
        kept = [place for place in range(len(columns)) if place == 0 or any(row[place] for row in rows)]
        print_table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows])
    elif nothing:
        print_text(nothing)


def _print_notes(notes: Iterable[tuple[str, str]]) -> None:
    """A line for each thing that has a text, wrapped on a terminal."""
    told = [(name, text) for name, text in notes if text]
    if told:
        print_text("")
    for name, text in told:
        print_wrapped(f"{name}: {text}")


def _presence(each: Document) -> str:
    if each["default"] is not None:
        return f"default {_quote(each['default'])}"
    return "required" if each["required"] else "optional"


def _quote(value: Any) -> str:
    return '""' if value == "" else to_text(value)


def _explain(each: Document) -> str:
    parts = [each["description"]]
    if each["options"]:
        parts.append("one of " + ", ".join(map(to_text, each["options"])))
    if each["minimum"] is not None:
        parts.append(f"at least {to_text(each['minimum'])}")
    if each["maximum"] is not None:
        parts.append(f"at most {to_text(each['maximum'])}")
    return "; ".join(part.rstrip(".") for part in parts if part)
