"""The protocols that built-in kinds and plug-ins implement: Auth, Grantor, Body, Pagination, Decoder, Scheme.

All implementations are pure: they receive everything as arguments, the time and random values included, and do no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from connector.messages import Request, Response, Stream

if TYPE_CHECKING:
    from connector.answers.pagination import Page
    from connector.answers.streams import Message
    from connector.auth.tokens import Grant
    from connector.events.signatures import ReadTemplate, Verified
    from connector.requests.trees import BodyOptions, FindSlot, Schema, SlotUse
    from connector.templates import Values

#: Yields token requests, is sent the response to each, and returns a grant.
Renewal = Generator[Request, Response, "Grant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The time and a nonce of one attempt, as values: signing a request is pure and can be repeated.

    `time` is in seconds since the epoch, `nonce` is a text that is unique to the attempt.
    """

    time: float
    nonce: str


class Auth(Protocol):
    """One way to authenticate; a row of AUTH_METHODS returns one."""

    @property
    def names(self) -> frozenset[str]:
        """The names of all values of a connection that it uses."""

    @property
    def credentials(self) -> frozenset[str]:
        """The names of the values that are masked wherever a request or a failure is shown."""

    @property
    def secrets(self) -> frozenset[str]:
        """Those of them that are masked in a successful answer too: tokens and passwords, not user names."""

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:
        """Returns the request with the credentials in it; raises Unrenderable for a value that cannot be used.

        It is called for every attempt, with a new moment and the request as it was before authentication. It makes no
        request of its own: a method that needs a token first has a Grantor (`connector.auth.methods.GrantAuth`).
        """


class Grantor(Protocol):
    """One way to obtain a token; a row of GRANTS returns one."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the values of a connection that it uses."""

    @property
    def credentials(self) -> frozenset[str]:
        """Those of them that are secret."""

    def renew(self, values: Values, grant: Grant | None, now: float, base: str) -> Renewal:
        """Yields the token requests, is sent the response to each, and returns the new grant.

        `grant` is the one there was, `now` seconds since the epoch, `base` the base URL of the connection. Raises
        Unrenderable for a value that is missing or cannot be used, NeedsReauthorization for a refusal, TransportError
        for an answer without a usable token.
        """


@dataclass(frozen=True, slots=True)
class NoAuth:
    """The method `none`, which adds nothing."""

    names: frozenset[str] = frozenset()
    credentials: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()

    def apply(self, request: Request, values: Values, moment: Moment) -> Request:  # noqa: ARG002 - the shape of an Auth
        """Returns the request unchanged."""
        return request


class Body(Protocol):
    """A compiled body template of one kind."""

    #: The media type sent when a definition names none.
    content_type: ClassVar[str]
    #: True if `content_type` is sent whatever media type the definition names.
    retyped: ClassVar[bool]
    #: True if files can be read while they are sent.
    streams: ClassVar[bool]

    @classmethod
    def from_json(cls, source: Any, options: BodyOptions = ...) -> Self:
        """Compiles the template as a definition has it; raises TemplateSyntaxError."""

    @classmethod
    def accepts(cls, media_type: str) -> bool:
        """True if bodies of this (lower-case) media type are of this kind."""

    def uses(self) -> Iterator[SlotUse]:
        """Yields every use of a placeholder."""

    def encode(self, values: Values) -> bytes | Stream:
        """Returns the body with the values in it; raises Unrenderable."""

    def describe(self, find: FindSlot) -> tuple[Schema, bool]:
        """Returns the JSON Schema of the body once its slots are filled, and whether it is always sent."""


class Pagination(Protocol):
    """One style of paging."""

    def next_request(self, page: Page) -> Request | None:
        """Returns the request for the next page, or None after the last one.

        Raises MappingError if the provider reports more pages but not how to request them, BlockedAddress if the next
        page would be at another origin (hazard T38).
        """

    def total(self, document: Any) -> int | None:
        """Returns how many records there are in all pages, or None if the answer does not specify it."""

    def at_start(self, request: Request) -> bool:
        """Returns True if the request is for the first page."""


class Decoder(Protocol):
    """Reads one stream. Each message may have `limit` bytes."""

    def __init__(self, limit: int) -> None: ...

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yields the messages that these bytes complete; raises ValueError for a message beyond the limit."""

    def finish(self) -> Iterator[Message]:
        """Yields the messages that the end of the stream completes."""


class Scheme(Protocol):
    """One way to verify messages; a row of SIGNATURE_SCHEMES."""

    @classmethod
    def from_json(cls, source: Mapping[str, Any], template: ReadTemplate) -> Self:
        """Reads the signature block; raises ValueError with a sentence if it is not valid."""

    def verify(self, request: Request, secrets: Sequence[str], now: float) -> Verified:
        """Verifies a request with its raw body, and returns what the signature covers.

        `now` is in seconds since the epoch. Raises InvalidSignature for every cause.
        """


def method_key(name: str) -> str:
    """Returns the name of a method as the table has it: case, `-` and `_` do not matter."""
    return re.sub(r"[-_ ]", "", name).lower()
