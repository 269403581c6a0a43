"""Every error of the product, grouped by who must act.

    ConnectorError
    ├── InvalidDefinition     the author: .problems, all of them at once
    ├── InputError            the caller: .errors, one per missing, unknown or ill-typed input
    │   ├── MissingCredentials    a value of the connection is not set
    │   │   └── NeedsReauthorization  its token ended and could not be renewed
    │   │   └── OriginChanged         a stored secret was entered for another origin
    │   └── UnknownOperation      no such operation; the nearest known one is named
    ├── UnknownConnector      the caller: no such connector in the catalogue
    ├── InvalidSignature      the sender cannot be trusted: one message for every cause
    ├── RequestRefused        the caller of our HTTP interface: .status is the HTTP status for the request
    ├── MappingError          the provider answered something that cannot be read
    ├── TransportError        the network: no answer, or not in time
    │   ├── BlockedAddress        the egress guard refused the address
    │   └── UnknownOutcome        the provider may have acted: check there before calling again
    ├── ResponseError         the provider refused: 3xx, 4xx or 5xx; .result holds its answer
    │   └── RateLimited           429 and its like; .retry_after in seconds, if the provider named one
    ├── NotInJournal          the caller: no such event, delivery, subscription or run
    ├── JournalUnavailable    the operator: nothing can be stored now, so nothing is acknowledged; try again later
    └── ConfigurationError    the operator: a setting, file or address that cannot be used

The runtime's errors are here too, so that one tree can be imported from `connector` and from `runtime`. The command
line and the server format them and choose exit codes and HTTP statuses.
No error holds an unmasked secret: its request and response are masked before it is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from connector.messages import Request, Response, Result


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a definition. Codes begin with `E_` (an error) or `W_` (a warning).

    `pointer` is a JSON pointer (RFC 6901) into the document `file`; `line` and `column` count from 1 and are None
    where the document was given as Python values instead of text.
    """

    code: str
    message: str
    _: KW_ONLY
    hint: str = ""
    pointer: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def is_error(self) -> bool:
        """True for an error, which makes the definition invalid; False for a warning."""
        return self.code.startswith("E_")

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{where or self.pointer or '/'} {self.code} {self.message}"


class ConnectorError(Exception):
    """The root of every error raised on purpose."""

    #: A stable name for programs.
    code = "E_CONNECTOR"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        #: How to fix it, in one sentence; may be empty.
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the error with all its members, whatever its constructor takes."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ConnectorError], args: tuple[Any, ...], members: Mapping[str, Any]) -> ConnectorError:
    """The error as it was before it was pickled."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(members)
    return error


class InvalidDefinition(ConnectorError):
    """A definition has errors; `.problems` lists all of them."""

    code = "E_DEFINITION"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the definition\n{lines}")


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One input that is missing, unknown or ill-typed. The value itself is never repeated."""

    name: str
    message: str


class InputError(ConnectorError):
    """The inputs of a call are not what its operation declares; `.errors` lists all of them."""

    code = "E_INPUT"

    def __init__(self, operation: str, errors: Iterable[InputProblem], *, hint: str = "") -> None:
        self.operation = operation
        self.errors = tuple(errors)
        super().__init__(f"{operation}: " + "; ".join(error.message for error in self.errors), hint=hint)


class MissingCredentials(InputError):
    """A credential or another value of the connection is missing or cannot be used."""

    code = "E_CREDENTIALS"


class NeedsReauthorization(MissingCredentials):
    """The connection must be authorised again: the provider returns no token for its grant."""

    code = "E_REAUTHORIZATION"


class OriginChanged(MissingCredentials):
    """A stored secret was entered for another origin than the current one of its connection."""

    code = "E_ORIGIN"

    def __init__(self, connection: str, entered: Mapping[str, str], origin: str, *, hint: str = "") -> None:
        origin = origin or "nowhere"
        #: The origins that the secrets were entered for, by name of the secret.
        self.entered = dict(entered)
        #: The current origin of the connection.
        self.origin = origin
        problems = [
            InputProblem(name, f"{name} was entered for {there or 'nowhere'}, and the connection leads to {origin} now")
            for name, there in sorted(self.entered.items())
        ]
        super().__init__(connection, problems, hint=hint)


class UnknownOperation(InputError):
    """The connector has no operation of that name."""

    code = "E_UNKNOWN_OPERATION"

    def __init__(self, connector: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(connector, [InputProblem(name, f"no operation {name!r}")], hint=did_you_mean(name, names))


class UnknownConnector(ConnectorError):
    """The catalogue has no connector of that handle."""

    code = "E_UNKNOWN_CONNECTOR"

    def __init__(self, handle: str, known: Iterable[str]) -> None:
        super().__init__(f"no connector {handle!r}", hint=did_you_mean(handle, sorted(known)))


class ConfigurationError(ConnectorError):
    """A setting, a file or an address given by the operator cannot be used."""

    code = "E_CONFIGURATION"


class NotInJournal(ConnectorError):
    """The journal has nothing with that id."""

    code = "E_NOT_IN_JOURNAL"

    def __init__(self, kind: str, id: str) -> None:
        #: `event`, `delivery`, `subscription` or `run`.
        self.kind = kind
        self.id = id
        super().__init__(
            f"no {kind} {id!r} in the journal",
            hint="it may have been removed; what is kept, and how long, is a setting",
        )


class JournalUnavailable(ConnectorError):
    """The journal cannot store anything now: the disk is full, the database is locked, failed or gone."""

    code = "E_JOURNAL"

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 5.0) -> None:
        super().__init__(message, hint=hint)
        #: Seconds after which to try again.
        self.retry_after = retry_after


