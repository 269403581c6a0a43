"""The commands that only read: `list`, `describe`, `lint`, `schema`, `doctor`.

What a command needs is imported by the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runtime.cli.group import (
    Command,
    GlobalOptions,
    complete_connector,
    complete_operation,
    connector_argument,
    counted,
)

if TYPE_CHECKING:
    from runtime.config.catalog import Catalog


@click.command("list", cls=Command)
@click.argument("connector", shell_complete=complete_connector, metavar="[CONNECTOR]", required=False)
@click.pass_obj
def list_(everywhere: GlobalOptions, connector: str | None) -> None:
    """Show the connectors, or the operations and triggers of one."""
    from runtime import documents
    from runtime.cli import descriptions, printing

    catalog = everywhere.catalog()
    if connector is None:
        rows = [_summary(catalog, handle) for handle in catalog.handles()]
        if everywhere.json:
            printing.print_document(rows)
            return
        descriptions.print_connectors(rows)
        for row in rows:
            if not row["valid"]:
                printing.say("warning", f"{row['handle']} has problems; see: connector lint")
        return
    found = catalog.of(connector)
    operations = documents.operation_summaries(found)
    triggers = [documents.trigger_document(webhook) for webhook in found.webhooks]
    if everywhere.json:
        printing.print_document({"handle": found.handle, "operations": operations, "triggers": triggers})
    else:
        descriptions.print_operations(operations)
        if triggers:
            printing.print_text("")
            descriptions.print_triggers(triggers)


@click.command(cls=Command)
@connector_argument
@click.argument("operation", shell_complete=complete_operation, metavar="[OPERATION]", required=False)
@click.pass_obj
def describe(everywhere: GlobalOptions, connector: str, operation: str | None) -> None:
    """Show a connector, or one of its operations.

    For an operation: its inputs (name, type, required or default, place), fields and triggers.
    """
    from runtime import documents
    from runtime.cli import descriptions, printing

    found = everywhere.catalog().of(connector)
    if operation is None:
        document, show = documents.connector_document(found), descriptions.print_connector
    else:
        chosen = found.operation(operation)
        document, show = documents.operation_document(found, chosen), descriptions.print_operation
    (printing.print_document if everywhere.json else show)(document)


@click.command(cls=Command)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.pass_obj
def lint(everywhere: GlobalOptions, paths: tuple[Path, ...]) -> int:
    """Check definitions for errors and warnings.

    A PATH is a connector, a folder of connectors or a JSON file. By default the whole catalogue is checked.
    """
    from connector.errors import InvalidDefinition, problem_document
    from runtime.cli import printing
    from runtime.cli.failures import EXIT_CODES
    from runtime.config.catalog import find_problems_in

    if paths:
        problems = [problem for path in paths for problem in find_problems_in(path)]
    else:
        catalog = everywhere.catalog()
        problems = [problem for handle in catalog.handles() for problem in catalog.problems(handle)]
    errors = sum(problem.is_error for problem in problems)
    if everywhere.json:
        document = problem_document(InvalidDefinition(problems))
        printing.print_document(document if errors else {"problems": document["problems"]})
    else:
        printing.print_problems(problems)
    warnings = len(problems) - errors
    printing.say("error" if errors else "note", f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    return EXIT_CODES[InvalidDefinition] if errors else 0


@click.command(cls=Command)
@click.option("--vscode", is_flag=True, help="Print the lines for the settings.json of VS Code.")
@click.pass_obj
def schema(everywhere: GlobalOptions, *, vscode: bool) -> None:
    """Print the path of the JSON Schema of definitions.

    It is for editors: they check a definition with it, complete its members and explain them.
    """
    import importlib.resources
    import typing

    from connector.parsing.schema import Kind
    from runtime.cli import printing

    folder = Path(str(importlib.resources.files("connector"))) / "schemas"
    files = {kind: folder / f"{kind}.schema.json" for kind in typing.get_args(Kind) if kind != "mapping"}
    if vscode:
        places = everywhere.settings().definitions or (Path("definitions"),)
        names = list(dict.fromkeys(_folder_of(place.resolve()).name for place in places))
        associations = [
            {"fileMatch": _patterns(kind, names), "url": file.as_uri()} for kind, file in sorted(files.items())
        ]
        printing.print_document({"json.schemas": associations})
    elif everywhere.json:
        printing.print_document({kind: str(file) for kind, file in sorted(files.items())})
    else:
        printing.print_text(str(files["connector"]))
        others = ", ".join(file.name for kind, file in sorted(files.items()) if kind != "connector")
        printing.say("note", f"this is the schema of a whole connector; next to it, for the other files: {others}")


def _folder_of(place: Path) -> Path:
    """The folder of connectors that a place is or, if it is one connector, is in."""
    is_connector = place.is_file() or any((place / head).is_file() for head in ("service.json", "connector.json"))
    return place.parent if is_connector else place


def _patterns(kind: str, folders: list[str]) -> list[str]:
    """The files of a kind in these folders of connectors, as VS Code matches them: with the end of a path."""
    if kind == "automation":
        return ["automations/*.json"]
    each = [f"*/{kind}.json", *{"connector": ["*.json"], "resources": ["*/resources/*.json"]}.get(kind, [])]
    return [f"{folder}/{pattern}" for folder in folders for pattern in each]


@click.command(cls=Command)
@click.pass_obj
def doctor(everywhere: GlobalOptions) -> int:
    """Check the installation, secrets and state folder.

    It checks Python, libraries, plug-ins, catalogue, secrets (only their names), state folder and clock.
    Nothing is sent or changed.
    """
    import dataclasses
    import datetime

    from connector.errors import ConfigurationError
    from runtime.cli import descriptions, printing
    from runtime.cli.doctor import examine
    from runtime.cli.failures import EXIT_CODES

    now = datetime.datetime.now(datetime.UTC)
    checks = [dataclasses.asdict(check) for check in examine(everywhere.settings(), now=now)]
    failed = any(check["status"] == "fail" for check in checks)
    if everywhere.json:
        printing.print_document({"ok": not failed, "checks": checks})
    else:
        descriptions.print_checks(checks)
    return EXIT_CODES[ConfigurationError] if failed else 0


def _summary(catalog: Catalog, handle: str) -> dict[str, Any]:
    from connector.errors import InvalidDefinition

    try:
        found = catalog.get(handle)
    except InvalidDefinition:
        return {"handle": handle, "valid": False, "operations": 0, "triggers": 0, "short": "not valid"}
    operations = len(found.operations) + len(found.custom_operations)
    return {
        "handle": handle,
        "valid": True,
        "operations": operations,
        "triggers": len(found.webhooks),
        "short": found.short,
    }
