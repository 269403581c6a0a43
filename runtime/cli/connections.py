"""The commands `connector connections` and `connector secrets`: enter values, and show which ones are set.

A value is read from a prompt without echo, from stdin or from a variable, never from the command line, where a shell
would keep it. It is checked against the service, bound to the origin of the connection, and stored; no command shows a
secret again (hazard T56). What a command needs is imported by the command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from runtime.cli.group import CommandGroup, GlobalOptions, complete_connector

if TYPE_CHECKING:
    from connector.model.service import Service
    from runtime.config.settings import Settings
    from runtime.config.store import Entry, Store
    from runtime.runtime import Runtime

_connection = click.argument("connection", shell_complete=complete_connector, metavar="CONNECTION")
_base_url = click.option(
    "--base-url", metavar="URL", help="The base URL that the values are for, if not the definition's."
)


@click.group(cls=CommandGroup)
def connections() -> None:
    """Set up connections; their values are stored encrypted."""


@click.group(cls=CommandGroup)
def secrets() -> None:
    """Store single values, and rotate the encryption key."""


@connections.command("set")
@_connection
@click.option(
    "--values", "source", type=click.File("rb"), metavar="-|FILE", help="One JSON object of values; - is stdin."
)
@click.option("--env", "from_variables", is_flag=True, help="Take the values from their CONNECTOR_SECRET__ variables.")
@_base_url
@click.pass_obj
def set_(
    everywhere: GlobalOptions,
    *,
    connection: str,
    source: IO[bytes] | None,
    from_variables: bool,
    base_url: str | None,
) -> None:
    """Enter the values of a connection.

    On a terminal it prompts for each; an empty answer keeps the value. Nothing is stored unless all values are valid.
    """
    desk = ConnectionForm(everywhere, connection, base_url)
    if source is not None and from_variables:
        raise click.UsageError("--values and --env exclude each other")
    if source is not None:
        values = _read_object(source)
    elif from_variables:
        values = desk.variables()
    elif sys.stdin.isatty():
        values = desk.ask()
    else:
        raise click.UsageError("stdin is not a terminal: use --values - or --env")
    desk.enter(values)


@connections.command("list")
@click.pass_obj
def list_(everywhere: GlobalOptions) -> None:
    """List what is stored: names, origins and times."""
    import dataclasses

    from runtime.cli import printing

    entries = [each for each in _open_store(everywhere.settings()).entries() if each.kind != "endpoint"]
    shown = ("connection", "name", "kind", "origin", "set_at")
    if everywhere.json:
        rows = [dataclasses.asdict(entry) for entry in entries]
        printing.print_document([{column: row[column] or None for column in shown} for row in rows])
    elif entries:
        printing.print_table(shown, [[getattr(entry, column) or "" for column in shown] for entry in entries])
    else:
        printing.say("note", "nothing is stored; see: connector connections set --help")


@connections.command("remove")
@_connection
@click.argument("name", metavar="[NAME]", required=False)
@click.pass_obj
def remove(everywhere: GlobalOptions, connection: str, name: str | None) -> None:
    """Remove a connection, or one of its values."""
    from connector.errors import ConfigurationError, did_you_mean

    store = _open_store(everywhere.settings())
    gone = store.remove(connection, name)
    if not gone:
        known = sorted({entry.connection for entry in store.entries()})
        what = connection if name is None else f"{name} of {connection}"
        raise ConfigurationError(f"nothing is stored of {what}", hint=did_you_mean(connection, known))
    names = [_name(entry) for entry in gone]
    everywhere.report({"connection": connection, "removed": names}, f"removed of {connection}: {', '.join(names)}")


@connections.command("login")
@_connection
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port of the redirect; 0 takes a free one.")
@click.option(
    "--wait", type=click.FloatRange(1, 3600), default=300, show_default=True, help="Seconds to wait for the browser."
)
@click.pass_obj
def login(everywhere: GlobalOptions, connection: str, port: int, wait: float) -> None:
    """Log in to a provider in the browser (OAuth 2).

    Its tokens are stored encrypted, and renewed when the connection is called.
    """
    import asyncio

    from runtime.runtime import Runtime

    settings = everywhere.settings()
    # Without a store, the tokens would be lost as soon as they are received.
    _open_store(settings).prepare()
    asyncio.run(_log_in(Runtime(settings=settings), connection, port, wait))
    everywhere.report({"connection": connection, "logged_in": True}, f"{connection} is logged in")


async def _log_in(runtime: Runtime, connection: str, port: int, wait: float) -> None:
    import secrets
    import webbrowser

    from runtime.cli import printing
    from runtime.config.login import Loopback

    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    async with runtime, Loopback(connection, state, port=port, patience=wait) as loopback:
        redirect_uri = loopback.redirect_uri
        url = runtime.authorization_url(connection, redirect_uri, state=state, verifier=verifier)
        printing.say("note", f"open this page to allow {connection}: {url}")
        if sys.stdin.isatty() and sys.stderr.isatty():
            webbrowser.open(url)
        code = await loopback.code()
        await runtime.log_in(connection, code, redirect_uri, verifier=verifier)


@secrets.command("set")
@_connection
@click.argument("name", metavar="NAME")
@click.argument("surplus", nargs=-1, metavar="")
@click.option("--env", "variable", metavar="VARIABLE", help="Take the value from this environment variable.")
@_base_url
@click.pass_obj
def set_secret(
    everywhere: GlobalOptions,
    *,
    connection: str,
    name: str,
    surplus: tuple[str, ...],
    variable: str | None,
    base_url: str | None,
) -> None:
    """Store one value of a connection.

    It comes from a prompt without echo, from stdin if that is not a terminal, or from a variable.
    """
    if surplus or "=" in name:
        # The message does not quote the words: one of them is likely to be the secret.
        raise click.UsageError(
            "a value cannot be an argument, since the shell would keep it: enter it when prompted, or on stdin"
        )
    desk = ConnectionForm(everywhere, connection, base_url)
    desk.check_names([name])
    desk.enter({name: _read_value(connection, name, variable)})


@secrets.command("rotate")
@click.pass_obj
def rotate(everywhere: GlobalOptions) -> None:
    """Encrypt everything that is stored with a new key.

    The new key is CONNECTOR_KEY, the old one CONNECTOR_OLD_KEY. Without CONNECTOR_KEY a new key is created and kept in
    the keyring of the system. It can be interrupted and repeated.
    """
    from runtime.cli import printing

    count = _open_store(everywhere.settings()).rotate()
    if everywhere.json:
        printing.print_document({"rotated": count})
    elif count:
        printing.say("note", f"{count} stored {'value is' if count == 1 else 'values are'} encrypted with the new key")
    else:
        printing.say("note", "everything is encrypted with this key already")


class ConnectionForm:
    """Enters values of one connection: checks their names and values, and stores them."""

    def __init__(self, everywhere: GlobalOptions, connection: str, base_url: str | None) -> None:
        from runtime.config.catalog import Catalog
        from runtime.config.vault import Vault

        named = {connection: base_url} if base_url is not None else None
        self.json = everywhere.json
        self.connection = connection
        self.settings: Settings = everywhere.settings(base_urls=named)
        catalog = Catalog(self.settings.definitions)
        self.service: Service = catalog.of(connection).service
        self.store = _open_store(self.settings)
        environment = self.settings.environment
        file, handles = self.settings.secrets_file, catalog.handles
        self.vault = Vault(None, environment=environment, file=file, store=self.store, handles=handles)

    def check_names(self, names: Iterable[str]) -> None:
        """Raises InputError unless the connection has values of these names."""
        from runtime.config.vault import check_names

        check_names(self.service, self.connection, names)

    def variables(self) -> dict[str, Any]:
        """Returns the values whose variables are set."""
        from runtime.config.connections import INBOUND, variable_name

        variables = {name: variable_name(self.connection, name) for name in (*self.service.placeholders, *INBOUND)}
        environment = self.settings.environment
        found = {name: environment[each] for name, each in variables.items() if each in environment}
        if not found:
            raise click.UsageError(f"none of these variables is set: {', '.join(sorted(variables.values()))}")
        return found

    def ask(self) -> dict[str, Any]:
        """Prompts for each value and returns them, without those left empty."""
        stored = {entry.name for entry in self.store.entries() if entry.connection == self.connection}
        answers = {}
        for name, placeholder in self.service.placeholders.items():
            text = f"{placeholder.description or name} ({name})" + (", empty keeps it" if name in stored else "")
            hidden = name in self.service.credentials
            answers[name] = click.prompt(text, default="", show_default=False, hide_input=hidden, err=True)
        return {name: answer for name, answer in answers.items() if answer}

    def enter(self, values: Mapping[str, Any]) -> None:
        """Checks the values and stores all or none of them; prints the remaining steps.

        Raises InputError for names and values that the service does not take, MissingCredentials while a part of the
        base URL is missing, since a secret is bound to an origin.
        """
        from runtime.cli import printing
        from runtime.config.connections import variable_name
        from runtime.config.vault import enter_values

        bound_to = enter_values(self.service, self.connection, values, self.settings, self.vault, self.store)
        if self.json:
            printing.print_document({"connection": self.connection, "set": sorted(values), "origin": bound_to})
        else:
            printing.say("note", f"stored for {bound_to}: {', '.join(sorted(values))} of {self.connection}")
        for name in sorted(values):
            if (variable := variable_name(self.connection, name)) in self.settings.environment:
                printing.say("warning", f"{variable} is set, and wins over what is stored")
        for entry in self.store.entries():
            if entry.connection == self.connection and entry.kind != "value" and entry.origin != bound_to:
                printing.say("warning", f"{_name(entry)} was entered for {entry.origin} and has to be entered again")


def _open_store(settings: Settings) -> Store:
    from runtime.config.store import open_store

    store = open_store(settings.store, settings.environment)
    assert store is not None, "the settings of a process name a store"  # noqa: S101 - load_settings does
    return store


def _name(entry: Entry) -> str:
    return entry.name or "the login"


def _read_value(connection: str, name: str, variable: str | None) -> str:
    import os

    if variable is not None:
        if variable not in os.environ:
            raise click.UsageError(f"{variable} is not set")
        return os.environ[variable]
    if sys.stdin.isatty():
        answer: str = click.prompt(f"{name} of {connection}", hide_input=True, err=True)
        return answer
    try:
        # One line feed at the end is the pipe's, not the value's.
        text = sys.stdin.buffer.read()
        return text.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.UsageError("stdin holds no UTF-8 text") from None


def _read_object(source: IO[bytes]) -> dict[str, Any]:
    import json

    from connector.strict_json import read_members

    try:
        table = json.loads(source.read(), object_pairs_hook=read_members)
    except (ValueError, RecursionError):
        _refuse_object()
    if not isinstance(table, dict):
        _refuse_object()
    return table


def _refuse_object() -> NoReturn:
    # The parser's own message might quote a secret.
    raise click.UsageError('--values is one JSON object: {"name": "value"}')
