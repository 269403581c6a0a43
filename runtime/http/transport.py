"""The seam of the connection layer: a request and its route go in, the head of the answer and its body come out.

What stands here is what callers and engines share. `pool` is the real network, `Httpx2Transport` a stand-in for it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

from connector.messages import Request
from runtime.config.connections import setting_variable

#: Header fields as they travel.
Fields = list[tuple[bytes, bytes]]

#: Hints of errors: whether a call that failed can be made again.
NOT_SENT: Final = "the request was not sent, so it is safe to try again"
MAYBE_SENT: Final = "the request may have been carried out; unless it is idempotent, look before sending it again"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels (CONNECT; RFC 9110, section 9.3.6)."""

    host: str
    port: int
    #: What Proxy-Authorization holds; empty for none.
    authorization: str = field(default="", repr=False)
    #: True where the operator says that the proxy looks names up: CONNECT names the host in place of an address.
    looks_up: bool = False


@dataclass(frozen=True)
class Route:
    """Who sends a request and which way it takes: part of the key of every connection that is kept.

    So no connection, no TLS session and no HTTP/2 connection serves two tenants, or two ways.
    """

    #: Whose connections these are: a connection (`mistral-ai:team-b`), or a subscription.
    tenant: str = ""
    proxy: Proxy | None = None
    #: A PEM file of certificate authorities that are trusted in addition to the system's.
    trust: str = ""
    #: A PEM file with the client's certificate chain and its key.
    certificate: str = ""
    #: True to offer HTTP/2 in addition to HTTP/1.1.
    http2: bool = False
    #: The connection whose settings hints name; empty for all.
    settings_of: str = ""

    def __post_init__(self) -> None:
        named = self.tenant, self.proxy, self.trust, self.certificate, self.http2, self.settings_of
        object.__setattr__(self, "_hash", hash(named))

    def __hash__(self) -> int:
        # Computed once: a route is looked up several times in every call.
        return self._hash  # type: ignore[attr-defined, no-any-return]

    def variable(self, setting: str) -> str:
        """The environment variable of a setting of this route, such as `CONNECTOR_CA__DEMO`."""
        return setting_variable(setting, self.settings_of)


class Attempt:
    """How far one attempt to send a request has come, for the caller that stops waiting for it.

    `sent` is False while no byte of the request can have left, and `step` is what the attempt waits for until then.
    `blame` is what such a wait in vain says of the origin. `latest` is when, by the clock of the event loop, a request
    may begin that had to wait for a place: with less time left, it would be carried out and its answer not heard.
    """

    __slots__ = ("blame", "latest", "sent", "step")

    def __init__(self, latest: float = math.inf) -> None:
        self.latest = latest
        self.sent = False
        self.step = "being prepared"
        self.blame: Literal["origin", "connection", "caller"] = "caller"

    def waits(self, step: str, blame: Literal["origin", "caller"]) -> None:
        """Notes what the attempt waits for."""
        self.step, self.blame = step, blame


class ByteStream(Protocol):
    """The body of an answer as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Its pieces."""

    async def aclose(self) -> None:
        """Lets the connection go."""


class Answer(NamedTuple):
    """The head of an answer, and its body yet to be read."""

    status: int
    headers: Fields
    stream: ByteStream


class Transport(Protocol):
    """What sends a request as far as the head of its answer. Another HTTP library fits in if it keeps eight promises.

    1. An error has `sent=False` exactly if no byte of the request reached the origin's socket, or the origin said
       itself that it did not begin with it (HTTP/2: RFC 9113, section 8.7).
    2. An answer belongs to the request before it: bytes that nobody asked for end a connection and are never parsed.
    3. What is incomplete never passes as complete: a body ends where its framing says so, or in an error.
    4. Every address is checked by the guard when it is connected to, each of several that race and through a proxy.
    5. Target and header fields leave as they were given, in order, and in HTTP/1.1 in case.
    6. The head of an answer is bounded, all interim answers before it included.
    7. A call that is cancelled, wherever it waits, frees its place and its socket.
    8. A request is sent once. No redirect is followed, nothing is inflated, no cookie remembered, and no variable of
       the environment read.
    """

    async def open(self, request: Request, route: Route, attempt: Attempt, *, streamed: bool = False) -> Answer:
        """Sends the request, keeping `attempt` up to date; returns the head of its answer.

        `streamed` is True for an answer that may take long: those have places of their own. Raises TransportError.
        """

    async def aclose(self) -> None:
        """Closes every connection; requests under way end with TransportError."""
