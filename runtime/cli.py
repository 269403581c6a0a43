"""The `connector` command: its verbs, and what each asks of the runtime.

A verb gathers what it needs, asks, and hands the answer to `printing`; what all verbs share is in `verbs`. Started
for `--help` or a completion, the command must be quick, so whatever is not needed to read a command line is imported by
the verb that uses it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeGuard

import click

from runtime.connections import connections, secrets
from runtime.verbs import PROGRAM, Everywhere, Verbs, complete_connector, complete_operation

if TYPE_CHECKING:
    from connector.definitions import Connector, CustomOperation, Operation
    from connector.mapping import Result
    from runtime.catalog import Catalog
    from runtime.runtime import Runtime

SHELLS = ("bash", "zsh", "fish")
DEFAULT_PORT = 9000


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - Click's signature
    if not value or ctx.resilient_parsing:
        return
    import importlib.metadata

    try:
        version = importlib.metadata.version("connector-runtime")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"{PROGRAM} {version}")
    ctx.exit()


_connector = click.argument("connector", shell_complete=complete_connector, metavar="CONNECTOR")
_operation = click.argument("operation", shell_complete=complete_operation, metavar="OPERATION")
_inputs = click.argument("inputs", nargs=-1, metavar="[INPUT]...")
_inputs_from = click.option(
    "--inputs",
    "source",
    type=click.File("rb"),
    metavar="-|FILE",
    help="Inputs as one JSON object, from stdin or a file.",
)
_base_url = click.option(
    "--base-url", metavar="URL", help="Another base URL for this connection, private ones included."
)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Inputs are name=text, name:=json, name=@file. A named connection is CONNECTOR:NAME.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Call the APIs that connectors describe, and look at the connectors themselves."""


cli.add_command(connections)
cli.add_command(secrets)


@cli.command("list")
@click.argument("connector", shell_complete=complete_connector, metavar="[CONNECTOR]", required=False)
@click.pass_obj
def list_(everywhere: Everywhere, connector: str | None) -> None:
    """Show the connectors, or one's operations and triggers."""
    from runtime import descriptions, documents, printing

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
    found = catalog.get(_handle(connector))
    operations = documents.operation_summaries(found)
    triggers = [documents.trigger_document(webhook) for webhook in found.webhooks]
    if everywhere.json:
        printing.print_document({"handle": found.handle, "operations": operations, "triggers": triggers})
    else:
        descriptions.print_operations(operations)
        if triggers:
            printing.print_text("")
            descriptions.print_triggers(triggers)


@cli.command()
@_connector
@click.argument("operation", shell_complete=complete_operation, metavar="[OPERATION]", required=False)
@click.pass_obj
def describe(everywhere: Everywhere, connector: str, operation: str | None) -> None:
    """Show a connector, or one of its operations.

    For an operation: its inputs (name, type, required or default, place), fields and triggers.
    """
    from runtime import descriptions, documents, printing

    found = everywhere.catalog().get(_handle(connector))
    if operation is None:
        document, show = documents.connector_document(found), descriptions.print_connector
    else:
        chosen = _find_operation(found, operation)
        document, show = documents.operation_document(found, chosen), descriptions.print_operation
    (printing.print_document if everywhere.json else show)(document)


