"""What every command of `connector` shares: its options, the completion of names, and how failures end.

`CommandGroup.main` is the one place where an exception becomes text and an exit code. Anything that is not needed to
read a command line is imported where it is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from runtime.config.catalog import Catalog
    from runtime.config.settings import Settings

PROGRAM = "connector"


@dataclass(slots=True)
class GlobalOptions:
    """The values of the options that may stand before or after any command."""

    definitions: list[Path] = field(default_factory=list)
    json: bool = False

    def settings(self, *, base_urls: dict[str, str] | None = None) -> Settings:
        """Loads the settings of this process; these options take precedence. Raises ConfigurationError."""
        from runtime.config.settings import load_settings

        return load_settings(os.environ, Path.cwd(), definitions=self.definitions, base_urls=base_urls)

    def catalog(self) -> Catalog:
        """Returns the shipped connectors and the operator's; raises ConfigurationError."""
        from runtime.config.catalog import Catalog

        return Catalog(self.settings().definitions)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Requests a route of the HTTP interface, and returns its document; raises as `remote.ask` does."""
        from runtime.cli.remote import ask

        return ask(self.settings(), method, path, body)

    def report(self, document: Any, note: str) -> None:
        """Prints the outcome of a command: the document with `--json`, otherwise a note on stderr."""
        from runtime.cli import printing

        if self.json:
            printing.print_document(document)
        else:
            printing.say("note", note)


def _add_definitions(ctx: click.Context, _: click.Parameter, value: tuple[Path, ...]) -> None:
    ctx.ensure_object(GlobalOptions).definitions.extend(value)


def _choose_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - Click's signature
    ctx.ensure_object(GlobalOptions).json |= value


def _everywhere() -> list[click.Parameter]:
    """Returns the options of every command; their values go to the context, not to the command."""
    return [
        click.Option(
            ["--definitions"],
            type=click.Path(exists=True, path_type=Path),
            metavar="DIR",
            multiple=True,
            expose_value=False,
            callback=_add_definitions,
            help="A folder of connectors, or one connector. May be repeated.",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_choose_json,
            help="One JSON document on stdout, also for failures.",
        ),
    ]


class Command(click.Command):
    """A command with the options that every command has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere()


class ReaderGone(Exception):
    """The reader of stdout or stderr has closed it, as `head` does."""


class OutputLost(click.ClickException):
    """Stdout cannot be written, as on a full disk."""


@contextlib.contextmanager
def _noticing_readers() -> Iterator[None]:
    # Click would exit 1 for a broken pipe by itself, before `main` sees it.
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


class CommandGroup(click.Group):
    """The group of all commands. Its `main` is the one place where failures become text and exit codes."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere()

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """As Click's, which prints `--help` and `--version`; raises ReaderGone where no one reads them."""
        with _noticing_readers():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """As Click's; raises ReaderGone where no one reads what the command prints."""
        with _noticing_readers():
            return super().invoke(ctx)

    def main(  # type: ignore[override]  # one signature for both of Click's modes
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Runs the command and exits with its code; outside of `standalone_mode` returns the code."""
        words = sys.argv[1:] if args is None else list(args)
        _accept_any_text()
        try:
            try:
                answer = super().main(args, prog_name or PROGRAM, standalone_mode=False, **extra)
                sys.stdout.flush()
                code = answer if isinstance(answer, int) else 0
            except (ReaderGone, BrokenPipeError):
                raise
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it becomes an exit code
                if isinstance(error, OSError) and _is_of_stdout(error):
                    return _leave(_end_unwritten(error), standalone_mode=standalone_mode)
                # Looked up in the words themselves, since a command line that cannot be read has no options yet.
                code = _report(error, as_json="--json" in words[: words.index("--") if "--" in words else None])
                sys.stdout.flush()
        except (ReaderGone, BrokenPipeError):
            code = _end_unread()
        return _leave(code, standalone_mode=standalone_mode)


def _leave(code: int, *, standalone_mode: bool) -> int:
    if standalone_mode:
        sys.exit(code)
    return code


def _accept_any_text() -> None:
    # A provider's text may hold characters that the encoding of the terminal or of the pipe lacks.
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _end_unread() -> int:
    """Ends as a program that SIGPIPE ended would: quietly, with the exit code that shells give it."""
    from runtime.cli.failures import EXIT_CODES

    # What is left has nowhere to go, and Python would complain at exit.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return EXIT_CODES[BrokenPipeError]


def _is_of_stdout(error: OSError) -> bool:
    """Returns True where the disk behind stdout is full or broken; an error of a file carries its name."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _end_unwritten(error: OSError) -> int:
    """Reports that the output cannot be written; returns the exit code."""
    from runtime.cli import printing

    printing.say("error", f"the output cannot be written: {(error.strerror or 'unknown reason').lower()}")
    printing.say("hint", "write it to another place, or make room")
    # What is left has nowhere to go, and Python would complain at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _report(error: BaseException, *, as_json: bool) -> int:
    """Reports a failure on stderr and, with `as_json`, as one document on stdout; returns the exit code."""
    if isinstance(error, click.ClickException) and not as_json:
        error.show()
        return 2
    from connector.errors import ResponseError
    from runtime import documents
    from runtime.cli import failures, printing

    if as_json:
        answered = isinstance(error, ResponseError)
        printing.print_document(
            documents.result_document(error.result) if answered else failures.failure_document(error)  # type: ignore[attr-defined]
        )
    printing.print_failure(failures.describe_failure(error))
    if os.environ.get("CONNECTOR_DEBUG") and failures.exit_code(error) == 1:
        raise error
    return failures.exit_code(error)


def complete_connector(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes handles of the catalogue."""
    from click.shell_completion import CompletionItem

    from connector.errors import ConnectorError

    try:
        handles = ctx.ensure_object(GlobalOptions).catalog().handles()
    except ConnectorError:
        return []
    return [CompletionItem(handle) for handle in handles if handle.startswith(incomplete)]


def complete_operation(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes operations of the connector named before, each with its short description."""
    from click.shell_completion import CompletionItem

    from connector.errors import ConnectorError
    from runtime.documents import operation_summaries

    handle = handle_of(str(ctx.params.get("connector") or ""))
    try:
        known = operation_summaries(ctx.ensure_object(GlobalOptions).catalog().get(handle))
    except ConnectorError:
        return []
    return [CompletionItem(each["id"], help=each["short"]) for each in known if each["id"].startswith(incomplete)]


connector_argument = click.argument("connector", shell_complete=complete_connector, metavar="CONNECTOR")
operation_argument = click.argument("operation", shell_complete=complete_operation, metavar="OPERATION")


def handle_of(connection: str) -> str:
    """The connector of a connection: `mistral-ai` of `mistral-ai:team-b`."""
    from runtime.config.connections import ConnectionName

    return ConnectionName.parse(connection).handle


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 byte`, `2 bytes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