class InvalidSignature(ConnectorError):
    """An inbound message is not signed as the connection demands."""

    code = "E_SIGNATURE"

    @classmethod
    def refused(cls) -> InvalidSignature:
        """Returns the one error for every cause: a reason would help an attacker."""
        return cls(
            "the message is not signed as its connection demands",
            hint="compare the secret, the raw bytes of the body and the clock of the sender with ours",
        )


class RequestRefused(ConnectorError):
    """A request to our own HTTP interface is refused with the HTTP `status`."""

    code = "E_REQUEST"

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        #: The problem document of the server, if one was called: it names the error that was raised there.
        self.document = dict(document or {})
        #: Header fields that belong to the answer: `Retry-After`, `Allow`, `WWW-Authenticate`.
        self.headers = dict(headers or {})


class MappingError(ConnectorError):
    """The answer of the provider cannot be read as its definition declares (code `E_RESPONSE`)."""

    code = "E_RESPONSE"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        operation: str = "",
        request: Request | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(f"{operation}: {message}" if operation else message, hint=hint)
        self.operation = operation
        self.request = request
        self.response = response


class TransportError(ConnectorError):
    """No usable answer came: the connection, the protocol, a limit or the deadline failed."""

    code = "E_TRANSPORT"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        operation: str = "",
        request: Request | None = None,
        sent: bool = True,
        temporary: bool = True,
        blame: Literal["origin", "connection", "caller"] = "origin",
    ) -> None:
        super().__init__(f"{operation}: {message}" if operation else message, hint=hint)
        self.operation = operation
        self.request = request
        #: False if the request was certainly not sent; True if it may have been.
        self.sent = sent
        #: False if the same request would fail in the same way again.
        self.temporary = temporary
        #: What failed: the origin or the way to it, a kept connection that had ended meanwhile, or our own side, where
        #: no connection was free or the source of the body was silent.
        self.blame = blame


class UnknownOutcome(TransportError):
    """The request was sent and no answer came: the provider may have acted, so it is not sent again."""

    code = "E_UNKNOWN_OUTCOME"


class BlockedAddress(TransportError):
    """The egress guard refused to connect: scheme, port, host or address is not allowed."""

    code = "E_BLOCKED_ADDRESS"

    def __init__(self, message: str, *, sent: bool = False, temporary: bool = False, **call: Any) -> None:
        super().__init__(message, sent=sent, temporary=temporary, **call)


class ResponseError(ConnectorError):
    """The provider answered with a 3xx, 4xx or 5xx; its own message comes first."""

    code = "E_PROVIDER"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        operation: str,
        result: Result,
        response: Response,
        provider_code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.operation = operation
        #: The provider's own error code, if the definition selects it.
        self.provider_code = provider_code
        #: The provider's own waiting time in seconds (RFC 9110, section 10.2.3), or None.
        self.retry_after = retry_after
        #: The mapped answer; `ok` is False.
        self.result = result
        self.response = response
        self.request = result.request
        self.status = result.status


class RateLimited(ResponseError):
    """429 Too Many Requests, or a 403 with the time at which its limit ends."""

    code = "E_RATE_LIMITED"


def did_you_mean(name: str, known: list[str]) -> str:
    """Returns a hint with the most similar of the known names, or all of them: `did you mean 'files.list'?`."""
    # Only mistakes need it, and it takes milliseconds to import.
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(known) if known else "none exist"


class OptionError(ValueError):
    """An option in a definition has a value that its kind does not know; `option` is the name of the member."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


Row = TypeVar("Row", bound=Callable[..., Any])


class UnknownOption(OptionError):
    """An option that its kind does not know."""


def takes(*options: str) -> Callable[[Row], Row]:
    """Returns a decorator for a row of a table of kinds, which declares the options that the kind knows."""

    def declare(row: Row) -> Row:
        row.options = options  # type: ignore[attr-defined]
        return row

    return declare


def check_options(source: Iterable[str], known: Collection[str], kind: str, also: Collection[str] = ()) -> None:
    """Raises UnknownOption for the first name that a kind does not know; names in `also` belong to every kind."""
    for name in source:
        if name not in known and name not in also:
            hint = did_you_mean(name, list(known))
            raise UnknownOption(name, f"{kind} has no option {name[:70]!r}; {hint}")


def known_row(name: str, table: Collection[str], option: str) -> str:
    """Returns the name if the table has it; raises OptionError with the known names otherwise."""
    if name not in table:
        raise OptionError(option, f"unknown {option} {name[:70]!r}; known: {', '.join(table)}")
    return name


def unknown_kind(name: str, known: Iterable[str]) -> str:
    """Returns a hint for an unknown kind: the most similar one, all known ones, and that plug-ins may add more."""
    listed = list(known)
    near = did_you_mean(name, listed)
    everything = f"known: {', '.join(listed)}"
    said = everything if near == everything else f"{near} {everything}"
    return f"{said}; others come with plug-ins"


def problem_document(error: ConnectorError) -> Mapping[str, Any]:
    """Returns the members that all JSON forms of an error share (RFC 9457): title, detail, code, hint, errors.

    The problem document of a server is returned unchanged.
    """
    if isinstance(error, RequestRefused) and error.document:
        return error.document
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": (type(error).__doc__ or error.code).strip().partition("\n")[0].partition(";")[0].rstrip("."),
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
    }
    if isinstance(error, InputError):
        document["errors"] = [{"name": each.name, "message": each.message} for each in error.errors]
    if isinstance(error, InvalidDefinition):
        members = ("file", "line", "column", "pointer", "code", "message", "hint")
        document["problems"] = [{name: getattr(each, name) for name in members} for each in error.problems]
    return document