@cli.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.pass_obj
def lint(everywhere: Everywhere, paths: tuple[Path, ...]) -> int:
    """Check definitions for errors and warnings.

    A PATH is a connector, a folder of connectors or a JSON file; without one the whole catalogue is checked.
    """
    from connector.errors import InvalidDefinition, problem_document
    from runtime import printing
    from runtime.catalog import find_problems_in
    from runtime.failures import EXIT_CODES

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
    printing.say("error" if errors else "note", f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return EXIT_CODES[InvalidDefinition] if errors else 0


@cli.command()
@_connector
@_operation
@_inputs
@_inputs_from
@_base_url
@click.option("-o", "--output", "form", type=click.Choice(["http", "curl", "json"]), default="http", show_default=True)
@click.option("--show-secrets", is_flag=True, help="Show credentials instead of ***.")
@click.pass_obj
def render(
    everywhere: Everywhere,
    *,
    connector: str,
    operation: str,
    inputs: tuple[str, ...],
    source: IO[bytes] | None,
    base_url: str | None,
    form: str,
    show_secrets: bool,
) -> None:
    """Show the exact request of a call, without sending it."""
    from runtime import documents, printing

    runtime = _open_runtime(everywhere, connector, base_url)
    values = _read_inputs(runtime, connector, operation, inputs, source)
    request = runtime.render(connector, operation, values, show_secrets=show_secrets)
    if everywhere.json or form == "json":
        printing.print_document(documents.request_document(request))
    else:
        printing.print_text(printing.curl_text(request) if form == "curl" else printing.http_text(request))


@cli.command()
@_connector
@_operation
@_inputs
@_inputs_from
@_base_url
@click.option("--mock", is_flag=True, help="Ask the built-in provider; needs no secret and sends nothing.")
@click.option("--all", "everything", is_flag=True, help="Read all pages of a list.")
@click.option("--max-pages", type=click.IntRange(1), metavar="N", help="With --all: stop after N pages.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the answer to a file."
)
@click.pass_obj
def call(  # noqa: PLR0913 - one for each option
    everywhere: Everywhere,
    *,
    connector: str,
    operation: str,
    inputs: tuple[str, ...],
    source: IO[bytes] | None,
    base_url: str | None,
    mock: bool,
    everything: bool,
    max_pages: int | None,
    out: Path | None,
) -> None:
    """Call an operation and show the mapped answer."""
    import asyncio

    from runtime import documents, printing

    if mock and base_url is not None:
        raise click.UsageError("--mock and --base-url exclude each other")
    if max_pages is not None and not everything:
        raise click.UsageError("--max-pages goes with --all")
    if out is not None and not out.parent.is_dir():
        raise click.BadParameter(f"{out.parent} is no folder", param_hint="--out")
    runtime = _open_mock_runtime(everywhere, connector) if mock else _open_runtime(everywhere, connector, base_url)
    values = _read_inputs(runtime, connector, operation, inputs, source)
    found = _find_operation(runtime.catalog.get(_handle(connector)), operation)
    if not everything and _is_followed(found, out=out, as_json=everywhere.json):
        _follow(everywhere, runtime, connector, found, values, out)
        return
    if everything:
        result = asyncio.run(_call_all(runtime, connector, operation, values, max_pages))
    else:
        with printing.progress(f"calling {connector} {operation}"):
            result = asyncio.run(_call(runtime, connector, operation, values))
    if out is not None:
        printing.say("note", f"{_count(_write(out, result.raw), 'byte')} written to {out}")
    if everywhere.json:
        document = documents.result_document(result)
        printing.print_document({**document, "truncated": result.truncated} if everything else document)
    else:
        printing.print_result(result, with_raw=out is None)
    for warning in result.warnings:
        printing.say("warning", warning)
    if result.truncated and not everything:
        printing.say("note", "there are more pages; --all reads them")


def _is_followed(found: Operation | CustomOperation, *, out: Path | None, as_json: bool) -> TypeGuard[Operation]:
    """True for an answer that is passed on as it comes."""
    kind = getattr(found, "response", "")
    return (kind in ("sse", "ndjson") and out is None) or (kind == "binary" and (out is not None or not as_json))


def _follow(
    everywhere: Everywhere,
    runtime: Runtime,
    connection: str,
    found: Operation,
    values: dict[str, Any],
    out: Path | None,
) -> None:
    import asyncio

    from runtime import documents, following, printing

    if found.response != "binary":
        asyncio.run(following.print_stream(runtime, connection, found, values, as_json=everywhere.json))
    elif out is None:
        if sys.stdout.isatty():
            raise click.UsageError("the answer is binary; name a file for it with --out, or pipe it on")
        asyncio.run(following.print_bytes(runtime, connection, found, values))
    else:
        with printing.progress(f"calling {connection} {found.id}"):
            result, size = asyncio.run(following.save_bytes(runtime, connection, found, values, out))
        printing.say("note", f"{_count(size, 'byte')} written to {out}")
        if everywhere.json:
            printing.print_document(documents.result_document(result))


async def _call(runtime: Runtime, connection: str, operation: str, values: dict[str, Any]) -> Result:
    async with runtime:
        return await runtime.call(connection, operation, values)


async def _call_all(
    runtime: Runtime, connection: str, operation: str, values: dict[str, Any], max_pages: int | None
) -> Result:
    """All pages as one result; a bar shows how far it is."""
    from runtime import printing
    from runtime.paging import MAX_PAGES, join_pages

    results, count = [], 0
    pagination = runtime.find(connection, operation)[1].pagination
    with printing.progress_bar(f"calling {connection} {operation}") as show:
        async with runtime:
            async for result in runtime.pages(connection, operation, values, max_pages=max_pages or MAX_PAGES):
                results.append(result)
                count += len(result.records or ())
                show(count, pagination.total(result.raw) if pagination is not None else None)
    return join_pages(results)


@cli.command()
@click.argument("connectors", nargs=-1, shell_complete=complete_connector, metavar="[CONNECTOR]...")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
@click.pass_obj
def mock(everywhere: Everywhere, connectors: tuple[str, ...], port: int) -> None:
    """Serve the built-in providers until interrupted.

    They are made from definitions and their examples; without CONNECTOR all are served.
    """
    import asyncio

    from runtime import printing
    from runtime.mock import MockProvider, serve

    catalog = everywhere.catalog()
    found = [catalog.get(_handle(name)) for name in connectors or catalog.handles()]
    provider = MockProvider(found, {each.handle: catalog.examples(each.handle) for each in found})

    def on_ready(taken: int) -> None:
        urls = {handle: f"http://127.0.0.1:{taken}{path}" for handle, path in provider.paths.items()}
        if everywhere.json:
            printing.print_document(urls)
            sys.stdout.flush()
        for handle, url in urls.items():
            printing.say("note", f"{handle} answers at {url}; use it as --base-url, and Ctrl-C to stop")

    asyncio.run(serve(provider, "127.0.0.1", port, on_ready))


@cli.command()
@click.pass_obj
def doctor(everywhere: Everywhere) -> int:
    """Check whether everything is in place.

    Python, libraries, catalogue, secrets (only their names), state folder, clock. Nothing is sent or changed.
    """
    import dataclasses
    import datetime

    from connector.errors import ConfigurationError
    from runtime import descriptions, printing
    from runtime.doctor import examine
    from runtime.failures import EXIT_CODES

    now = datetime.datetime.now(datetime.UTC)
    checks = [dataclasses.asdict(check) for check in examine(everywhere.settings(), now=now)]
    failed = any(check["status"] == "fail" for check in checks)
    if everywhere.json:
        printing.print_document({"ok": not failed, "checks": checks})
    else:
        descriptions.print_checks(checks)
    return EXIT_CODES[ConfigurationError] if failed else 0


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion(everywhere: Everywhere, shell: str) -> None:
    """Print a script that completes commands.

    It knows connectors and operations too: eval "$(connector completion bash)"
    """
    from click.shell_completion import get_completion_class

    from runtime import printing

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(cli, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source()
    if everywhere.json:
        printing.print_document({"shell": shell, "script": script})
    else:
        printing.print_text(script)


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


def _handle(connection: str) -> str:
    return connection.partition(":")[0]


def _find_operation(connector: Connector, operation: str) -> Operation | CustomOperation:
    """An operation of either kind; raises UnknownOperation, which names the nearest of both."""
    from connector.errors import UnknownOperation

    known: dict[str, Operation | CustomOperation] = {**connector.operations, **connector.custom_operations}
    try:
        return known[operation]
    except KeyError:
        raise UnknownOperation(connector.handle, operation, known) from None


def _open_runtime(everywhere: Everywhere, connection: str, base_url: str | None) -> Runtime:
    from runtime.runtime import Runtime

    base_urls = {connection: base_url} if base_url is not None else None
    return Runtime(settings=everywhere.settings(base_urls=base_urls))


def _open_mock_runtime(everywhere: Everywhere, connection: str) -> Runtime:
    """A runtime whose network is the built-in provider, and which knows no real value of any connection."""
    from httpx2 import ASGITransport

    from connector.oauth import Grant
    from runtime.catalog import Catalog
    from runtime.mock import MockProvider
    from runtime.runtime import Runtime

    settings = replace(everywhere.settings(), base_urls={}, secrets_file=None, store=None, environment={})
    catalog = Catalog(settings.definitions)
    connector = catalog.get(_handle(connection))
    provider = MockProvider([connector], {connector.handle: catalog.examples(connector.handle)})
    runtime = Runtime(
        settings=settings,
        secrets={connection: _mock_values(connector)},
        transport=ASGITransport(app=provider),
    )
    # The provider is played, its authorization server is not.
    runtime.assume_grant(connection, Grant("mock-credential", 0.0))
    return runtime


def _mock_values(connector: Connector) -> dict[str, Any]:
    """A well-formed value for each that a connection must have."""
    service = connector.service
    start = service.base.parts[0] if service.base.parts else ""
    values: dict[str, Any] = {}
    for name, placeholder in service.placeholders.items():
        if placeholder.default is not None or not placeholder.required:
            continue
        if placeholder.options:
            values[name] = placeholder.options[0]
        elif placeholder.type in ("Integer", "Number"):
            values[name] = max(1, placeholder.minimum or 1)
        elif getattr(start, "name", None) == name:
            values[name] = "https://mock.invalid"  # the whole base URL is this value
        else:
            # Masked wherever it stands, so the stand-in of a credential is nothing that stands elsewhere.
            values[name] = "mock-credential" if name in service.credentials else "mock"
    return values


def _read_inputs(
    runtime: Runtime, connection: str, operation: str, words: tuple[str, ...], source: IO[bytes] | None
) -> dict[str, Any]:
    from runtime.inputs import Item, gather_inputs

    items = []
    for word in words:
        try:
            items.append(Item.from_text(word))
        except ValueError as error:
            raise click.BadParameter(f"{word!r}: {error}", param_hint="INPUT") from None
    connector = runtime.catalog.get(_handle(connection))
    found = _find_operation(connector, operation)
    declared = {**connector.service.placeholders, **found.inputs}
    return gather_inputs(operation, items, declared, None if source is None else source.read())


def _write(path: Path, raw: Any) -> int:
    """Writes an answer: text and bytes as they are, all else as JSON; returns how many bytes that took."""
    import json

    from connector.errors import ConfigurationError

    if isinstance(raw, str):
        raw = raw.encode()
    elif not isinstance(raw, bytes):
        raw = b"" if raw is None else json.dumps(raw, ensure_ascii=False, indent=2).encode() + b"\n"
    try:
        return path.write_bytes(raw)
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def main() -> NoReturn:
    """The `connector` command, as it is installed."""
    sys.exit(cli.main(standalone_mode=False))
