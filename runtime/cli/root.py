"""The `connector` command: the group of all commands, and the commands about the program itself.

A command collects its inputs, calls the runtime, and passes the answer to `printing`; `group` has what all commands
share, and each family of commands has a module. `--help` and completion have to be quick, so anything that is not
needed to read a command line is imported by the command that uses it.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from runtime.cli.call import call, render
from runtime.cli.catalogue import describe, doctor, lint, list_, schema
from runtime.cli.connections import connections, secrets
from runtime.cli.events import events, webhooks
from runtime.cli.group import PROGRAM, Command, CommandGroup, GlobalOptions
from runtime.cli.journal import journal
from runtime.cli.serve import mock, serve
from runtime.cli.specs import export, import_
from runtime.cli.subscriptions import deliveries, subscriptions
from runtime.cli.triggers import automations, triggers

SHELLS = ("bash", "zsh", "fish")


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


@click.group(
    cls=CommandGroup,
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
    """Call the APIs that connectors describe, receive webhooks, poll, deliver events."""


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def completion(everywhere: GlobalOptions, shell: str) -> None:
    """Print a shell completion script.

    It completes connectors and operations too: eval "$(connector completion bash)"
    """
    from click.shell_completion import get_completion_class

    from runtime.cli import printing

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(cli, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source()
    if everywhere.json:
        printing.print_document({"shell": shell, "script": script})
    else:
        printing.print_text(script)


for verb in (
    list_,
    describe,
    lint,
    schema,
    render,
    call,
    mock,
    serve,
    webhooks,
    events,
    connections,
    secrets,
    import_,
    export,
    journal,
    triggers,
    automations,
    subscriptions,
    deliveries,
    doctor,
    completion,
):
    cli.add_command(verb)


def main() -> NoReturn:
    """The `connector` command, as it is installed."""
    sys.exit(cli.main(standalone_mode=False))
