"""The commands `render` and `call`: show a request, and send one.

They turn the words of a command line into inputs, open a runtime (or one whose network is the built-in mock provider),
and write the answer to a screen, a pipe or a file. What a command needs is imported by the command.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from runtime.cli.group import (
    Command,
    GlobalOptions,
    connector_argument,
    counted,
    operation_argument,
)

if TYPE_CHECKING:
    from connector.messages import Result
    from connector.model.definition import AnyOperation, Connector
    from runtime.runtime import Runtime

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


@click.command(cls=Command)
@connector_argument
@operation_argument
@_inputs
@_inputs_from
@_base_url
@click.option("-o", "--output", "form", type=click.Choice(["http", "curl", "json"]), default="http", show_default=True)
@click.option("--show-secrets", is_flag=True, help="Show credentials instead of ***.")
@click.pass_obj
def render(
    everywhere: GlobalOptions,
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
    from runtime import documents
    from runtime.cli import printing

    runtime = _open_runtime(everywhere, connector, base_url)
    values = _read_inputs(runtime, connector, operation, inputs, source)
    request = runtime.render(connector, operation, values, show_secrets=show_secrets)
    if everywhere.json or form == "json":
        printing.print_document(documents.request_document(request))
    else:
        printing.print_text(printing.curl_text(request) if form == "curl" else printing.http_text(request))
    calls = len(getattr(runtime.find(connector, operation)[1], "calls", ()))
    if calls > 1:
        printing.say("note", f"this is the first of {calls} requests; the others are made from the answers before them")


@click.command(cls=Command)
@connector_argument
@operation_argument
@_inputs
@_inputs_from
@_base_url
@click.option("--mock", is_flag=True, help="Use the built-in provider: needs no secret, sends nothing.")
@click.option("--all", "everything", is_flag=True, help="Read all pages of a list.")
@click.option("--max-pages", type=click.IntRange(1), metavar="N", help="With --all: stop after N pages.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the answer to a file."
)
@click.pass_obj
def call(  # noqa: PLR0913 - one for each option
    everywhere: GlobalOptions,
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

    from runtime import documents
    from runtime.cli import printing

    if mock and base_url is not None:
        raise click.UsageError("--mock and --base-url exclude each other")
    if max_pages is not None and not everything:
        raise click.UsageError("--max-pages needs --all")
    if out is not None and not out.parent.is_dir():
        raise click.BadParameter(f"{out.parent} is not a folder", param_hint="--out")
    runtime = _open_mock_runtime(everywhere, connector) if mock else _open_runtime(everywhere, connector, base_url)
    values = _read_inputs(runtime, connector, operation, inputs, source)
    found = runtime.find(connector, operation)[1]
    if mock and found.id in runtime.catalog.examples(connector.partition(":")[0]):
        said = f"the answer is the recorded example examples/{found.id}.json; --mock does not read the inputs"
        printing.say("note", said)
    if not everything and _is_followed(found, out=out, as_json=everywhere.json):
        _follow(everywhere, runtime, connector, found, values, out)
        return
    if everything:
        result = asyncio.run(_call_all(runtime, connector, operation, values, max_pages))
    else:
        with printing.progress(f"calling {connector} {operation}"):
            result = asyncio.run(_call(runtime, connector, operation, values))
    if out is not None:
        printing.say("note", f"{counted(_write(out, result.raw), 'byte')} written to {out}")
    if everywhere.json:
        document = documents.result_document(result)
        printing.print_document({**document, "truncated": result.truncated} if everything else document)
    else:
        printing.print_result(result, with_raw=out is None)
    for warning in result.warnings:
        printing.say("warning", warning)
    if result.truncated and not everything:
        printing.say("note", "there are more pages; --all reads them")


def _is_followed(found: AnyOperation, *, out: Path | None, as_json: bool) -> bool:
    """Returns True for an answer that is passed on as it comes."""
    kind = found.response
    return (kind in ("sse", "ndjson") and out is None) or (kind == "binary" and (out is not None or not as_json))


def _follow(
    everywhere: GlobalOptions,
    runtime: Runtime,
    connection: str,
    found: AnyOperation,
    values: dict[str, Any],
    out: Path | None,
) -> None:
    import asyncio

    from runtime import documents
    from runtime.cli import following, printing

    if found.response != "binary":
        asyncio.run(following.print_stream(runtime, connection, found, values, as_json=everywhere.json))
    elif out is None:
        if sys.stdout.isatty():
            raise click.UsageError("the answer is binary; name a file for it with --out, or pipe it on")
        asyncio.run(following.print_bytes(runtime, connection, found, values))
    else:
        with printing.progress(f"calling {connection} {found.id}"):
            result, size = asyncio.run(following.save_bytes(runtime, connection, found, values, out))
        printing.say("note", f"{counted(size, 'byte')} written to {out}")
        if everywhere.json:
            printing.print_document(documents.result_document(result))


async def _call(runtime: Runtime, connection: str, operation: str, values: dict[str, Any]) -> Result:
    async with runtime:
        return await runtime.call(connection, operation, values)


async def _call_all(
    runtime: Runtime, connection: str, operation: str, values: dict[str, Any], max_pages: int | None
) -> Result:
    """Returns all pages as one result; a bar shows the progress."""
    from runtime.calls.pages import MAX_PAGES, join_pages
    from runtime.cli import printing

    results, count = [], 0
    pagination = runtime.find(connection, operation)[1].pagination
    with printing.progress_bar(f"calling {connection} {operation}") as show:
        async with runtime:
            async for result in runtime.pages(connection, operation, values, max_pages=max_pages or MAX_PAGES):
                results.append(result)
                count += len(result.records or ())
                show(count, pagination.total(result.raw) if pagination is not None else None)
    return join_pages(results)


def _open_runtime(everywhere: GlobalOptions, connection: str, base_url: str | None) -> Runtime:
    from runtime.runtime import Runtime

    base_urls = {connection: base_url} if base_url is not None else None
    return Runtime(settings=everywhere.settings(base_urls=base_urls))


def _open_mock_runtime(everywhere: GlobalOptions, connection: str) -> Runtime:
    """Returns a runtime whose network is the built-in provider, without real values of connections."""
    from connector.auth.tokens import Grant
    from runtime.config.catalog import Catalog
    from runtime.http.own import as_transport
    from runtime.mock import MockProvider
    from runtime.runtime import Runtime

    settings = replace(everywhere.settings(), base_urls={}, secrets_file=None, store=None, environment={})
    catalog = Catalog(settings.definitions)
    connector = catalog.of(connection)
    provider = MockProvider([connector], {connector.handle: catalog.examples(connector.handle)})
    runtime = Runtime(
        settings=settings,
        secrets={connection: _mock_values(connector)},
        transport=as_transport(provider),
    )
    # The provider is simulated, its authorization server is not.
    runtime.assume_grant(connection, Grant(token="mock-credential", issued_at=0.0))  # noqa: S106 - it opens nothing
    return runtime


def _mock_values(connector: Connector) -> dict[str, Any]:
    """A well-formed value for each that a connection must have, and for every credential."""
    service = connector.service
    start = service.base.parts[0] if service.base.parts else ""
    values: dict[str, Any] = {}
    for name, placeholder in service.placeholders.items():
        if placeholder.default is not None or not (placeholder.required or name in service.credentials):
            continue
        if placeholder.options:
            values[name] = placeholder.options[0]
        elif placeholder.type in ("Integer", "Number"):
            values[name] = max(1, placeholder.minimum or 1)
        elif getattr(start, "name", None) == name:
            values[name] = "https://mock.invalid"  # the whole base URL is this value
        else:
            # Masking hides every occurrence, so the sample of a credential must not occur elsewhere.
            values[name] = "mock-credential" if name in service.credentials else "mock"
    return values


def _read_inputs(
    runtime: Runtime, connection: str, operation: str, words: tuple[str, ...], source: IO[bytes] | None
) -> dict[str, Any]:
    from runtime.cli.inputs import Item, gather_inputs

    items = []
    for word in words:
        try:
            items.append(Item.from_text(word))
        except ValueError as error:
            raise click.BadParameter(f"{word!r}: {error}", param_hint="INPUT") from None
    connector, found = runtime.find(connection, operation)
    declared = {**connector.service.placeholders, **found.inputs}
    return gather_inputs(operation, items, declared, None if source is None else source.read())


def _write(path: Path, raw: Any) -> int:
    """Writes an answer, text and bytes as they are, other values as JSON; returns how many bytes were written."""
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
