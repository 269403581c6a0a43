"""What a failure looks like for the caller of a command: an exit code, text on stderr, a problem document.

The errors are those of the language (`connector.errors`) and of Click. Nothing here prints; `printing` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from connector.errors import (
    ConfigurationError,
    ConnectorError,
    InputError,
    InvalidDefinition,
    JournalUnavailable,
    MappingError,
    NotInJournal,
    RequestRefused,
    ResponseError,
    TransportError,
    UnknownConnector,
    UnknownOperation,
)
from connector.messages import Request
from runtime import problems

#: Exit codes by the nearest class of the error; only a provider's 5xx depends on a value (`exit_code`).
EXIT_CODES: Mapping[type[BaseException], int] = {
    BaseException: 1,
    JournalUnavailable: 1,
    click.ClickException: 2,
    ConfigurationError: 2,
    UnknownConnector: 2,
    NotInJournal: 2,
    RequestRefused: 2,
    UnknownOperation: 2,
    InvalidDefinition: 3,
    ResponseError: 4,
    MappingError: 5,
    InputError: 6,
    TransportError: 7,
    click.Abort: 130,
    KeyboardInterrupt: 130,
    #: The exit code that a shell reports for a program ended by SIGPIPE (128 + 13).
    BrokenPipeError: 141,
}
#: What the provider's own failures (5xx) exit with.
PROVIDER_FAILED = 5


def exit_code(error: BaseException) -> int:
    """Returns the exit code of a failure: the row of its class, or of the nearest class above it.

    An error that a server answered has the exit code of the original error.
    """
    kind, told = type(error), error.document if isinstance(error, RequestRefused) else {}
    status = error.status if isinstance(error, ResponseError) else told.get("provider_status", 0)
    if status >= 500:
        return PROVIDER_FAILED
    if told:
        kind = next((each for each in _kinds(ConnectorError) if each.code == told.get("code")), kind)
    return next(EXIT_CODES[each] for each in kind.__mro__ if each in EXIT_CODES)


def _kinds(kind: type[ConnectorError]) -> Iterator[type[ConnectorError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def failure_document(error: BaseException) -> dict[str, Any]:
    """Returns the failure as a problem document (RFC 9457), with `code` and `hint`."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx is not None else "connector"
        title, code, detail = "The command line cannot be read", "E_USAGE", error.format_message()
        return {"type": "about:blank", "title": title, "code": code, "detail": detail, "hint": f"see: {path} --help"}
    if isinstance(error, click.ClickException):
        title, code, detail = "A file cannot be used", "E_USAGE", error.format_message()
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        title, code, detail = "Interrupted", "E_INTERRUPTED", "the command was interrupted"
    else:
        return problems.failure_document(error)
    return {"type": "about:blank", "title": title, "code": code, "detail": detail, "hint": ""}


def describe_failure(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yields the lines that describe a failure, each a label and a text. The provider's own message comes first."""
    if isinstance(error, ResponseError):
        yield "error", error.message
        yield "status", str(error.status)
        yield from _describe_request(error.request)
    elif isinstance(error, InvalidDefinition):
        count = len(error.problems)
        yield "error", f"{count} problem{'s' if count != 1 else ''} in the definition"
        for problem in error.problems:
            yield "", str(problem)
            if problem.hint:
                yield "hint", problem.hint
    elif isinstance(error, (TransportError, MappingError)):
        yield "error", error.message
        yield from _describe_request(error.request)
    elif isinstance(error, InputError) and len(error.errors) > 1:
        yield "error", f"{error.operation}: {len(error.errors)} inputs are not right"
        for each in error.errors:
            yield "", each.message
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        yield "note", "interrupted"
    else:
        document = failure_document(error)
        foreseen = isinstance(error, (ConnectorError, click.ClickException))
        yield "error", document["detail"] if foreseen else f"{document['title']}: {document['detail']}"
    hint = failure_document(error)["hint"]
    if hint:
        yield "hint", hint


def _describe_request(request: Request | None) -> Iterator[tuple[str, str]]:
    if request is not None:
        yield "request", f"{request.method} {request.url}"
