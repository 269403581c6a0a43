"""The commands `connector import` and `connector export`: from a specification to a connector, and back.

`spec_files` reads and writes the files, and the language interprets them; this module has options and output. What a
command needs is imported by the command.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime.cli.group import CommandGroup, GlobalOptions, complete_connector, handle_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.openapi.importer import Imported
    from runtime.cli.spec_files import Written

#: How many guesses, losses and changes are shown; `--json` has them all.
SHOWN = 40


@click.group("import", cls=CommandGroup)
def import_() -> None:
    """Import connectors (OpenAPI)."""


@import_.command("openapi")
@click.argument("source", metavar="FILE|URL")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to create the folder of the connector, instead of here.",
)
@click.option(
    "--handle", metavar="HANDLE", default="", help="The name of the connector. By default it comes from the title."
)
@click.pass_obj
def import_openapi(everywhere: GlobalOptions, *, source: str, out: Path, handle: str) -> None:
    """Import a connector from an OpenAPI file (3.0, 3.1).

    Writes the folder HANDLE and reports what was kept, guessed and lost. A second import shows what changed, and keeps
    overlay.json.
    """
    from connector.errors import InvalidDefinition
    from connector.openapi.importer import from_openapi
    from runtime.cli import printing
    from runtime.cli.spec_files import place_problems, read_spec, write_connector

    with printing.progress(f"importing {source}"):
        document = read_spec(source, everywhere.settings())
        url = source if source.startswith(("http://", "https://")) else ""
        try:
            imported = from_openapi(document, handle=handle, source_url=url)
        except InvalidDefinition as error:
            raise place_problems(error, source) from None
        written = write_connector(imported, out)
    if everywhere.json:
        printing.print_document(_document(imported, written))
        return
    _print_report(imported)
    if written.changes is not None:
        _print_changes(written)
    count = len(imported.connector.operations)
    printing.say("note", f"{written.folder}: {count} operations, {len(written.written)} files written")
    first = next(iter(imported.connector.operations), None)
    if first is not None:
        inputs = "".join(
            f" {name}=…" for name, each in imported.connector.operations[first].inputs.items() if each.required
        )
        command = f"connector call {imported.handle} {first}{inputs} --mock --definitions {written.folder}"
        printing.say("hint", f"try: {command}")


def _document(imported: Imported, written: Written) -> dict[str, Any]:
    import dataclasses

    return {
        "handle": imported.handle,
        "folder": str(written.folder),
        "operations": list(imported.connector.operations),
        "triggers": [webhook.id for webhook in imported.connector.webhooks],
        "report": [dataclasses.asdict(note) for note in imported.report.notes],
        "written": list(written.written),
        "removed": list(written.removed),
        "overlay": written.has_overlay,
        "changes": None if written.changes is None else [dataclasses.asdict(change) for change in written.changes],
    }


def _print_report(imported: Imported) -> None:
    from runtime.cli import printing

    notes = list(imported.report.notes)
    counts = Counter(note.kind for note in notes)
    printing.print_table(
        ("kept", "guessed", "lost"), [tuple(str(counts[kind]) for kind in ("kept", "guessed", "lost"))]
    )
    rows = [
        (note.kind, note.where, note.message) for kind in ("lost", "guessed") for note in notes if note.kind == kind
    ]
    _print_some(("", "where", "what"), rows)


def _print_changes(written: Written) -> None:
    from runtime.cli import printing

    changes = sorted(written.changes or (), key=lambda change: not change.breaking)
    breaking = sum(change.breaking for change in changes)
    if not changes:
        printing.say("note", "nothing changed since the last import")
        return
    rows = [("breaking" if change.breaking else "", change.kind, change.where, change.message) for change in changes]
    _print_some(("", "change", "where", "what"), rows)
    printing.say(
        "warning" if breaking else "note", f"{len(changes)} changes since the last import, {breaking} breaking"
    )


def _print_some(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from runtime.cli import printing

    if rows:
        printing.print_text("")
        printing.print_table(columns, rows[:SHOWN])
    if len(rows) > SHOWN:
        printing.say("note", f"{len(rows) - SHOWN} more; --json has them all")


@click.group("export", cls=CommandGroup)
def export() -> None:
    """Export connectors as OpenAPI, tool schemas or Markdown."""


_connector = click.argument("connector", shell_complete=complete_connector, metavar="CONNECTOR")
_out = click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file instead of stdout."
)


@export.command("openapi")
@_connector
@_out
@click.pass_obj
def export_openapi(everywhere: GlobalOptions, *, connector: str, out: Path | None) -> None:
    """Export a connector as an OpenAPI 3.1 document in JSON."""
    from connector.openapi.exporter import to_openapi

    catalog = everywhere.catalog()
    handle = handle_of(connector)
    _give(to_openapi(catalog.get(handle), catalog.definition(handle)), out)


@export.command("tools")
@_connector
@click.option(
    "--for",
    "form",
    type=click.Choice(["mcp", "functions"]),
    default="mcp",
    show_default=True,
    help="The format: MCP, or function calling.",
)
@_out
@click.pass_obj
def export_tools(everywhere: GlobalOptions, *, connector: str, form: Any, out: Path | None) -> None:
    """Export operations as tools for models, with JSON Schemas."""
    from connector.describe.tools import to_tools

    _give(to_tools(everywhere.catalog().of(connector), form), out)


@export.command("markdown")
@_connector
@_out
@click.pass_obj
def export_markdown(everywhere: GlobalOptions, *, connector: str, out: Path | None) -> None:
    """Export a connector as a Markdown page.

    It lists values, operations, inputs, fields and triggers.
    """
    from connector.describe.markdown import to_markdown

    text = to_markdown(everywhere.catalog().of(connector))
    _give({"markdown": text} if everywhere.json else text, out)


def _give(value: Any, out: Path | None) -> None:
    """Writes a document as JSON, or text as it is, to stdout or a file."""
    from connector.openapi.files import show
    from runtime.cli import printing

    text = value if isinstance(value, str) else show(value)
    if out is None:
        printing.print_text(text)
    else:
        _write_text(out, text)
        printing.say("note", f"{out} written")


def _write_text(path: Path, text: str) -> None:
    """Writes a file; raises ConfigurationError where that cannot be done."""
    from connector.errors import ConfigurationError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from None
